"""Measures of masks: closed forms, other people's code, and the rule of empty masks."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from lightning_seg.metrics import MEASURES, Masks, lesions
from lightning_seg.metrics.hd95 import hd95
from lightning_seg.metrics.nsd import nsd, strict_nsd

SIDE = 100
EMPTY = np.zeros((SIDE, SIDE), dtype=bool)
DIAGONAL = math.hypot(SIDE, SIDE)


def square(row: int, column: int, side: int) -> NDArray[np.bool_]:
    mask = EMPTY.copy()
    mask[row : row + side, column : column + side] = True
    return mask


def disc(radius: float, centre: float = 50) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (rows - centre) ** 2 + (columns - centre) ** 2 <= radius**2


def blobs(rng: np.random.Generator, shape: tuple[int, int] = (48, 64)) -> Masks:
    """Two masks of several lesions each, sometimes empty, that overlap in part."""
    field = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(1, 5))
    other = field + rng.uniform(0, 1) * ndimage.gaussian_filter(rng.normal(size=shape), 2)
    level = np.quantile(field, rng.uniform(0.6, 1))
    return Masks(other > level, field > level)


@pytest.mark.parametrize("shift", [0, 1, 8])
def test_a_square_that_is_shifted(shift: int) -> None:
    masks = Masks(square(30, 30 + shift, 40), square(30, 30, 40))
    # The side that leaves the other square is `shift` from it in all its 40 pixels, more than 5 % of the 156.
    assert hd95(masks) * DIAGONAL == pytest.approx(shift)
    # 1 % of the diagonal is 1.41 pixels: within it lie the shared sides, and corners that turn away.
    assert nsd(masks) == 1 if shift <= 1 else nsd(masks) == pytest.approx(2 * (2 * 32 + 2 * 2) / (2 * 156), abs=0.02)
    assert lesions.f1(masks) == 1 and lesions.matched_f1(masks) == 1 and lesions.missed(masks) == 0


@pytest.mark.parametrize(("radius", "within"), [(21, 1), (24, 0)])
def test_discs_of_one_centre(radius: int, within: int) -> None:
    masks = Masks(disc(radius), disc(20))
    assert hd95(masks) * DIAGONAL == pytest.approx(radius - 20, abs=0.5)
    assert nsd(masks) == pytest.approx(within, abs=0.01)
    assert strict_nsd(masks) <= nsd(masks)


def test_lesions_are_counted_and_not_their_pixels() -> None:
    truth = square(5, 5, 30) | square(60, 5, 3) | square(60, 60, 3)
    predicted = square(5, 5, 30) | square(60, 5, 3) | square(5, 80, 3)
    masks = Masks(predicted, truth)
    assert (lesions.lesions(masks), lesions.found(masks), lesions.missed(masks)) == (3, 2, 1)
    for score in (lesions.recall, lesions.precision, lesions.f1, lesions.matched_recall, lesions.matched_f1):
        assert score(masks) == pytest.approx(2 / 3)


def test_one_predicted_lesion_over_two_finds_both_but_matches_one() -> None:
    masks = Masks(square(10, 10, 30), square(10, 10, 12) | square(28, 28, 12))
    assert (lesions.recall(masks), lesions.matched_recall(masks)) == (1, 0.5)
    assert (lesions.precision(masks), lesions.matched_precision(masks)) == (1, 1)
    assert lesions.matched_f1(masks) == pytest.approx(2 / 3)


def test_a_mere_touch_finds_a_lesion_and_does_not_match_it() -> None:
    masks = Masks(square(10, 10, 20), square(29, 29, 20))
    assert (lesions.recall(masks), lesions.matched_recall(masks)) == (1, 0)


def test_pixels_that_touch_by_a_corner_are_one_lesion() -> None:
    truth = square(10, 10, 5) | square(15, 15, 5)
    assert lesions.lesions(Masks(EMPTY, truth)) == 1


def test_empty_masks_follow_one_rule() -> None:
    for name, measure in MEASURES.items():
        if measure.family == "count":
            continue
        best = 1 if measure.higher_is_better else 0
        assert measure.of(Masks(EMPTY, EMPTY)) == best, name
        for pair in ((EMPTY, disc(9)), (disc(9), EMPTY)):
            assert measure.of(Masks(*pair)) == 1 - best, name
    assert lesions.missed(Masks(EMPTY, disc(9))) == 1 and lesions.missed(Masks(disc(9), EMPTY)) == 0


def test_masks_of_one_pixel_and_of_all_pixels() -> None:
    for mask in (square(0, 0, 1), square(0, 0, SIDE), square(SIDE - 1, 4, 1)):
        for name, measure in MEASURES.items():
            perfect = 1 if measure.higher_is_better else 0
            assert measure.of(Masks(mask, mask)) == perfect, name


def test_two_hundred_random_masks_agree_with_monai() -> None:
    metrics = pytest.importorskip("monai.metrics", reason="the extra monai is not installed")
    rng = np.random.default_rng(0)
    compared = 0
    for _ in range(200):
        masks = blobs(rng)
        if masks.empty is not None:
            continue
        a, b = (torch.from_numpy(mask)[None, None] for mask in (masks.predicted, masks.truth))
        within = metrics.compute_surface_dice(a, b, class_thresholds=[0.01 * masks.diagonal], include_background=True)
        farthest = metrics.compute_hausdorff_distance(a, b, percentile=95, include_background=True)
        assert nsd(masks) == pytest.approx(within.item(), abs=1e-6)
        assert hd95(masks) * masks.diagonal == pytest.approx(farthest.item(), abs=1e-4)
        compared += 1
    assert compared > 150


def components(mask: NDArray[np.bool_]) -> list[set[tuple[int, int]]]:
    """Lesions by flooding, pixel by pixel."""
    left, found = {(int(r), int(c)) for r, c in np.argwhere(mask)}, []
    while left:
        todo, lesion = [left.pop()], set()
        while todo:
            row, column = todo.pop()
            lesion.add((row, column))
            near = {(row + r, column + c) for r in (-1, 0, 1) for c in (-1, 0, 1)} & left
            left -= near
            todo += near
        found.append(lesion)
    return found


def test_random_lesions_agree_with_counting_by_hand() -> None:
    rng = np.random.default_rng(1)
    several = 0
    for _ in range(200):
        masks = blobs(rng, (24, 32))
        predicted, truth = components(masks.predicted), components(masks.truth)
        if not predicted or not truth:
            continue
        several += len(truth) > 1 and len(predicted) > 1
        hits = sum(any(lesion & other for other in predicted) for lesion in truth)
        right = sum(any(lesion & other for other in truth) for lesion in predicted)
        assert (lesions.lesions(masks), lesions.missed(masks)) == (len(truth), len(truth) - hits)
        assert lesions.recall(masks) == pytest.approx(hits / len(truth))
        assert lesions.precision(masks) == pytest.approx(right / len(predicted))
        pairs = sorted(
            ((len(a & b) / len(a | b), i, j) for i, a in enumerate(predicted) for j, b in enumerate(truth) if a & b),
            reverse=True,
        )
        used: list[tuple[int, int]] = []
        for iou, i, j in pairs:
            if iou >= 0.1 and all(i != a and j != b for a, b in used):
                used.append((i, j))
        assert lesions.matched(masks) == len(used)
        assert lesions.matched_f1(masks) == pytest.approx(2 * len(used) / (len(truth) + len(predicted)))
    assert several > 100
