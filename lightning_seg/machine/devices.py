"""Which GPU a worker process uses, and how many runs fit side by side."""

import itertools
import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

_slot: FileLock | None = None


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def side_by_side(runs_per_gpu: int) -> int:
    """How many runs this machine holds at once."""
    return max(1, len(visible_gpus())) * runs_per_gpu


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus_of_a_run(accelerator: str, runs_per_gpu: int) -> float:
    """The share of a GPU that a run asks a cluster for."""
    if accelerator == "cpu" or (accelerator == "auto" and not visible_gpus()):
        return 0
    return 1 / runs_per_gpu


def take_gpu(folder: str | Path | None = None) -> None:
    """Restrict this process to the GPU that the fewest processes of the user hold; without a GPU nothing changes.

    It is held as long as the process lives, by a lock in ``folder`` (the system's temporary one). Must be called before
    CUDA is first used.
    """
    global _slot
    gpus = visible_gpus()
    if _slot is not None or not gpus:
        return
    for place in itertools.count():
        for gpu in gpus:
            slot = FileLock(
                Path(folder or tempfile.gettempdir()) / f"lightning-seg-{os.getuid()}-gpu-{gpu}-{place}.lock"
            )
            try:
                slot.acquire(timeout=0)
            except Timeout:
                continue
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
            _slot = slot
            return
