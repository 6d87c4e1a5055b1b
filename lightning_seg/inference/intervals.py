"""A mean over images and how sure it is."""

import numpy as np
from numpy.typing import ArrayLike

DRAWS = 5000


def bootstrap_interval(values: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval (percentiles) of the mean of ``values``, images being drawn with replacement.

    It tells how much the mean would vary with other images of the same kind; not how much with other trainings.
    """
    array = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = [array[rng.integers(0, len(array), len(array))].mean() for _ in range(DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
