"""The literature's losses: published formulae read in NumPy, other libraries, and identities between losses."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import convolve, distance_transform_edt, uniform_filter
from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.losses import (
    AsymmetricLoss,
    BalancedBCELoss,
    BalancedSum,
    BCELoss,
    BoundaryLoss,
    CenterlineDiceLoss,
    DiceLoss,
    DistanceBCELoss,
    ExpLogLoss,
    FocalLoss,
    FocalTverskyLoss,
    GeneralizedDiceLoss,
    HausdorffErosionLoss,
    HausdorffLoss,
    IoULoss,
    LogCoshDiceLoss,
    LovaszLoss,
    MCCLoss,
    NACLLoss,
    PenaltyGeneralizedDiceLoss,
    PolyBCELoss,
    SensitivitySpecificityLoss,
    SquaredDiceLoss,
    TopKLoss,
    TverskyLoss,
    UnifiedFocalLoss,
    WeightedBCELoss,
)
from tests.losses.cases import batch, discs, named

Array = NDArray[np.float64]
Formula = Callable[[Array, Array], float]
TINY = 1e-12  # a smoothing term that does not show


def mean_over_images(formula: Formula) -> Formula:
    return lambda p, y: float(np.mean([formula(*image) for image in zip(p, y, strict=True)]))


def counts(p: Array, y: Array) -> tuple[float, float, float, float]:
    """tp, fp, fn, tn."""
    return (p * y).sum(), (p * (1 - y)).sum(), ((1 - p) * y).sum(), ((1 - p) * (1 - y)).sum()


def cross_entropy(p: Array, y: Array) -> Array:
    return -np.log(np.where(y > 0, p, 1 - p))


def dice(p: Array, y: Array) -> float:
    return 2 * (p * y).sum() / (p + y).sum()


def tversky(alpha: float, beta: float) -> Formula:
    def formula(p: Array, y: Array) -> float:
        tp, fp, fn, _ = counts(p, y)
        return 1 - tp / (tp + alpha * fp + beta * fn)

    return formula


def f_score(b: float) -> Formula:
    def formula(p: Array, y: Array) -> float:
        tp, fp, fn, _ = counts(p, y)
        precision, recall = tp / (tp + fp), tp / (tp + fn)
        return 1 - (1 + b**2) * precision * recall / (b**2 * precision + recall)

    return formula


def generalized(p: Array, y: Array) -> float:
    classes = [(1 - p, 1 - y), (p, y)]
    weights = [1 / truth.sum() ** 2 for _, truth in classes]
    overlap = sum(w * (q * truth).sum() for w, (q, truth) in zip(weights, classes, strict=True))
    return 1 - 2 * overlap / sum(w * (q + truth).sum() for w, (q, truth) in zip(weights, classes, strict=True))


def penalised(p: Array, y: Array) -> float:
    score = 1 - generalized(p, y)
    return 1 - score / (1 + 2.5 * (1 - score))


def matthews(p: Array, y: Array) -> float:
    tp, fp, fn, tn = counts(p, y)
    return 1 - (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def sensitivity_specificity(p: Array, y: Array) -> float:
    errors = (p - y) ** 2
    return 0.05 * (errors * y).sum() / y.sum() + 0.95 * (errors * (1 - y)).sum() / (1 - y).sum()


def balanced(p: Array, y: Array) -> float:
    return (cross_entropy(p, y)[y > 0].mean() + cross_entropy(p, y)[y == 0].mean()) / 2


def top_k(p: Array, y: Array) -> float:
    losses = np.sort(cross_entropy(p, y).ravel())
    return losses[-int(losses.size * 0.1) :].mean()


def exp_log(p: Array, y: Array) -> float:
    weights = np.where(y > 0, np.sqrt(y.size / y.sum()), np.sqrt(y.size / (1 - y).sum()))
    region = np.mean([(-np.log(dice(*image))) ** 0.3 for image in zip(p, y, strict=True)])
    return 0.8 * region + 0.2 * (weights * cross_entropy(p, y) ** 0.3).mean()


def unified(gamma_lesion: float, gamma_background: float, focal_lesion: float) -> Formula:
    """With delta 0.6: the powers of 1 - TI, and the power of the lesion's focal part."""

    def formula(p: Array, y: Array) -> float:
        regions = []
        for q, truth in zip(p, y, strict=True):
            tp, fp, fn, tn = counts(q, truth)
            lesion = 1 - tp / (tp + 0.6 * fn + 0.4 * fp)
            background = 1 - tn / (tn + 0.6 * fp + 0.4 * fn)
            regions.append((lesion**gamma_lesion + background**gamma_background) / 2)
        focal = -(0.6 * (1 - p) ** focal_lesion * y * np.log(p) + 0.4 * p**0.5 * (1 - y) * np.log(1 - p))
        return 0.5 * focal.mean() + 0.5 * float(np.mean(regions))

    return formula


def lovasz(p: Array, y: Array) -> float:
    """From the definition: errors in falling order, each times what its pixel adds to the IoU loss so far."""
    errors = np.abs(y - p).ravel()
    wrong, total, before = np.zeros(y.size, dtype=bool), 0.0, 0.0
    for pixel in np.argsort(-errors):
        wrong[pixel] = True
        predicted = (y.ravel() > 0) ^ wrong
        now = 1 - (predicted & (y.ravel() > 0)).sum() / (predicted | (y.ravel() > 0)).sum()
        total, before = total + errors[pixel] * (now - before), now
    return total


def boundary_distance(mask: Array) -> Array:
    inside, outside = distance_transform_edt(mask > 0), distance_transform_edt(mask == 0)
    return np.where(mask > 0, inside, outside)


def boundary(p: Array, y: Array) -> float:
    level_set = np.where(y > 0, 1 - boundary_distance(y), boundary_distance(y))
    return (level_set * p).mean() - (level_set * y).mean()


def hausdorff(p: Array, y: Array) -> float:
    predicted = (p > 0.5).astype(float)
    return ((p - y) ** 2 * (boundary_distance(y) ** 2 + boundary_distance(predicted) ** 2)).mean()


def eroded(p: Array, y: Array) -> float:
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5
    errors = (p[0] - y[0]) ** 2
    total = errors.mean()
    for k in range(1, 11):
        errors = np.maximum(convolve(errors, cross, mode="constant") - 0.5, 0) * 2
        total += k**2 * errors.mean()
    return total


def distance_weighted(p: Array, y: Array) -> float:
    depth, weights = boundary_distance(y), np.ones(y.shape)
    for region in (y > 0, y == 0):
        inverted = depth[region].max() - depth[region]
        weights[region] += inverted / (inverted.max() or 1)
    return (weights * cross_entropy(p, y)).mean()


FORMULAE: list[tuple[nn.Module, Formula]] = [
    (WeightedBCELoss(0.8), lambda p, y: (np.where(y > 0, 0.8, 0.2) * cross_entropy(p, y)).mean()),
    (BalancedBCELoss(), mean_over_images(balanced)),
    (BalancedBCELoss("batch"), balanced),
    (TopKLoss(), top_k),
    (TopKLoss(reduction="image"), mean_over_images(top_k)),
    (PolyBCELoss(2.0), lambda p, y: (cross_entropy(p, y) + 2 * np.abs(p - y)).mean()),
    (TverskyLoss(0.3, 0.7, TINY), mean_over_images(tversky(0.3, 0.7))),
    (TverskyLoss(0.3, 0.7, TINY, "batch"), tversky(0.3, 0.7)),
    (FocalTverskyLoss(smooth=TINY), mean_over_images(lambda p, y: tversky(0.3, 0.7)(p, y) ** 0.75)),
    (AsymmetricLoss(1.5, TINY), mean_over_images(f_score(1.5))),
    (GeneralizedDiceLoss(TINY), mean_over_images(generalized)),
    (GeneralizedDiceLoss(TINY, "batch"), generalized),
    (PenaltyGeneralizedDiceLoss(2.5, TINY), mean_over_images(penalised)),
    (LogCoshDiceLoss(TINY), mean_over_images(lambda p, y: float(np.log(np.cosh(1 - dice(p, y)))))),
    (
        SquaredDiceLoss(TINY),
        mean_over_images(lambda p, y: 1 - 2 * (p * y).sum() / ((p**2).sum() + (y**2).sum())),
    ),
    (MCCLoss(TINY), mean_over_images(matthews)),
    (MCCLoss(TINY, "batch"), matthews),
    (SensitivitySpecificityLoss(), mean_over_images(sensitivity_specificity)),
    (ExpLogLoss(smooth=TINY), exp_log),
    (UnifiedFocalLoss(smooth=TINY), unified(0.5, 1.0, 0.0)),
    (UnifiedFocalLoss(variant="symmetric", smooth=TINY), unified(0.5, 0.5, 0.5)),
    (LovaszLoss(smooth=TINY), mean_over_images(lovasz)),
    (BoundaryLoss(), mean_over_images(lambda p, y: boundary(p[0], y[0]))),
    (HausdorffLoss(), mean_over_images(lambda p, y: hausdorff(p[0], y[0]))),
    (HausdorffErosionLoss(), mean_over_images(eroded)),
    (DistanceBCELoss(), mean_over_images(lambda p, y: distance_weighted(p[0], y[0]))),
]


@pytest.mark.parametrize(
    ("loss", "formula"), FORMULAE, ids=lambda value: repr(value) if isinstance(value, nn.Module) else ""
)
@pytest.mark.parametrize("make", [batch, discs])
def test_agrees_with_the_published_formula(
    loss: nn.Module, formula: Formula, make: Callable[[], tuple[Tensor, Tensor]]
) -> None:
    logits, targets = make()
    expected = formula(1 / (1 + np.exp(-logits.numpy())), targets.numpy())
    assert loss(logits, targets).item() == pytest.approx(expected, rel=1e-6)


def test_erosion_weighs_solid_errors_more() -> None:
    """Two squares of the same area, one of them thin: only the solid one survives the first erosions."""
    solid, thin = torch.zeros(2, 1, 1, 24, 24).unbind(0)
    solid[..., 6:16, 6:16] = 1
    thin[..., 2:4, :] = thin[..., 10:12, :] = 1
    missed = [HausdorffErosionLoss()(torch.full_like(mask, -20.0), mask) / mask.mean() for mask in (solid, thin)]
    assert missed[0] > 3 * missed[1] > 0


def test_neighbour_aware_calibration() -> None:
    logits, targets = discs()
    inside = uniform_filter(np.ones(targets.shape[2:]), 3, mode="constant")  # the share of neighbours in the image
    shares = np.stack([uniform_filter(mask[0], 3, mode="constant") / inside for mask in targets.numpy()])[:, None]
    found = NACLLoss(alpha=1.0)(logits, targets) - BCELoss()(logits, targets)
    assert found.item() == pytest.approx(np.abs(logits.numpy() - (2 * shares - 1)).mean() / 2)
    smoothed = BCELoss()(logits, 0.9 * targets + 0.05)  # by its definition
    torch.testing.assert_close(NACLLoss(alpha=0, label_smoothing=0.1)(logits, targets), smoothed)


def value_and_slope(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits)
    (slope,) = torch.autograd.grad(value, logits)
    return value.detach(), slope


def assert_same(ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], logits: Tensor) -> None:
    """Both values and gradients, float64, to 1e-6."""
    for mine, other in zip(value_and_slope(ours, logits), value_and_slope(theirs, logits), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-9)


def two_classes(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    p = torch.sigmoid(logits)
    return torch.cat([1 - p, p], 1), torch.cat([1 - targets, targets], 1)


def test_agrees_with_monai() -> None:
    losses = pytest.importorskip("monai.losses")
    logits, y = discs()
    small = {"smooth_nr": TINY, "smooth_dr": TINY}
    generalized_dice = losses.GeneralizedDiceLoss(include_background=True, smooth_nr=0, smooth_dr=0)
    squared = losses.DiceLoss(sigmoid=True, squared_pred=True, **small)
    tversky_ = losses.TverskyLoss(sigmoid=True, alpha=0.3, beta=0.7, smooth_nr=0.5, smooth_dr=0.5)
    cldice = losses.SoftclDiceLoss(sigmoid=True, smooth=1e-15)
    both = losses.SoftDiceclDiceLoss(sigmoid=True, smooth=1e-15)
    for ours, theirs in [
        (TverskyLoss(), lambda x: tversky_(x, y)),
        (GeneralizedDiceLoss(TINY), lambda x: generalized_dice(*two_classes(x, y))),
        (SquaredDiceLoss(TINY), lambda x: squared(x, y)),
        (MCCLoss(TINY), lambda x: losses.MCCLoss(sigmoid=True, smooth_dr=0)(x, y)),
        (HausdorffLoss(), lambda x: losses.HausdorffDTLoss(sigmoid=True, include_background=True)(x, y)),
        (CenterlineDiceLoss(), lambda x: cldice(x, y)),
        (named("cldice"), lambda x: both(x, y)),
    ]:
        assert_same(lambda x, ours=ours: ours(x, y), theirs, logits)


def test_boundary_has_monais_gradient_and_its_value_but_for_that_of_the_truth() -> None:
    boundary_loss = pytest.importorskip("monai.losses").BoundaryLoss
    logits, targets = discs()
    theirs = boundary_loss(sigmoid=True)
    assert_same(
        lambda x: BoundaryLoss()(x, targets),
        lambda x: theirs(x, targets) - boundary_loss()(targets, targets),
        logits,
    )


def test_unified_focal_agrees_with_monai_but_for_its_mean_over_channels() -> None:
    losses = pytest.importorskip("monai.losses")
    logits, targets = discs()
    ours = UnifiedFocalLoss(delta=0.7, gamma=0.5, smooth=TINY)
    for weight, factor in ((1.0, 2.0), (0.0, 1.0)):
        theirs = losses.AsymmetricUnifiedFocalLoss(weight=weight, gamma=0.5, delta=0.7)
        ours.weight = weight
        assert_same(
            lambda x, ours=ours: ours(x, targets),
            lambda x, theirs=theirs, factor=factor: factor * theirs(torch.sigmoid(x), targets),
            logits.clamp(-6, 6),  # MONAI clips probabilities
        )


def test_calibration_agrees_with_monai_on_two_logits() -> None:
    theirs = pytest.importorskip("monai.losses").NACLLoss(classes=2, dim=2)
    logits, targets = discs()
    x = logits.float()
    channels = torch.cat([0.5 - x / 2, 0.5 + x / 2], 1)
    expected = theirs(channels, targets[:, 0].long())
    # MONAI counts pixels outside the image as of neither class.
    filtered = theirs.get_constr_target(targets[:, 0].long())
    true = torch.nn.functional.avg_pool2d(torch.cat([1 - targets, targets], 1), 3, 1, 1, count_include_pad=False)
    border = 0.1 * ((true - channels).abs() - (filtered - channels).abs()).mean()
    torch.testing.assert_close(NACLLoss()(x, targets), (expected + border).float(), rtol=1e-5, atol=0)


def test_agrees_with_segmentation_models_pytorch() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch").losses
    logits, targets = discs()
    for ours, theirs in [
        (TverskyLoss(0.3, 0.7, TINY, "batch"), smp.TverskyLoss("binary", alpha=0.3, beta=0.7)),
        (FocalTverskyLoss(0.3, 0.7, 4 / 3, TINY, "batch"), smp.TverskyLoss("binary", alpha=0.3, beta=0.7, gamma=0.75)),
    ]:
        assert_same(lambda x, ours=ours: ours(x, targets), lambda x, theirs=theirs: theirs(x, targets), logits)
    mcc = smp.MCCLoss(eps=TINY)
    assert_same(lambda x: MCCLoss(TINY, "batch")(x, targets), lambda x: mcc(torch.sigmoid(x), targets), logits)
    x, y = logits.float(), targets.float()  # smp's Lovász loss knows no other
    for reduction in ("image", "batch"):
        theirs = smp.LovaszLoss("binary", per_image=reduction == "image")
        torch.testing.assert_close(LovaszLoss("hinge", TINY, reduction)(x, y), theirs(x, y), rtol=1e-6, atol=0)


IDENTITIES: dict[str, tuple[nn.Module, nn.Module]] = {
    "tversky(1/2, 1/2) = dice": (TverskyLoss(0.5, 0.5), DiceLoss()),
    "tversky(1, 1) = iou": (TverskyLoss(1, 1, 2.0), IoULoss()),
    "focal_tversky(gamma 1) = tversky": (FocalTverskyLoss(gamma=1), TverskyLoss()),
    "asymmetric(1) = dice": (AsymmetricLoss(1), DiceLoss()),
    "focal(gamma 0) = wbce": (FocalLoss(0.8, 0, "balanced"), WeightedBCELoss(0.8)),
    "topk(100) = bce": (TopKLoss(100), BCELoss()),
    "poly_bce(0) = bce": (PolyBCELoss(0), BCELoss()),
    "nacl(0) = bce": (NACLLoss(0), BCELoss()),
    "penalty_gdice(0) = generalized_dice": (PenaltyGeneralizedDiceLoss(0), GeneralizedDiceLoss()),
    "unified_focal(1, 1/2, 0) = bce / 2": (UnifiedFocalLoss(1, 0.5, 0), WeightedBCELoss(0.5)),
    "unified_focal(1, 0.8, 0) = wbce": (UnifiedFocalLoss(1, 0.8, 0), WeightedBCELoss(0.8)),
    "unified_focal, symmetric, without gamma": (
        UnifiedFocalLoss(gamma=0, variant="symmetric"),
        UnifiedFocalLoss(gamma=0),
    ),
    "a balanced sum of a loss with itself is twice that": (
        BalancedSum({"a": DiceLoss(), "b": DiceLoss()}),
        BalancedSum({"a": DiceLoss(), "b": IoULoss()}),
    ),
}


@pytest.mark.parametrize(("one", "other"), IDENTITIES.values(), ids=IDENTITIES)
def test_identities(one: nn.Module, other: nn.Module) -> None:
    for logits, targets in (batch(), discs()):
        torch.testing.assert_close(one(logits, targets), other(logits, targets), rtol=2e-5, atol=1e-12)


def test_unified_focal_without_the_focal_part_is_dice_of_both_classes() -> None:
    logits, targets = discs()
    both = (DiceLoss()(logits, targets) + DiceLoss()(-logits, 1 - targets)) / 2
    torch.testing.assert_close(UnifiedFocalLoss(0, 0.5, 0)(logits, targets), both)


@pytest.mark.parametrize("reduction", ["image", "batch"])
def test_lovasz_is_iou_on_hard_predictions_of_any_mask(reduction: str) -> None:
    logits, targets = batch()
    targets[0] = 0
    hard = 1e4 * logits.sign()
    torch.testing.assert_close(
        LovaszLoss(reduction=reduction)(hard, targets),  # type: ignore[arg-type]
        IoULoss(reduction=reduction)(hard, targets),  # type: ignore[arg-type]
    )


def test_balanced_weights_are_those_of_edge_detection_up_to_a_factor_an_image() -> None:
    logits, targets = discs()
    p = torch.sigmoid(logits)
    for image in range(len(p)):
        y, q = targets[image : image + 1], p[image : image + 1]
        b = (1 - y).mean()
        published = -(b * y * q.log() + (1 - b) * (1 - y) * (1 - q).log()).mean()
        ours = BalancedBCELoss()(logits[image : image + 1], y)
        torch.testing.assert_close(ours, published / (2 * b * (1 - b)))


def test_combo_is_the_papers_plus_a_constant() -> None:
    logits, targets = discs()
    p, y = torch.sigmoid(logits), targets
    cross = -0.5 * (0.5 * (y * p.log()) + 0.5 * (1 - y) * (1 - p).log()).mean()
    overlap = ((2 * (p * y).sum((1, 2, 3)) + 1) / ((p + y).sum((1, 2, 3)) + 1)).mean()
    torch.testing.assert_close(named("combo")(logits, targets), cross - 0.5 * overlap + 0.5)


def test_the_scale_of_a_balanced_sum_is_a_constant_to_the_gradient() -> None:
    logits, targets = discs()
    region, far = DiceLoss(), HausdorffLoss()
    scale = region(logits, targets) / (far(logits, targets) + 1e-5)
    assert_same(
        lambda x: BalancedSum({"dice": region, "hausdorff": far})(x, targets),
        lambda x: region(x, targets) + scale * far(x, targets),
        logits,
    )
    torch.testing.assert_close(named("dice_hausdorff")(logits, targets), 2 * region(logits, targets), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: WeightedBCELoss(1.0), "alpha must be in"),
        (lambda: BalancedBCELoss("mean"), "image or batch"),
        (lambda: TopKLoss(0), "k must be in"),
        (lambda: PolyBCELoss(-1), "epsilon must be"),
        (lambda: TverskyLoss(0.0), "alpha must be"),
        (lambda: TverskyLoss(0.3, float("inf")), "beta must be"),
        (lambda: FocalTverskyLoss(gamma=0), "gamma must be"),
        (lambda: AsymmetricLoss(-1), "b must be"),
        (lambda: PenaltyGeneralizedDiceLoss(-1), "k must be"),
        (lambda: SensitivitySpecificityLoss(1), "r must be"),
        (lambda: ExpLogLoss(0), "gamma must be"),
        (lambda: ExpLogLoss(dice_weight=0, bce_weight=0), "one of them positive"),
        (lambda: UnifiedFocalLoss(weight=2), "weight must be"),
        (lambda: UnifiedFocalLoss(delta=1), "delta must be"),
        (lambda: UnifiedFocalLoss(gamma=1), "gamma must be"),
        (lambda: UnifiedFocalLoss(variant="both"), "asymmetric or symmetric"),
        (lambda: LovaszLoss("softmax"), "probability or hinge"),
        (lambda: NACLLoss(-1), "alpha must be"),
        (lambda: NACLLoss(kernel_size=2), "odd number"),
        (lambda: NACLLoss(label_smoothing=1), "label_smoothing must be"),
        (lambda: CenterlineDiceLoss(-1), "iterations must be"),
        (lambda: HausdorffLoss(0), "alpha must be"),
        (lambda: HausdorffErosionLoss(erosions=-1), "erosions must be"),
    ],
)
def test_bad_parameters_are_named(build: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()
