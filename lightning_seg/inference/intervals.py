"""How sure a mean over images is."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap

DRAWS = 5000


def bootstrap_interval(values: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval (percentiles) of the mean of ``values``, images being drawn with replacement.

    It tells how much the mean would vary with other images of the same kind; not how much with other trainings.

    Args:
        values: (N,), one score an image. A single one, or equal ones, give an interval without width.
        seed: of the draws.
    """
    array = np.asarray(values, dtype=np.float64)
    if np.ptp(array) == 0:  # which scipy has no interval for
        return float(array[0]), float(array[0])
    found = bootstrap((array,), np.mean, n_resamples=DRAWS, method="percentile", rng=np.random.default_rng(seed))
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
