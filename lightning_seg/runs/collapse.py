"""Runs that predict one class everywhere."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

SHARE = 0.99  # of its test images


def collapse(
    tp: NDArray[np.integer], fp: NDArray[np.integer], fn: NDArray[np.integer], tn: NDArray[np.integer]
) -> Literal["", "background", "lesion"]:
    """Which class a run predicts for at least 99 % of its test images, whole; nothing where it tells classes apart.

    Where that class is all that the images hold, it is right, and no collapse.

    Args:
        tp, fp, fn, tn: pixels of each test image, (N,).
    """
    if np.mean(tp + fp == 0) >= SHARE and np.any(tp + fn > 0):
        return "background"
    if np.mean(fn + tn == 0) >= SHARE and np.any(fp + tn > 0):
        return "lesion"
    return ""
