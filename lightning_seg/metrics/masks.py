"""A predicted mask beside the true one, with what several measures need of them, worked out once.

SciPy's modules are loaded where they are used: a report, which only needs the measures' names, would wait for them.
"""

from dataclasses import dataclass
from functools import cached_property
from math import hypot

import numpy as np
from numpy.typing import NDArray

_NEIGHBOURS = np.ones((3, 3), dtype=bool)
Mask = NDArray[np.bool_]
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Masks:
    """One image's masks, both bool (H, W).

    Attributes:
        predicted: where the network says lesion.
        truth: where the annotation does.
    """

    predicted: Mask
    truth: Mask

    @property
    def diagonal(self) -> float:
        """Of the image, in pixels."""
        return hypot(*self.truth.shape)

    @cached_property
    def empty(self) -> float | None:
        """The score that empty masks have by the rule of all scores: 1 both, 0 one of them; None where neither is."""
        predicted, truth = bool(self.predicted.any()), bool(self.truth.any())
        return None if predicted and truth else float(predicted == truth)

    @cached_property
    def distances(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each pixel of the predicted outline to the nearest of the true one, and the other way, in pixels.

        An outline is the lesion's pixels that have one of the four neighbours outside of it; the image's border is
        outside. Neither mask may be empty.
        """
        from scipy.ndimage import binary_erosion
        from scipy.spatial import KDTree

        predicted, truth = (np.argwhere(mask & ~binary_erosion(mask)) for mask in (self.predicted, self.truth))
        return KDTree(truth).query(predicted)[0], KDTree(predicted).query(truth)[0]

    @cached_property
    def lesions(self) -> tuple[Labels, Labels]:
        """The lesions of both masks, numbered from 1; pixels that touch by a side or a corner are one lesion."""
        from scipy.ndimage import label

        return label(self.predicted, _NEIGHBOURS)[0], label(self.truth, _NEIGHBOURS)[0]

    @cached_property
    def shared(self) -> NDArray[np.int64]:
        """Pixels that each predicted lesion shares with each true one, (predicted + 1, true + 1); 0 is background."""
        predicted, truth = self.lesions
        rows, columns = int(predicted.max(initial=0)) + 1, int(truth.max(initial=0)) + 1
        pairs = predicted.ravel().astype(np.int64) * columns + truth.ravel()
        return np.bincount(pairs, minlength=rows * columns).reshape(rows, columns)
