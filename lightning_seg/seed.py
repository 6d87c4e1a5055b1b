"""Random numbers that depend on the experiment alone, never on what ran before in the process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(*parts: int) -> int:
    """One 63-bit seed from several non-negative integers, such as (seed, repeat, epoch).

    Well mixed: neighbouring parts give unrelated seeds, which ``seed + repeat`` would not.
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def seeded(seed: int, device: "torch.device") -> Iterator[None]:
    """Let the global random numbers of torch, NumPy and Python follow from ``seed``; afterwards they are as before.

    Args:
        seed: below 2 ** 63.
        device: whose numbers follow from it as well, beside the CPU's.
    """
    import torch  # here: seeds of splits need none

    legacy, own = np.random.get_state(), random.getstate()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(legacy)
            random.setstate(own)
