"""Which runs predict one class everywhere."""

import numpy as np
import pytest

from lightning_seg.runs.collapse import collapse

PIXELS = 100


def counts(predicted: list[int], true: list[int]) -> np.ndarray:
    """tp, fp, fn, tn of images that are wholly (1) or not at all (0) predicted and truly lesion; 2 is the half."""
    share = np.array([0, PIXELS, PIXELS // 2])
    said, held = share[predicted], share[true]
    tp = np.minimum(said, held)
    return np.stack([tp, said - tp, held - tp, PIXELS - np.maximum(said, held)])


@pytest.mark.parametrize(
    ("predicted", "true", "kind"),
    [
        ([0] * 100, [2] * 100, "background"),
        ([0] * 100, [0] * 99 + [2], "background"),
        ([0] * 99 + [2], [2] * 100, "background"),
        ([0] * 98 + [2] * 2, [2] * 100, ""),
        ([0] * 100, [0] * 100, ""),  # no lesion is there, and none is found
        ([1] * 100, [2] * 100, "lesion"),
        ([1] * 100, [1] * 100, ""),
        ([2] * 100, [2] * 100, ""),
    ],
)
def test_one_class_for_nearly_all_images(predicted: list[int], true: list[int], kind: str) -> None:
    assert collapse(*counts(predicted, true)) == kind
