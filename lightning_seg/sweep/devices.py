"""Which GPU a worker process uses, and how many runs fit side by side."""

import getpass
import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

_slot: FileLock | None = None


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def side_by_side(runs_per_gpu: int) -> int:
    """How many runs this machine holds at once."""
    return max(1, len(visible_gpus())) * runs_per_gpu


def gpus_of_a_run(accelerator: str, runs_per_gpu: int) -> float:
    """The share of a GPU that a run asks a cluster for."""
    if accelerator == "cpu" or (accelerator == "auto" and not visible_gpus()):
        return 0
    return 1 / runs_per_gpu


def take_gpu(runs_per_gpu: int, folder: str | Path | None = None) -> None:
    """Restrict this process to one GPU that fewer than ``runs_per_gpu`` processes of the user hold.

    The GPU is held as long as the process lives, by a lock in ``folder`` (the system's
    temporary one); the least loaded comes first. Must be called
    before CUDA is first used. With every GPU fully held, or none at all, nothing changes.
    """
    global _slot
    if _slot is not None:
        return
    for place in range(runs_per_gpu):
        for gpu in visible_gpus():
            slot = FileLock(
                Path(folder or tempfile.gettempdir()) / f"lightning-seg-{getpass.getuser()}-gpu-{gpu}-{place}.lock"
            )
            try:
                slot.acquire(timeout=0)
            except Timeout:
                continue
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
            _slot = slot
            return
