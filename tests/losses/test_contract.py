"""What every loss promises, whatever its formula: see the docstring of :mod:`lightning_seg.losses`."""

import pytest
import torch
from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.losses import (
    BalancedBCELoss,
    DiceLoss,
    ExpLogLoss,
    FocalLoss,
    GeneralizedDiceLoss,
    IoULoss,
    LovaszLoss,
    MCCLoss,
    NACLLoss,
    SensitivitySpecificityLoss,
    TopKLoss,
    TverskyLoss,
    UnifiedFocalLoss,
)
from tests.losses.cases import NAMES, batch, named

VARIANTS: dict[str, nn.Module] = {
    "iou, batch": IoULoss(reduction="batch"),
    "dice, batch": DiceLoss(reduction="batch"),
    "focal, balanced": FocalLoss(0.8, 2.0, "balanced"),
    "tversky, batch": TverskyLoss(reduction="batch"),
    "generalized_dice, batch": GeneralizedDiceLoss(reduction="batch"),
    "mcc, batch": MCCLoss(reduction="batch"),
    "lovasz, hinge": LovaszLoss("hinge"),
    "lovasz, batch": LovaszLoss(reduction="batch"),
    "balanced_bce, batch": BalancedBCELoss("batch"),
    "topk, image": TopKLoss(reduction="image"),
    "sensitivity_specificity, batch": SensitivitySpecificityLoss(reduction="batch"),
    "exp_log, batch": ExpLogLoss(reduction="batch"),
    "unified_focal, batch": UnifiedFocalLoss(reduction="batch"),
    "nacl, smoothed labels": NACLLoss(label_smoothing=0.1),
}
EVERY = [*NAMES, *VARIANTS]
every_loss = pytest.mark.parametrize("name", EVERY)
# Distance counts from the boundary, and the erosions and skeletons need neighbours.
SPATIAL = {"boundary", "dice_boundary", "hausdorff", "dice_hausdorff", "hausdorff_erosion", "distance_bce", "cldice"}
SPATIAL |= {name for name in EVERY if name.startswith("nacl")}
WITHOUT_A_SLOPE_EVERYWHERE = {"boundary", "topk", "topk, image"}  # the lesion's edge; all but the worst pixels


def loss_of(name: str) -> nn.Module:
    return VARIANTS[name] if name in VARIANTS else named(name)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "dice_hausdorff"])  # whose scale is held constant
def test_gradcheck(name: str) -> None:
    logits, targets = batch(images=2, side=4)
    targets[0] = 0
    logits[1, 0, 0] = torch.tensor([-60.0, -25.0, 25.0, 60.0])
    assert torch.autograd.gradcheck(lambda x: loss_of(name)(x, targets), logits.requires_grad_())


@every_loss
@pytest.mark.parametrize(
    ("dtype", "autocast"),
    [(torch.float32, False), (torch.float16, False), (torch.bfloat16, False), (torch.float32, True)],
)
def test_finite_at_the_extremes(name: str, dtype: torch.dtype, autocast: bool) -> None:
    values = torch.tensor([-1e4, -100.0, -1e-3, 0.0, 1e-3, 100.0, 1e4], dtype=dtype)
    uniform = values.view(-1, 1, 1, 1).expand(-1, 1, 28, 28)  # an image of each value, and one of all
    images = torch.cat([uniform, values.repeat(28, 4).view(1, 1, 28, 28)])
    one_pixel = torch.zeros(images.shape)
    one_pixel[..., 5, 6] = 1
    for truth in (torch.zeros(images.shape), torch.ones(images.shape), one_pixel):
        logits = images.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            value = loss_of(name)(logits, truth)
        value.backward()
        assert value.dtype == torch.float32 and value.shape == ()
        assert value.isfinite() and value >= 0
        assert logits.grad is not None and logits.grad.isfinite().all()


@every_loss
def test_an_image_of_one_pixel_and_a_batch_of_one(name: str) -> None:
    for truth in (0.0, 1.0):
        logits = torch.zeros(1, 1, 1, 1, requires_grad=True)
        value = loss_of(name)(logits, torch.full_like(logits, truth))
        value.backward()
        assert value.isfinite() and logits.grad is not None and logits.grad.isfinite().all()


@every_loss
def test_half_precision_logits_are_computed_in_float32(name: str) -> None:
    loss = loss_of(name)
    logits, targets = batch(side=96 if name in SPATIAL else 288)  # whose pixels overflow float16
    for dtype in (torch.float16, torch.bfloat16):
        half = logits.to(dtype)
        torch.testing.assert_close(loss(half, targets).double(), loss(half.double(), targets), rtol=2e-5, atol=0)


@pytest.mark.parametrize("name", [name for name in EVERY if not name.startswith("nacl")])  # which wants it less sure
@pytest.mark.parametrize("truth", ["empty", "full", "mixed"])
def test_least_at_the_truth_and_downhill_towards_it(name: str, truth: str) -> None:
    loss = loss_of(name)
    _, targets = batch()
    targets = {"empty": torch.zeros_like(targets), "full": torch.ones_like(targets), "mixed": targets}[truth]
    towards = 2 * targets - 1
    values = [loss(scale * towards, targets).item() for scale in (-1e4, -3.0, 0.0, 3.0, 30.0, 1e4)]
    assert values == sorted(values, reverse=True) and values[0] > values[2] > values[4]
    assert values[-1] == pytest.approx(0, abs=1e-12)

    logits = torch.zeros_like(targets).requires_grad_()
    loss(logits, targets).backward()
    uphill = logits.grad * towards
    assert (uphill <= 0).all() and (uphill.sum((1, 2, 3)) < 0).any()
    assert name in WITHOUT_A_SLOPE_EVERYWHERE or (uphill < 0).all()


@every_loss
def test_a_false_lesion_on_an_empty_mask_is_pushed_down(name: str) -> None:
    """The trap of losses that are 0 / 0 there, and then constant."""
    logits = torch.full((2, 1, 32, 32), -4.0)
    logits[:, :, 4:9, 4:9] = 2.0
    logits.requires_grad_()
    loss_of(name)(logits, torch.zeros_like(logits)).backward()
    false = logits.grad[:, :, 4:9, 4:9]
    assert (false >= 0).all() and false.sum() > 1e-4


@every_loss
def test_order_of_images_and_pixels_does_not_matter(name: str) -> None:
    loss = loss_of(name)
    logits, targets = batch()
    shuffle = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    changes = [lambda t: t.flip(0), lambda t: t.transpose(2, 3), lambda t: t.flip(3)]
    if name not in SPATIAL:
        changes.append(lambda t: t[..., shuffle])
    for change in changes:
        torch.testing.assert_close(loss(change(logits), change(targets)), loss(logits, targets))


@every_loss
def test_no_value_is_read_by_the_host(name: str) -> None:
    logits = torch.empty(2, 1, 8, 8, device="meta", dtype=torch.float16)  # without values: reading one raises
    assert loss_of(name)(logits, torch.empty_like(logits, dtype=torch.uint8)).shape == ()


@every_loss
def test_targets_may_have_any_dtype(name: str) -> None:
    logits, targets = batch()
    for dtype in (torch.float32, torch.bool, torch.uint8):
        torch.testing.assert_close(loss_of(name)(logits, targets.to(dtype)), loss_of(name)(logits, targets))


@every_loss
def test_shapes_that_would_broadcast_are_refused(name: str) -> None:
    logits, targets = batch()
    with pytest.raises(UserError, match=r"\(3, 1, 12, 12\).*\(3, 12, 12\)"):
        loss_of(name)(logits, targets.squeeze(1))


@every_loss
def test_it_says_how_it_is_set(name: str) -> None:
    assert repr(loss_of(name))


@pytest.mark.parametrize("name", [name for name in EVERY if name.endswith(", batch")])
def test_reductions_differ_on_unequal_lesions_and_agree_on_one_image(name: str) -> None:
    pooled, image = loss_of(name), named(name.removesuffix(", batch"))
    logits, targets = batch()
    assert abs(image(logits, targets) - pooled(logits, targets)) > 1e-4
    torch.testing.assert_close(image(logits[:1], targets[:1]), pooled(logits[:1], targets[:1]))


def each(loss: nn.Module, logits: Tensor, targets: Tensor) -> Tensor:
    return torch.stack([loss(*pair) for pair in zip(logits.split(1), targets.split(1), strict=True)])


# TopK looks through the batch as published, Hausdorff is scaled to a batch's Dice, and the class weights of exp_log are
# those of a batch, as near as it comes to those of the training set.
OF_THE_BATCH = {"topk", "dice_topk", "dice_hausdorff", "exp_log"}


@pytest.mark.parametrize("name", sorted(set(NAMES) - OF_THE_BATCH))
def test_by_default_each_image_counts_the_same(name: str) -> None:
    """The paper's rule."""
    logits, targets = batch()
    torch.testing.assert_close(named(name)(logits, targets), each(named(name), logits, targets).mean())
