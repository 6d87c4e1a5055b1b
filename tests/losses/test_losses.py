"""The losses against the paper's formulae in float64 NumPy and against other libraries, and at the extremes."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.losses import BCELoss, DiceLoss, FocalLoss, IoULoss, WeightedSum

CONF = Path(__file__).parents[2] / "conf"
SINGLE = ("iou", "dice", "bce", "focal")
LOSSES: dict[str, nn.Module] = {
    "iou": IoULoss(),
    "iou_batch": IoULoss(reduction="batch"),
    "dice": DiceLoss(),
    "dice_batch": DiceLoss(reduction="batch"),
    "bce": BCELoss(),
    "focal": FocalLoss(0.8, 0.2),
    "focal_balanced": FocalLoss(0.8, 2.0, "balanced"),
    "sum": WeightedSum({"iou": IoULoss(), "focal": FocalLoss(0.8, 0.2)}, {"iou": 1, "focal": 0.5}),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def batch(images: int = 3, side: int = 12, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Random logits, and masks whose lesions grow from image to image."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(images, 1, side, side, generator=generator, dtype=dtype)
    share = torch.linspace(0.05, 0.7, images).view(-1, 1, 1, 1)
    return logits, (torch.rand(logits.shape, generator=generator) < share).to(dtype)


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


@every_loss
def test_gradcheck(loss: nn.Module) -> None:
    logits, targets = batch(images=2, side=4)
    targets[0] = 0
    logits[1, 0, 0] = torch.tensor([-60.0, -25.0, 25.0, 60.0])
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), logits.requires_grad_())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_finite_at_the_extremes(loss: nn.Module, dtype: torch.dtype, autocast: bool) -> None:
    values = torch.tensor([-1e4, -100.0, -1e-3, 0.0, 1e-3, 100.0, 1e4], dtype=dtype)
    uniform = values.view(-1, 1, 1, 1).expand(-1, 1, 224, 224)  # an image of each value, and one of all
    images = torch.cat([uniform, values.repeat(224, 32).view(1, 1, 224, 224)])
    for truth in (0.0, 1.0):
        logits = images.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            value = loss(logits, torch.full(images.shape, truth))
        value.backward()
        assert value.dtype == torch.float32 and value.shape == ()
        assert value.isfinite() and value >= 0
        assert logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize(("loss", "weight"), [(BCELoss(), 1.0), (FocalLoss(0.8, 0.2), 0.8)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_confident_mistakes_keep_their_cost_and_slope(loss: nn.Module, weight: float, dtype: torch.dtype) -> None:
    """A clamped log would cap the cost and lose the gradient."""
    logits = torch.tensor([-1e4, 1e4], dtype=dtype).view(1, 1, 1, 2).requires_grad_()
    value = loss(logits, torch.tensor([1.0, 0.0]).view(1, 1, 1, 2))
    value.backward()
    assert value.item() == pytest.approx(weight * logits.abs().mean(dtype=torch.float64).item(), rel=1e-6)
    assert logits.grad.flatten().tolist() == pytest.approx([-weight / 2, weight / 2], rel=1e-2)


@every_loss
def test_half_precision_logits_are_computed_in_float32(loss: nn.Module) -> None:
    logits, targets = batch(side=224)
    for dtype in (torch.float16, torch.bfloat16):
        half = logits.to(dtype)
        torch.testing.assert_close(loss(half, targets).double(), loss(half.double(), targets), rtol=1e-5, atol=0)


@every_loss
@pytest.mark.parametrize("truth", ["empty", "full", "mixed"])
def test_least_at_the_truth_and_downhill_towards_it(loss: nn.Module, truth: str) -> None:
    _, targets = batch()
    targets = {"empty": torch.zeros_like(targets), "full": torch.ones_like(targets), "mixed": targets}[truth]
    towards = 2 * targets - 1
    values = [loss(scale * towards, targets).item() for scale in (-1e4, -3.0, 0.0, 3.0, 30.0, 1e4)]
    assert values == sorted(values, reverse=True) and values[0] > values[2] > values[4]
    assert values[-1] == pytest.approx(0, abs=1e-12)

    logits = torch.zeros_like(targets).requires_grad_()
    loss(logits, targets).backward()
    assert (logits.grad * towards < 0).all()


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


@pytest.mark.parametrize("kind", [IoULoss, DiceLoss])
def test_reductions_differ_on_unequal_lesions_and_agree_on_one_image(kind: type[IoULoss] | type[DiceLoss]) -> None:
    logits, targets = batch()
    image, pooled = kind(reduction="image"), kind(reduction="batch")
    assert abs(image(logits, targets) - pooled(logits, targets)) > 0.01
    assert image(logits[:1], targets[:1]) == pooled(logits[:1], targets[:1])
    each = torch.stack([image(logits[i : i + 1], targets[i : i + 1]) for i in range(len(logits))])
    torch.testing.assert_close(image(logits, targets), each.mean())


@every_loss
def test_order_of_images_and_pixels_does_not_matter(loss: nn.Module) -> None:
    logits, targets = batch()
    shuffle = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    for change in (lambda t: t.flip(0), lambda t: t.transpose(2, 3), lambda t: t[..., shuffle]):
        torch.testing.assert_close(loss(change(logits), change(targets)), loss(logits, targets))


@every_loss
def test_no_value_is_read_by_the_host(loss: nn.Module) -> None:
    logits = torch.empty(2, 1, 8, 8, device="meta", dtype=torch.float16)  # without values: reading one raises
    assert loss(logits, torch.empty_like(logits, dtype=torch.uint8)).shape == ()


@every_loss
def test_shapes_that_would_broadcast_are_refused(loss: nn.Module) -> None:
    logits, targets = batch()
    with pytest.raises(UserError, match=r"\(3, 1, 12, 12\).*\(3, 12, 12\)"):
        loss(logits, targets.squeeze(1))


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


def loss_config(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(overrides=list(overrides)).loss


def test_the_papers_ten_losses_are_plain_sums_of_the_four() -> None:
    logits, targets = batch()
    single = {"iou": IoULoss(), "dice": DiceLoss(), "bce": BCELoss(), "focal": FocalLoss(0.8, 0.2)}
    ten = [(name,) for name in SINGLE] + list(combinations(SINGLE, 2))
    configured = {path.stem for path in (CONF / "loss").glob("*.yaml")} - {"monai"}
    assert {"_".join(names) for names in ten} == configured
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
