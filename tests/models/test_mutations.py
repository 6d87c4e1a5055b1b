"""The recorded outputs catch wrong details: networks with one detail changed must fail the comparison.

To add one, append a row to ``MUTATIONS`` whose description starts with the kind of detail: dilation, eps,
align_corners, order, activation or other.
"""

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.attention import LineAttention
from tests.models.cases import CASES
from tests.models.shape_seeded import NORMS, calibrate, fill
from tests.models.test_golden import GOLDEN, TOLERANCE, outputs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not GOLDEN.is_dir(), reason="the recorded reference outputs are not here"),
]


@dataclass(frozen=True)
class Mutation:
    """One wrong detail: ``apply`` changes a filled network in place."""

    case: str
    description: str
    apply: Callable[[Any], Any]
    recording: str = "calibrated"

    def __str__(self) -> str:
        return f"{self.case}-{self.description}"


def set_eps(module: nn.Module, old: float, new: float) -> None:
    """Give every normalisation whose epsilon is ``old`` the ``new`` one."""
    for norm in module.modules():
        if isinstance(norm, NORMS) and norm.eps == old:
            norm.eps = new


def set_dilation(module: nn.Module, old: int, new: int) -> None:
    """Give every convolution that is dilated by ``old`` the ``new`` dilation and padding."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d) and conv.dilation == (old, old):
            conv.dilation = conv.padding = (new, new)


def replace(module: nn.Module, old: type[nn.Module], new: nn.Module) -> None:
    """Put ``new`` in the place of every ``old`` inside ``module``."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, old):
                setattr(parent, name, new)


def roll(module: nn.Module, channels: int) -> None:
    """Feed ``module`` its input's channels in another order, as a swapped concatenation would."""
    module.register_forward_pre_hook(lambda _, inputs: (inputs[0].roll(channels, dims=1),))


def within(module: nn.Module, owner: Any, function: str, substitute: Callable, method: str = "forward") -> None:
    """While ``module`` runs its ``method``, call ``substitute`` in place of ``owner.function``."""
    original = getattr(module, method)

    def patched(*inputs: Any) -> Any:
        with mock.patch.object(owner, function, substitute):
            return original(*inputs)

    setattr(module, method, patched)


def interpolate(**changes: Any) -> Callable[..., Tensor]:
    """``F.interpolate`` with some of its arguments changed."""
    original, signature = F.interpolate, inspect.signature(F.interpolate)

    def changed(*args: Any, **options: Any) -> Tensor:
        return original(**{**signature.bind(*args, **options).arguments, **changes})

    return changed


def reverse_auxiliary(network: Any) -> None:
    original = network.outputs

    def outputs(images: Tensor) -> tuple[Tensor, ...]:
        main, *auxiliary = original(images)
        return main, *reversed(auxiliary)

    network.outputs = outputs


def attend_along_height(network: Any) -> None:
    """True axial attention: what is published leaves the height out on square maps."""
    for module in network.modules():
        if isinstance(module, LineAttention) and module.dim == -2:
            original = module.forward
            module.forward = lambda features, original=original: original(features.mT.contiguous()).mT


def reverse_branches(network: Any) -> None:
    for stage in network.refine.stages:
        stage.context.branches = stage.context.branches[::-1]


def drop_last_activation(network: Any) -> None:
    for stage in network.refine.stages:
        stage.correct[-1][-1] = nn.Identity()


def softmax_attention(network: Any) -> None:
    for module in network.modules():
        if isinstance(module, LineAttention):
            within(module, torch, "sigmoid", lambda scores: scores.softmax(dim=-1))


def set_residual(network: Any, residual: bool) -> None:
    for stage in network.refine.stages:
        stage.residual = residual


def use_bins(network: Any, *bins: int) -> None:
    for pool, cells in zip(network.decoder.pooling.pools, bins, strict=True):
        pool[0] = nn.AdaptiveAvgPool2d(cells)


def regroup(network: Any) -> None:
    for norm in network.modules():
        if isinstance(norm, nn.GroupNorm) and norm.num_groups == 32:
            norm.num_groups = 16


MUTATIONS = [
    Mutation("caranet", "dilation: 8 for 9", lambda n: set_dilation(n.refine, 9, 8)),
    Mutation("caranet", "dilation: 2 for 3", lambda n: set_dilation(n.refine, 3, 2)),
    Mutation("caranet", "eps: 1e-5 in the decoder", lambda n: set_eps(n, 1e-3, 1e-5)),
    Mutation("caranet", "eps: 1e-3 in the encoder", lambda n: set_eps(n.encoder, 1e-5, 1e-3)),
    Mutation(
        "caranet",
        "align_corners: false in the partial decoder",
        lambda n: within(n.decoder, F, "interpolate", interpolate(align_corners=False)),
    ),
    Mutation(
        "caranet",
        "align_corners: true in the refinement",
        lambda n: within(n.refine, F, "interpolate", interpolate(align_corners=True)),
    ),
    Mutation("caranet", "order: auxiliary outputs, deepest first", reverse_auxiliary),
    Mutation("caranet", "order: concatenation in the partial decoder", lambda n: roll(n.decoder.fuse_mid, 32)),
    Mutation("caranet", "order: branches summed from the widest one", reverse_branches),
    Mutation("caranet", "activation: none after the 1-channel convolutions", drop_last_activation),
    Mutation("caranet", "activation: softmax for the attention's sigmoid", softmax_attention),
    Mutation("caranet", "activation: ReLU for PReLU", lambda n: replace(n, nn.PReLU, nn.ReLU())),
    Mutation("caranet", "other: attention along the height", attend_along_height),
    Mutation("caranet", "other: a skip around the attention", lambda n: set_residual(n, True)),
    Mutation("colonformer", "dilation: 8 for 9", lambda n: set_dilation(n.refine, 9, 8)),
    Mutation("colonformer", "eps: 1e-5 in the refinement", lambda n: set_eps(n.refine, 1e-3, 1e-5)),
    Mutation("colonformer", "eps: 1e-3 in the UPerHead", lambda n: set_eps(n.decoder, 1e-5, 1e-3)),
    Mutation(
        "colonformer",
        "align_corners: true in the UPerHead",
        lambda n: within(n.decoder, F, "interpolate", interpolate(align_corners=True)),
    ),
    Mutation(
        "colonformer",
        "align_corners: true everywhere",
        lambda n: within(n, F, "interpolate", interpolate(align_corners=True), method="outputs"),
    ),
    Mutation("colonformer", "order: auxiliary outputs, deepest first", reverse_auxiliary),
    Mutation("colonformer", "order: pooled maps before the features", lambda n: roll(n.decoder.pooling.fuse, 512)),
    Mutation("colonformer", "order: pyramid concatenated from the deep end", lambda n: roll(n.decoder.fuse, 128)),
    Mutation("colonformer", "order: branches summed from the widest one", reverse_branches),
    Mutation("colonformer", "activation: none after the 1-channel convolutions", drop_last_activation),
    Mutation("colonformer", "activation: none in the UPerHead", lambda n: replace(n.decoder, nn.ReLU, nn.Identity())),
    Mutation("colonformer", "activation: ReLU for GELU", lambda n: replace(n.encoder, nn.GELU, nn.ReLU())),
    Mutation("colonformer", "other: no skip around the attention", lambda n: set_residual(n, False)),
    Mutation("colonformer", "other: pooling to 1, 2, 4 and 8 bins", lambda n: use_bins(n, 1, 2, 4, 8)),
    Mutation("fcbformer", "eps: 1e-3 in the group norms", lambda n: set_eps(n, 1e-5, 1e-3)),
    Mutation(
        "fcbformer",
        "align_corners: bilinear, true, in the transformer branch",
        lambda n: within(n.locality, F, "interpolate", interpolate(mode="bilinear", align_corners=True)),
    ),
    Mutation(
        "fcbformer",
        "align_corners: bilinear, false, everywhere",
        lambda n: within(n, F, "interpolate", interpolate(mode="bilinear", align_corners=False), method="outputs"),
    ),
    Mutation("fcbformer", "order: running map before the level", lambda n: roll(n.locality.merge[0][0], 64)),
    Mutation("fcbformer", "order: skip before the running map", lambda n: roll(n.convolutional.decoder[-1], 32)),
    Mutation("fcbformer", "order: convolutional branch first in the head", lambda n: roll(n.head[0], 32)),
    Mutation("fcbformer", "activation: ReLU for SiLU", lambda n: replace(n, nn.SiLU, nn.ReLU())),
    Mutation("fcbformer", "activation: GELU for SiLU", lambda n: replace(n.head, nn.SiLU, nn.GELU())),
    Mutation("fcbformer", "other: 16 groups for 32", regroup),
]


@functools.lru_cache(maxsize=1)  # rows of one case follow each other
def filled(name: str) -> nn.Module:
    case = next(case for case in CASES if str(case) == name)
    return fill(case.network(**case.options)).eval()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_caught(mutation: Mutation):
    case = next(case for case in CASES if str(case) == mutation.case)
    network = copy.deepcopy(filled(mutation.case))
    mutation.apply(network)
    if mutation.recording == "calibrated":
        calibrate(network)
    actual = outputs(network)
    with np.load(GOLDEN / case.folder / f"{mutation.recording}{case.suffix}.npz") as expected:
        differences = {name: np.abs(actual[name] - expected[name]).max() / expected[name].std() for name in actual}
    assert max(differences.values()) > TOLERANCE, differences
