"""Each loss lowers itself: three networks learn four small images by heart.

What the ten of the study do to all twelve networks is looked at in tests/models.
"""

import copy
from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from tests.losses.cases import NAMES, named
from tests.models.configs import build

STEPS = 8
BASIC = ("iou", "dice", "bce", "focal")
STUDIED = {*BASIC, *map("_".join, combinations(BASIC, 2))}
NETWORKS = {"unet": {"width": 4}, "unetplusplus": {"width": 4, "deep_supervision": False}, "colonsegnet": {"width": 8}}


@pytest.fixture(scope="module")
def images() -> tuple[Tensor, Tensor]:
    """Bright discs on noise, the last image without one."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    masks = torch.stack([(torch.hypot(rows - 14.0, columns - 17.0) < radius) for radius in (8, 6, 4, 0)])[
        :, None
    ].float()
    return masks + 0.3 * torch.randn(4, 3, 32, 32, generator=generator), masks


@pytest.fixture(scope="module", params=NETWORKS)
def fresh(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build(request.param, **NETWORKS[request.param])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NAMES) - STUDIED))
def test_it_learns_by_heart(name: str, fresh: nn.Module, images: tuple[Tensor, Tensor]) -> None:
    network, loss, (inputs, masks) = copy.deepcopy(fresh).train(), named(name), images
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    values = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = loss(network(inputs)[0], masks)  # the main output
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert torch.tensor(values).isfinite().all()
    assert min(values[-3:]) < 0.97 * values[0]
