"""What every network must do, tested for each file in ``conf/model``: a new one is tested as it is added."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lightning_seg.models import SegmentationModel
from tests.models.configs import CONFIGS, build, load
from tests.models.shape_seeded import fill


@pytest.fixture(scope="module", params=list(CONFIGS))
def shared(request: pytest.FixtureRequest) -> SegmentationModel:
    """One network for all the tests that take it, which run network by network.

    Its weights let every detail show in the logits; some networks start with almost constant ones.
    """
    return fill(build(request.param))


@pytest.fixture
def network(shared: SegmentationModel) -> Iterator[SegmentationModel]:
    """The network in evaluation mode, without gradients."""
    shared.zero_grad()
    yield shared.eval()
    shared.zero_grad()


def pictures(*size: int, batch: int = 1, channels: int = 3) -> Tensor:
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(0))


def training_loss(network: SegmentationModel, images: Tensor) -> Tensor:
    """The weighted sum of a loss on every map that training returns."""
    maps = network.train()(images)
    assert isinstance(maps, tuple)
    assert [logits.shape for logits in maps] == [(len(images), 1, *images.shape[-2:])] * len(network.output_weights)
    target = (images[:, :1] > 0).float()
    losses = [F.binary_cross_entropy_with_logits(logits, target) for logits in maps]
    return torch.stack([w * loss for w, loss in zip(network.output_weights, losses, strict=True)]).sum()


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    assert (actual - expected).abs().max() <= tolerance * expected.std()


@pytest.mark.parametrize("size", [(224, 224), (352, 352), (200, 333)])
def test_output_size(network: SegmentationModel, size: tuple[int, int]):
    shapes_only = copy.deepcopy(network).to("meta")
    assert shapes_only(torch.empty(2, 3, *size, device="meta")).shape == (2, 1, *size)


@torch.no_grad()
def test_one_image_of_odd_size(network: SegmentationModel):
    logits = network(pictures(70, 91))
    assert logits.shape == (1, 1, 70, 91)
    assert logits.isfinite().all()


@torch.no_grad()
def test_images_are_independent_in_evaluation(network: SegmentationModel):
    images = pictures(64, 64, batch=2)
    assert_close(network(images)[1:], network(images[1:]), tolerance=1e-4)


def test_every_parameter_learns(network: SegmentationModel):
    loss = training_loss(network, pictures(64, 96, batch=2))
    loss.backward()
    without = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_bfloat16(network: SegmentationModel):
    with torch.autocast("cpu", torch.bfloat16):
        loss = training_loss(network, pictures(64, 64, batch=2))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.slow  # CPUs are
@torch.no_grad()
def test_float16(network: SegmentationModel):
    with torch.autocast("cpu", torch.float16):
        assert training_loss(network, pictures(32, 32, batch=2)).isfinite()


@torch.no_grad()
def test_channels_last(network: SegmentationModel):
    images = pictures(64, 96)
    expected = network(images)
    network.to(memory_format=torch.channels_last)
    actual = network(images.contiguous(memory_format=torch.channels_last))
    network.to(memory_format=torch.contiguous_format)
    assert_close(actual, expected, tolerance=1e-3)


@torch.no_grad()
def test_state_dict(network: SegmentationModel, tmp_path: Path):
    expected = network(pictures(64, 64))
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    copied = copy.deepcopy(network)
    for parameter in copied.parameters():
        parameter.zero_()
    copied.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(copied(pictures(64, 64)), expected)


@pytest.mark.slow
@torch.no_grad()
def test_export(network: SegmentationModel):
    images = pictures(64, 64)
    exported = torch.export.export(network, (images,))
    assert_close(exported.module()(images), network(images), tolerance=1e-3)


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_channels_and_classes(name: str):
    network = build(name, in_channels=1, classes=2).eval()
    logits = network(pictures(64, 64, channels=1))
    assert logits.shape == (1, 2, 64, 64)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", [name for name in CONFIGS if "deep_supervision" in load(name)])
def test_without_deep_supervision(name: str):
    network = build(name, deep_supervision=False)
    assert network.output_weights == (1.0,)
    training_loss(network, pictures(64, 64, batch=2)).backward()
    assert all(parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("name", [name for name in CONFIGS if "deep_supervision" in load(name)])
def test_evaluation_computes_no_auxiliary_map(name: str):
    variant = {"variant": "resnet50"} if name == "fcn" else {}

    def flops(deep_supervision: bool) -> int:
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            network = build(name, deep_supervision=deep_supervision, **variant).eval()
            network(torch.empty(1, 3, 64, 64))
        return counter.get_total_flops()

    assert flops(True) == flops(False) > 0


class Echo(SegmentationModel):
    """Returns what it is given."""

    size_multiple = 8

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        self.seen = images
        return (images,)


def test_padding_repeats_the_border_and_is_cropped():
    images = pictures(9, 16)
    echo = Echo().eval()
    assert torch.equal(echo(images), images)
    assert echo.seen.shape == (1, 3, 16, 16)
    assert torch.equal(echo.seen[..., 8:, :], images[..., 8:, :].expand(1, 3, 8, 16))
