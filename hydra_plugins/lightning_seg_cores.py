"""Hydra's extension point: it accepts plugins of this namespace package only."""

from lightning_seg.sweep import cores


class CoresLauncher(cores.CoresLauncher):
    """:class:`lightning_seg.sweep.cores.CoresLauncher` under a name that Hydra finds."""
