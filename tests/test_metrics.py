"""Counts and scores against plain NumPy, and the conventions at the edges."""

import numpy as np
import pytest
import torch

from lightning_seg.catalogue import COUNTS, METRICS
from lightning_seg.metrics import confusion_counts, image_scores


def lesions(*flat: list[int]) -> torch.Tensor:
    """Masks (N, 1, 1, W), one per list of pixels."""
    return torch.tensor(flat).view(len(flat), 1, 1, -1)


def logits_of(masks: torch.Tensor) -> torch.Tensor:
    return 6.0 * masks - 3.0


@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("mask_dtype", [torch.uint8, torch.bool, torch.int64, torch.float32])
def test_counts_and_scores_agree_with_numpy(images: int, mask_dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(images)
    logits = torch.randn(images, 1, 9, 7, generator=generator)
    masks = (torch.rand(images, 1, 9, 7, generator=generator) < 0.3).to(mask_dtype)

    counts = confusion_counts(logits, masks)
    scores = image_scores(counts)

    assert counts.shape == (images, len(COUNTS)) and counts.dtype == torch.int64
    assert tuple(scores) == METRICS
    for i in range(images):
        a, b = logits[i].numpy() > 0, masks[i].numpy() == 1
        assert counts[i].tolist() == [(a & b).sum(), (a & ~b).sum(), (~a & b).sum(), (~a & ~b).sum()]
        overlap = (a & b).sum()
        expected = (2 * overlap / (a.sum() + b.sum()), overlap / (a | b).sum(), overlap / a.sum(), overlap / b.sum())
        np.testing.assert_allclose([scores[name][i] for name in METRICS], expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        ([0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]),  # both empty
        ([0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]),  # empty truth
        ([0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]),  # empty prediction
        ([1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]),  # disjoint
        ([1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]),  # both full
        ([1, 1, 1, 0], [0, 1, 1, 1], [2 / 3, 1 / 2, 2 / 3, 2 / 3]),
        ([1, 1, 1, 1], [1, 0, 0, 0], [2 / 5, 1 / 4, 1, 1 / 4]),
        ([1, 0, 0, 0], [1, 1, 1, 1], [2 / 5, 1 / 4, 1 / 4, 1]),
    ],
)
def test_conventions(truth: list[int], prediction: list[int], expected: list[float]) -> None:
    # Alone and beside another image, which takes the other way through torchmetrics.
    for others in ([], [[1, 0, 1, 0]]):
        masks, predicted = lesions(truth, *others), lesions(prediction, *others)
        scores = image_scores(confusion_counts(logits_of(predicted), masks))
        assert [scores[name][0].item() for name in METRICS] == pytest.approx(expected, rel=1e-15)


def test_mean_over_images_is_not_the_pooled_score() -> None:
    counts = torch.tensor([[90, 10, 10, 0], [1, 0, 4, 100]])
    dice = image_scores(counts)["dice"].mean()
    assert dice == pytest.approx((0.9 + 1 / 3) / 2)
    assert abs(dice - image_scores(counts.sum(0))["dice"]) > 0.2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_threshold_does_not_depend_on_precision(dtype: torch.dtype) -> None:
    # sigmoid(2 ** -12) is above 0.5, but rounds to 0.5 in half precision; 0 itself is background.
    logits = torch.tensor([2.0**-12, 0.0, -(2.0**-12), 1e4, -1e4], dtype=dtype).view(1, 1, 1, -1)
    assert confusion_counts(logits, torch.ones_like(logits)).tolist() == [[2, 0, 3, 0]]


def test_no_value_is_read_by_the_host() -> None:
    # A tensor on the meta device has no values, so that reading one raises.
    for images in (1, 3):
        logits = torch.empty(images, 1, 8, 8, device="meta")
        scores = image_scores(confusion_counts(logits, torch.empty_like(logits, dtype=torch.uint8)))
        assert scores["dice"].shape == (images,)
