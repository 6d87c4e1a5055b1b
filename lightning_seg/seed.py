"""Random numbers that depend on the experiment alone, never on what ran before in the process."""

import numpy as np


def derive_seed(*parts: int) -> int:
    """One 63-bit seed from several non-negative integers, such as (seed, repeat, epoch).

    Well mixed: neighbouring parts give unrelated seeds, which ``seed + repeat`` would not.
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
