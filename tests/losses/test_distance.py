"""Distance maps: SciPy's and the one that needs no host, and losses that take them ready."""

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_seg.distances import boundary_distances
from lightning_seg.losses import BalancedSum, BoundaryLoss, DiceLoss, DistanceBCELoss, HausdorffLoss, WeightedSum
from lightning_seg.losses.distance import _to_nearest, compare, distance_maps, needs_distances
from tests.losses.cases import batch, discs, named


def brute(mask: Tensor) -> Tensor:
    """(H, W): the least distance to a pixel of the other class, over all pairs."""
    where = torch.stack(torch.meshgrid(*map(torch.arange, mask.shape), indexing="ij"), -1).view(-1, 2).double()
    pairs = torch.cdist(where, where)
    flat = mask.flatten()
    return pairs.masked_fill(flat[:, None] == flat[None], torch.inf).min(1).values.view(mask.shape)


@pytest.mark.parametrize("make", [batch, discs])
def test_the_distance_is_that_to_the_nearest_pixel_of_the_other_class(make) -> None:  # type: ignore[no-untyped-def]
    masks = make()[1] > 0.5
    maps = distance_maps(masks)
    for mask, found in zip(masks[:, 0], maps[:, 0], strict=True):
        torch.testing.assert_close(found.double(), brute(mask), rtol=1e-6, atol=0)
        assert np.array_equal(boundary_distances(mask.numpy()), found.numpy())
    on_device = torch.where(masks, _to_nearest(~masks), _to_nearest(masks))  # what a GPU computes
    torch.testing.assert_close(on_device, maps)


def test_a_wide_image() -> None:
    masks = torch.zeros(1, 1, 3, 50, dtype=torch.bool)
    masks[..., 1, 40] = True
    torch.testing.assert_close(torch.where(masks, _to_nearest(~masks), _to_nearest(masks)), distance_maps(masks))
    assert distance_maps(masks)[0, 0, 1].tolist()[30:42] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1]


def test_masks_of_one_class_have_half_the_side() -> None:
    masks = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    masks[1] = True
    masks[2, 0, 4, 4] = True
    maps = distance_maps(masks)
    assert (maps[:2] == 4).all() and maps[2].max() > 5
    assert (boundary_distances(np.zeros((8, 8), dtype=bool)) == 4).all()
    assert (distance_maps(masks, no_boundary_value=0.0)[:2] == 0).all()


@pytest.mark.parametrize("name", ["boundary", "hausdorff", "distance_bce", "dice_boundary", "dice_hausdorff"])
def test_ready_maps_give_what_computed_ones_give(name: str) -> None:
    loss, (logits, targets) = named(name), discs()
    assert needs_distances(loss)
    maps = distance_maps(targets > 0.5)
    torch.testing.assert_close(loss(logits, targets, maps), loss(logits, targets))
    assert loss(logits, targets, maps**2) != loss(logits, targets)
    half = loss(logits, targets, maps.half())  # as they are served
    torch.testing.assert_close(half, loss(logits, targets), rtol=1e-3, atol=0)


def test_only_those_that_need_distances_are_handed_them() -> None:
    logits, targets = discs()
    maps = 3 * distance_maps(targets > 0.5)
    inner = WeightedSum({"b": BoundaryLoss(), "d": DiceLoss()}, {"b": 1, "d": 1})
    nested = WeightedSum({"inner": inner, "dice": DiceLoss()}, {"inner": 2, "dice": 1})
    assert needs_distances(nested) and not needs_distances(DiceLoss())
    assert not needs_distances(WeightedSum({"d": DiceLoss()}, {"d": 1}))
    assert not needs_distances(WeightedSum({"d": DiceLoss(), "b": BoundaryLoss()}, {"d": 1, "b": 0}))
    expected = 2 * BoundaryLoss()(logits, targets, maps) + 3 * DiceLoss()(logits, targets)
    torch.testing.assert_close(compare(nested, logits, targets, maps), expected)
    assert compare(DiceLoss(), logits, targets, maps) == DiceLoss()(logits, targets)
    assert needs_distances(BalancedSum({"d": DiceLoss(), "h": HausdorffLoss()}))


def test_pixels_at_the_boundary_count_twice_and_the_deepest_once() -> None:
    targets = torch.zeros(1, 1, 9, 9)
    targets[..., 2:7, 2:7] = 1
    logits = torch.zeros_like(targets).requires_grad_()
    DistanceBCELoss()(logits, targets).backward()
    weights = logits.grad.abs()[0, 0] * 81 / 0.5  # type: ignore[union-attr]
    assert weights[2, 2] == pytest.approx(2) and weights[4, 4] == pytest.approx(1)
    assert weights[1, 4] == pytest.approx(2) and weights[0, 0] == pytest.approx(1)
