"""Every network learns, every loss teaches, and compiled networks compute what they computed."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from timm.layers import DropPath
from torch import Tensor, nn

from lightning_seg.catalogue import LOSSES, NETWORKS
from lightning_seg.models import SegmentationModel
from tests.models.configs import SMALL, build

CONF = Path(__file__).parents[2] / "conf"
STEPS = 3
LEARNING_RATES = {"fcn": 1e-4, "esfpnet": 3e-4}  # others 1e-3

pytestmark = pytest.mark.slow


def test_all_of_them_are_here():
    assert SMALL.keys() == NETWORKS.keys()


@pytest.fixture(scope="module", params=SMALL)
def fresh(request: pytest.FixtureRequest) -> tuple[str, SegmentationModel, dict[str, Tensor]]:
    """A network, and the weights that it starts from."""
    torch.manual_seed(0)
    network = build(request.param, **SMALL[request.param])
    return request.param, network, copy.deepcopy(network.state_dict())


@pytest.fixture
def network(fresh: tuple[str, SegmentationModel, dict[str, Tensor]]) -> Iterator[SegmentationModel]:
    """The network as it starts, in training mode; networks run one after the other through all tests."""
    _, network, start = fresh
    network.load_state_dict(start)
    yield network.train()
    network.zero_grad()


@pytest.fixture
def learning_rate(fresh: tuple[str, SegmentationModel, dict[str, Tensor]]) -> float:
    return LEARNING_RATES.get(fresh[0], 1e-3)


@pytest.fixture(scope="module")
def losses() -> dict[str, nn.Module]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        nodes = {name: compose("config", [f"loss={name}"]).loss for name in LOSSES}
    return {name: instantiate(node) for name, node in nodes.items()}


def task(size: int = 32) -> tuple[Tensor, Tensor]:
    """Two images of noise, each with a bright disc, and masks of the discs."""
    across = torch.linspace(-1, 1, size)
    masks = torch.stack([((across - x) ** 2 + (across[:, None] - x) ** 2 < 0.3).float() for x in (-0.2, 0.3)])
    masks = masks.unsqueeze(1)
    noise = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    return 0.3 * noise + 2 * masks - 1, masks


def training_loss(network: nn.Module, weights: tuple[float, ...], loss: nn.Module, task: Any) -> Tensor:
    images, masks = task
    torch.manual_seed(0)  # the same dropout in every step: one function to descend
    return sum(w * loss(logits, masks) for w, logits in zip(weights, network(images), strict=True))


@pytest.mark.parametrize("turn", range(3))
def test_loss_goes_down(
    fresh: tuple[str, Any, Any],
    network: SegmentationModel,
    learning_rate: float,
    losses: dict[str, nn.Module],
    turn: int,
):
    """Three losses a network, others for the next one, so that each loss has three or four networks to teach."""
    name = list(losses)[(3 * list(SMALL).index(fresh[0]) + turn) % len(losses)]
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    values = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = training_loss(network, network.output_weights, losses[name], task())
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters() if p.requires_grad)
        optimizer.step()
        values.append(loss.item())
    with torch.no_grad():
        values.append(training_loss(network, network.output_weights, losses[name], task()).item())
    assert values[-1] < 0.99 * values[0], values


def assert_same_step(network: SegmentationModel, loss: nn.Module, **options: Any) -> None:
    """The loss and the gradients of a step agree with those of the network that is not compiled."""

    def step(run: nn.Module) -> tuple[Tensor, list[Tensor]]:
        network.zero_grad()
        value = training_loss(run, network.output_weights, loss, task())
        value.backward()
        return value.detach(), [p.grad.clone() for p in network.parameters() if p.grad is not None]

    expected, expected_gradients = step(network)
    torch.compiler.reset()
    actual, gradients = step(torch.compile(network, **options))
    torch.testing.assert_close(actual, expected)
    scale = max(gradient.abs().max() for gradient in expected_gradients)
    assert scale > 0
    for a, b in zip(gradients, expected_gradients, strict=True):
        assert (a - b).abs().max() <= 1e-3 * scale


def test_compiled(network: SegmentationModel, losses: dict[str, nn.Module]):
    """As dynamo traces them; what autograd traces, and the code that is made of it, are tested on one each."""
    for module in network.modules():  # whose random numbers are drawn in another order
        if isinstance(module, nn.Dropout | nn.Dropout2d | DropPath):
            module.eval()
    assert_same_step(network, losses["iou_focal"], backend="eager")


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_by(losses: dict[str, nn.Module], backend: str):
    assert_same_step(build("unet", width=4).train(), losses["iou_focal"], backend=backend)
