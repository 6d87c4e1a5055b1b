"""All that runs need, loaded by importing this module: what worker processes are forked with."""

from lightning_seg.machine.processes import uncollected

with uncollected():
    import lightning_seg.losses
    import lightning_seg.sweep.worker  # noqa: F401
