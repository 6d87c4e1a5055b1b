"""What is kept of the predictions for a set of images, and what follows: Dice at any threshold, calibration."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = tuple(n / 20 for n in range(1, 20))
"""A pixel is called lesion where its probability, in float32, is above one of these."""
PUBLISHED = THRESHOLDS.index(0.5)
"""The place of the paper's threshold."""
BINS = 15
"""Of equal width, for the calibration of probabilities; each holds its lower edge."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predicted:
    """Predictions for N images of H x W pixels.

    Attributes:
        ids: of the images.
        counts: int32 (N, 19, 4): pixels of each image at each threshold, in the order of ``COUNTS`` (tp, fp, fn, tn).
        pixels: int64 (2, 16): how many pixels of background and of lesion have a probability in each bin; the
            sixteenth has those whose probability rounds to 1, which torchmetrics counts apart too.
        probability: float64 (2, 16): sum of these pixels' probabilities.
        squared_error: float64 (2, 16): sum of their (probability - truth) squared.
        packed: uint8 (N, H, ceil(W / 8)): masks at 0.5, the first pixel of a row in the highest bit.
        width: W.
    """

    ids: list[str]
    counts: NDArray[np.int32]
    pixels: NDArray[np.int64]
    probability: Floats
    squared_error: Floats
    packed: NDArray[np.uint8]
    width: int

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Predicted masks at 0.5, (N, H, W)."""
        return np.unpackbits(self.packed, axis=-1, count=self.width).view(np.bool_)

    @cached_property
    def dice(self) -> Floats:
        """Of each image at each threshold, (N, 19), in [0, 1]."""
        return dice_of(self.counts)

    @property
    def brier(self) -> float:
        """Mean over pixels of (probability - truth) squared (Brier, Monthly Weather Review 78, 1950), in [0, 1]."""
        return float(self.squared_error.sum() / self.pixels.sum())

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Naeini et al., AAAI 2015), in [0, 1].

        The gap between mean probability and share of lesion in a bin, mean over pixels.
        """
        gaps = np.abs(self.probability.sum(axis=0) - self.pixels[1])
        return float(gaps.sum() / self.pixels.sum())


def dice_of(counts: NDArray[np.integer]) -> Floats:
    """Dice from pixel counts (..., 4): 1 where truth and prediction are both empty, as in ``metrics``."""
    tp, fp, fn, _ = np.moveaxis(counts.astype(np.int64), -1, 0)
    whole = 2 * tp + fp + fn
    return np.where(whole == 0, 1.0, 2 * tp / np.maximum(whole, 1))


def best_threshold(validation: Predicted) -> float:
    """The threshold with the highest mean Dice of validation images; of equals the one nearest 0.5, then the lower.

    Equal means equal up to rounding errors of a mean.
    """
    means = validation.dice.mean(axis=0)
    best = np.flatnonzero(means >= means.max() - 1e-12)
    return THRESHOLDS[min(best.tolist(), key=lambda place: (abs(place - PUBLISHED), place))]
