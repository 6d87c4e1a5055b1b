"""Hydra's extension point: it accepts plugins of this namespace package only."""

from lightning_seg.sweep import slurm


class SlurmLauncher(slurm.SlurmLauncher):
    """:class:`lightning_seg.sweep.slurm.SlurmLauncher` under a name that Hydra finds."""
