"""The paper's losses against its formulae in float64 NumPy and against other libraries."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.losses import BCELoss, DiceLoss, FocalLoss, IoULoss, WeightedSum
from tests.losses.cases import NAMES, batch, loss_config

SINGLE = ("iou", "dice", "bce", "focal")


def per_image(formula: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda p, b: float(np.mean([formula(*image) for image in zip(p, b, strict=True)]))


def iou(p: np.ndarray, b: np.ndarray) -> float:
    return 1 - (p * b).sum() / (p + b - p * b).sum()


def dice(p: np.ndarray, b: np.ndarray) -> float:
    return 1 - 2 * (p * b).sum() / (p.sum() + b.sum())


def focal(alpha: float, gamma: float, other: float) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda p, b: -np.mean(alpha * (1 - p) ** gamma * b * np.log(p) + other * p**gamma * (1 - b) * np.log(1 - p))


@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        (IoULoss(smooth=1e-12), per_image(iou)),
        (IoULoss(smooth=1e-12, reduction="batch"), iou),
        (DiceLoss(smooth=1e-12), per_image(dice)),
        (DiceLoss(smooth=1e-12, reduction="batch"), dice),
        (IoULoss(smooth=5), per_image(lambda p, b: 1 - ((p * b).sum() + 5) / ((p + b - p * b).sum() + 5))),
        (DiceLoss(smooth=5), per_image(lambda p, b: 1 - (2 * (p * b).sum() + 5) / ((p + b).sum() + 5))),
        (BCELoss(), lambda p, b: -np.mean(b * np.log(p) + (1 - b) * np.log(1 - p))),
        (FocalLoss(0.8, 0.2), focal(0.8, 0.2, 0.8)),
        (FocalLoss(0.3, 2.0), focal(0.3, 2.0, 0.3)),
        (FocalLoss(1.0, 0.0), focal(1.0, 0.0, 1.0)),
        (FocalLoss(0.8, 0.2, "balanced"), focal(0.8, 0.2, 0.2)),
    ],
    ids=lambda value: repr(value) if isinstance(value, nn.Module) else "NumPy",
)
def test_agrees_with_the_papers_formula(loss: nn.Module, formula: Callable[[np.ndarray, np.ndarray], float]) -> None:
    logits, targets = batch()
    expected = formula(1 / (1 + np.exp(-logits.numpy())), targets.numpy())
    assert loss(logits, targets).item() == pytest.approx(expected, rel=1e-10)
    # float32 targets are the cheapest, but any dtype that holds 0 and 1 gives the same.
    for dtype in (torch.float32, torch.bool, torch.uint8):
        assert loss(logits, targets.to(dtype)).item() == pytest.approx(expected, rel=1e-10)


def test_agrees_with_segmentation_models_pytorch() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch").losses
    logits, targets = batch()
    for ours, theirs in [
        (IoULoss(1e-12, "batch"), smp.JaccardLoss("binary")),
        (DiceLoss(1e-12, "batch"), smp.DiceLoss("binary")),
        (BCELoss(), smp.SoftBCEWithLogitsLoss()),
        (FocalLoss(0.8, 0.2, "balanced"), smp.FocalLoss("binary", alpha=0.8, gamma=0.2)),
        (FocalLoss(1.0, 0.2), smp.FocalLoss("binary", alpha=None, gamma=0.2)),
    ]:
        torch.testing.assert_close(ours(logits, targets), theirs(logits, targets), rtol=1e-6, atol=0)


@pytest.mark.parametrize("reduction", ["image", "batch"])
def test_agrees_with_monai(reduction: str) -> None:
    losses = pytest.importorskip("monai.losses")
    logits, targets = batch(dtype=torch.float32)
    options = {"sigmoid": True, "batch": reduction == "batch"}
    for ours, theirs in [
        # MONAI writes IoU as 2 TP / 2 (TP + FP + FN), so that its smoothing terms count double.
        (IoULoss(2.0, reduction), losses.DiceLoss(jaccard=True, smooth_nr=4.0, smooth_dr=4.0, **options)),
        (DiceLoss(2.0, reduction), losses.DiceLoss(smooth_nr=2.0, smooth_dr=2.0, **options)),
        (FocalLoss(0.8, 0.2, "balanced"), losses.FocalLoss(alpha=0.8, gamma=0.2)),
        (FocalLoss(1.0, 0.2), losses.FocalLoss(alpha=None, gamma=0.2)),
    ]:
        torch.testing.assert_close(ours(logits, targets), theirs(logits, targets), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("loss", "weight"), [(BCELoss(), 1.0), (FocalLoss(0.8, 0.2), 0.8)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_confident_mistakes_keep_their_cost_and_slope(loss: nn.Module, weight: float, dtype: torch.dtype) -> None:
    """A clamped log would cap the cost and lose the gradient."""
    logits = torch.tensor([-1e4, 1e4], dtype=dtype).view(1, 1, 1, 2).requires_grad_()
    value = loss(logits, torch.tensor([1.0, 0.0]).view(1, 1, 1, 2))
    value.backward()
    assert value.item() == pytest.approx(weight * logits.abs().mean(dtype=torch.float64).item(), rel=1e-6)
    assert logits.grad.flatten().tolist() == pytest.approx([-weight / 2, weight / 2], rel=1e-2)


@pytest.mark.parametrize("loss", [IoULoss(), DiceLoss()], ids=repr)
def test_default_smoothing_lets_an_empty_truth_teach(loss: nn.Module) -> None:
    """Some background pixels are called lesion: the gradient must notice, which it does not with a tiny smooth."""
    logits = torch.full((1, 1, 224, 224), -20.0)
    logits[..., :10] = 1.0
    slopes = []
    for smooth in (loss.smooth, 1e-6):
        x = logits[..., :3, :].clone().requires_grad_()
        type(loss)(smooth)(x, torch.zeros_like(x)).backward()
        slopes.append(x.grad[..., :10].min().item())
    assert slopes[0] > 1e-4 and slopes[1] < 1e-8


class Refuses(nn.Module):
    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        raise AssertionError("a term of weight 0 was computed")


def test_weighted_sum() -> None:
    logits, targets = batch()
    terms = {"a": BCELoss(), "b": DiceLoss(), "off": Refuses()}
    total = WeightedSum(terms, {"b": 3, "off": 0, "a": 0.5})(logits, targets)
    torch.testing.assert_close(total, 0.5 * terms["a"](logits, targets) + 3 * terms["b"](logits, targets))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: IoULoss(smooth=0), "smooth must be"),
        (lambda: DiceLoss(smooth=float("nan")), "smooth must be"),
        (lambda: DiceLoss(reduction="mean"), "image or batch"),  # type: ignore[arg-type]
        (lambda: FocalLoss(0.8, -1), "gamma must be"),
        (lambda: FocalLoss(1.5, 2, "balanced"), "alpha must be"),
        (lambda: FocalLoss(0.8, 2, "usual"), "paper or balanced"),  # type: ignore[arg-type]
        (lambda: WeightedSum({"a": BCELoss()}, {"a": 1, "b": 1}, "mine"), r"Loss mine .*\(a, b\).*terms are \(a\)"),
        (lambda: WeightedSum({"a": BCELoss(), "b": BCELoss()}, {"a": 1}), r"\(a\).*terms are \(a, b\)"),
        (lambda: WeightedSum({"a": BCELoss()}, {"a": 0}), "at least one positive"),
        (lambda: WeightedSum({"a": BCELoss(), "b": BCELoss()}, {"a": 1, "b": -1}), ">= 0"),
    ],
)
def test_bad_parameters_are_named(build: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()


def test_the_papers_ten_losses_are_plain_sums_of_the_four() -> None:
    logits, targets = batch()
    single = {"iou": IoULoss(), "dice": DiceLoss(), "bce": BCELoss(), "focal": FocalLoss(0.8, 0.2)}
    ten = [(name,) for name in SINGLE] + list(combinations(SINGLE, 2))
    assert {"_".join(names) for names in ten} <= set(NAMES)
    for names in ten:
        config = loss_config(f"+loss={'_'.join(names)}")
        assert config.name == "_".join(names)
        expected = sum(single[name](logits, targets) for name in names)
        torch.testing.assert_close(instantiate(config)(logits, targets), expected)


def test_weights_and_parameters_are_overridable() -> None:
    logits, targets = batch()
    config = loss_config("+loss=iou_focal", "loss.weights.focal=0.5", "loss.terms.focal.gamma=2")
    expected = IoULoss()(logits, targets) + 0.5 * FocalLoss(0.8, 2.0)(logits, targets)
    torch.testing.assert_close(instantiate(config)(logits, targets), expected)


def test_any_module_can_be_a_term() -> None:
    logits, targets = batch()
    config = loss_config("+loss=iou_bce", "loss.terms.bce._target_=torch.nn.BCEWithLogitsLoss")
    torch.testing.assert_close(
        instantiate(config)(logits, targets), IoULoss()(logits, targets) + BCELoss()(logits, targets)
    )
