"""The recorded outputs catch wrong details: networks with one detail changed must fail the comparison.

To add one, append a row to ``MUTATIONS`` whose description starts with the kind of detail: dilation, eps,
align_corners, order, activation or other.
"""

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.attention import LineAttention
from lightning_seg.models.blocks import SqueezeExcite
from lightning_seg.models.colonsegnet import ResidualBlock
from lightning_seg.models.ducknet import Residual
from tests.models.cases import CASES
from tests.models.shape_seeded import NORMS, calibrate, fill
from tests.models.test_golden import GOLDEN, TOLERANCE, deviation, outputs, recorded_outputs

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
            result = original(*inputs)
            return tuple(result) if isinstance(result, Iterator) else result

    setattr(module, method, patched)


def interpolate(**changes: Any) -> Callable[..., Tensor]:
    """``F.interpolate`` with some of its arguments changed."""
    original, signature = F.interpolate, inspect.signature(F.interpolate)

    def changed(*args: Any, **options: Any) -> Tensor:
        arguments = {**signature.bind(*args, **options).arguments, **changes}
        if arguments.get("mode", "nearest") == "nearest":
            arguments["align_corners"] = None
        return original(**arguments)

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


def attend_on_main_path(network: Any) -> None:
    for block in network.modules():
        if isinstance(block, ResidualBlock):
            block.main.append(block.shortcut.pop(-1))


def drop_activation_in_gate(network: Any) -> None:
    for gate in network.modules():
        if isinstance(gate, SqueezeExcite):
            gate.gate[1] = nn.Identity()


def roll_weights(conv: nn.Conv2d, channels: int) -> None:
    """As :func:`roll`, for a convolution whose input is never concatenated."""
    conv.weight.data = conv.weight.data.roll(channels, dims=1)


def shuffle_in_groups(network: Any, groups: int) -> None:
    for block in network.decoder.multi_scale:
        block.channels = block.narrow.in_channels // groups


def attend_to_space_first(network: Any) -> None:
    decoder = network.decoder

    def refine(stage: int, features: Tensor) -> Tensor:
        features = decoder.channel_attention[stage](decoder.spatial_attention(features))
        return decoder.multi_scale[stage](features)

    decoder._refine = refine


def dilate_depthwise(network: Any) -> None:
    for block in network.decoder.multi_scale:
        set_dilation(block.scales[1], 1, 2)


def repeat(network: Any, *times: int) -> None:
    for adapt, repeats in zip(network.adapt, times, strict=True):
        adapt.repeats = repeats


def normalise_tokens(network: Any) -> None:
    network.transformer.blocks.append(nn.LayerNorm(network.transformer.width))


def add_positions(network: Any) -> None:
    positions = 0.02 * torch.randn(14 * 14, network.transformer.width, generator=torch.Generator().manual_seed(0))
    network.transformer.blocks[0].register_forward_pre_hook(lambda _, inputs: (inputs[0] + positions,))


def pass_through(features: Tensor, inplace: bool = False) -> Tensor:
    return features


def concatenate(reorder: Callable[[list[Tensor]], list[Tensor]]) -> Callable[..., Tensor]:
    """``torch.cat`` of the same maps in another order."""
    original = torch.cat
    return lambda maps, dim=0: original(reorder(list(maps)), dim=dim)


def swap_main(network: Any) -> None:
    original = network.outputs
    network.outputs = lambda images: tuple(original(images))[::-1]


def upsample_corner_to_corner(network: Any) -> None:
    """Interpolate the scores to the size of a transposed convolution's output."""
    upsample = network.head.upsample_to_image

    def forward(scores: Tensor) -> Tensor:
        size = [upsample.factor * (side + 1) for side in scores.shape[-2:]]
        return F.interpolate(scores, size, mode="bilinear", align_corners=True)

    upsample.forward = forward


def pool_in_full_windows(network: Any) -> None:
    for layer in network.encoder.features:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = False


def tap_after_activation(network: Any) -> None:
    network.reduce_low.register_forward_pre_hook(lambda _, inputs: (inputs[0].relu(),))


def drop_middle_activations(network: Any) -> None:
    for separable in (*network.pyramid.branches[1:], *network.decoder):
        separable[0][2] = nn.Identity()


def normalise_before_activation(network: Any) -> None:
    for block in network.modules():
        if isinstance(block, nn.Sequential) and isinstance(block[-1], nn.BatchNorm2d):
            block[-2], block[-1] = block[-1], block[-2]


def pad_other_side(network: Any) -> None:
    for pad in network.modules():
        if isinstance(pad, nn.ZeroPad2d):
            left, right, top, bottom = pad.padding
            pad.padding = (right, left, bottom, top)


def drop_activation_on_shortcut(network: Any) -> None:
    for block in network.modules():
        if isinstance(block, Residual):
            block.shortcut[1] = nn.Identity()


def drop_last_norm(network: Any) -> None:
    for block in network.modules():
        if isinstance(block, Residual):
            block.norm = nn.Identity()


MUTATIONS = [
    Mutation("unet", "dilation: 2 for 1 at the bottom", lambda n: set_dilation(n.down[3], 1, 2)),
    Mutation("unet", "eps: 1e-3", lambda n: set_eps(n, 1e-5, 1e-3)),
    Mutation(
        "unet_bilinear", "align_corners: false", lambda n: [setattr(up.upsample, "align_corners", False) for up in n.up]
    ),
    Mutation("unet", "order: upsampled before the skip", lambda n: roll(n.up[0].conv, 512)),
    Mutation("unet", "activation: LeakyReLU for ReLU", lambda n: replace(n, nn.ReLU, nn.LeakyReLU())),
    Mutation(
        "unet", "other: average for maximum pooling", lambda n: within(n, F, "max_pool2d", F.avg_pool2d, "outputs")
    ),
    Mutation("colonsegnet", "dilation: 2 for 1 with the stride", lambda n: set_dilation(n.encoder1.stride, 1, 2)),
    Mutation("colonsegnet", "eps: 1e-3, as in Keras", lambda n: set_eps(n, 1e-5, 1e-3)),
    Mutation("colonsegnet", "order: skip before the upsampled", lambda n: roll(n.fuse1, 64)),
    Mutation("colonsegnet", "order: upsampled before the running map", lambda n: roll(n.fuse4, 32)),
    Mutation("colonsegnet", "activation: none after the sum", lambda n: within(n, F, "relu", pass_through, "outputs")),
    Mutation("colonsegnet", "activation: none inside the channel attention", drop_activation_in_gate),
    Mutation("colonsegnet", "other: channel attention on the main path", attend_on_main_path),
    Mutation("esfpnet", "eps: 1e-3 in the batch norms", lambda n: set_eps(n.fuse, 1e-5, 1e-3)),
    Mutation(
        "esfpnet",
        "align_corners: true",
        lambda n: within(n, F, "interpolate", interpolate(align_corners=True), method="outputs"),
    ),
    Mutation(
        "esfpnet",
        "align_corners: nearest for bilinear in the pyramid",
        lambda n: within(n.fuse[0], F, "interpolate", interpolate(mode="nearest")),
    ),
    Mutation("esfpnet", "order: deep map first", lambda n: roll_weights(n.fuse[2].conv, 320)),
    Mutation("esfpnet", "order: deepest map first in the head", lambda n: roll_weights(n.head, 512)),
    Mutation("esfpnet", "activation: none after fusing", lambda n: within(n.fuse[1], F, "relu", pass_through)),
    Mutation("esfpnet", "activation: ReLU for GELU", lambda n: replace(n.encoder, nn.GELU, nn.ReLU())),
    Mutation("emcadnet", "dilation: 2 for 1 in the depthwise 3x3", dilate_depthwise),
    Mutation("emcadnet", "eps: 1e-3 in the decoder", lambda n: set_eps(n.decoder, 1e-5, 1e-3)),
    Mutation(
        "emcadnet",
        "align_corners: true",
        lambda n: within(n, F, "interpolate", interpolate(align_corners=True), method="outputs"),
    ),
    Mutation(
        "emcadnet",
        "align_corners: bilinear for nearest, false",
        lambda n: replace(n.decoder, nn.Upsample, nn.Upsample(scale_factor=2, mode="bilinear")),
    ),
    Mutation("emcadnet", "order: no channel shuffle", lambda n: shuffle_in_groups(n, 1)),
    Mutation("emcadnet", "order: auxiliary outputs, finest first", reverse_auxiliary),
    Mutation("emcadnet", "order: maximum before mean", lambda n: roll(n.decoder.spatial_attention.conv, 1)),
    Mutation("emcadnet", "order: spatial before channel attention", attend_to_space_first),
    Mutation("emcadnet", "activation: GELU for ReLU6", lambda n: replace(n.decoder, nn.ReLU6, nn.GELU())),
    Mutation("emcadnet", "activation: none when upsampling", lambda n: replace(n.decoder.up, nn.ReLU, nn.Identity())),
    Mutation("fatnet", "dilation: 2 for 1 in the adaptation", lambda n: set_dilation(n.adapt[0].wide, 1, 2)),
    Mutation("fatnet", "eps: 1e-3 in the decoder", lambda n: set_eps(n.up, 1e-5, 1e-3)),
    Mutation("fatnet", "order: transformer before the CNN", lambda n: roll(n.fuse, 512)),
    Mutation("fatnet", "order: most repeats at the deepest skip", lambda n: repeat(n, 6, 4, 2)),
    Mutation("fatnet", "activation: none in the adaptation", lambda n: within(n.adapt[2], F, "relu", pass_through)),
    Mutation("fatnet", "activation: ReLU for GELU", lambda n: replace(n.transformer, nn.GELU, nn.ReLU())),
    Mutation("fatnet", "other: skips adapted once", lambda n: repeat(n, 1, 1, 1)),
    Mutation("fatnet", "other: a final layer norm", normalise_tokens),
    Mutation("fatnet", "other: positions added to the tokens", add_positions),
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
    Mutation(
        "fcn", "dilation: 2 for 1 in the fifth group", lambda n: set_dilation(n.encoder.features[24:], 1, 2), "golden"
    ),
    Mutation("fcn", "align_corners: true, interpolated to the image", upsample_corner_to_corner, "golden"),
    Mutation(
        "fcn",
        "activation: none after fc7",
        lambda n: setattr(n.encoder.pre_logits, "act2", nn.Identity()),
        "golden",
    ),
    Mutation("fcn", "activation: LeakyReLU for ReLU", lambda n: replace(n, nn.ReLU, nn.LeakyReLU()), "golden"),
    Mutation("fcn", "other: image cropped a pixel early", lambda n: setattr(n.head, "image_offset", 30), "golden"),
    Mutation("fcn", "other: skip cropped a cell early", lambda n: setattr(n.head, "skip_offsets", (5, 8)), "golden"),
    Mutation("fcn", "other: poolings drop the last odd pixel", pool_in_full_windows, "golden"),
    Mutation("fcn", "other: padded by 101", lambda n: setattr(n.encoder.features[0], "padding", (53, 53)), "golden"),
    Mutation(
        "fcn_atonce",
        "order: scales of the skips swapped",
        lambda n: setattr(n.head, "skip_scales", (0.0001, 0.01)),
        "golden",
    ),
    Mutation("fcn_atonce", "other: no scales", lambda n: setattr(n.head, "skip_scales", (1, 1)), "golden"),
    Mutation("fcn_resnet50", "dilation: 2 for 4", lambda n: set_dilation(n.encoder, 4, 2)),
    Mutation("fcn_resnet50", "eps: 1e-3", lambda n: set_eps(n, 1e-5, 1e-3)),
    Mutation(
        "fcn_resnet50",
        "align_corners: true",
        lambda n: within(n, F, "interpolate", interpolate(align_corners=True), method="outputs"),
    ),
    Mutation("fcn_resnet50", "order: auxiliary map first", swap_main),
    Mutation("fcn_resnet50", "activation: none in the heads", lambda n: replace(n.head, nn.ReLU, nn.Identity())),
    Mutation("deeplabv3plus", "dilation: 5 for 6", lambda n: set_dilation(n.pyramid, 6, 5)),
    Mutation("deeplabv3plus", "dilation: 1 for 2 in the encoder", lambda n: set_dilation(n.encoder, 2, 1)),
    # At a width of 14 every rate from 14 on sees one pixel alone, so that 18 is held apart from less only.
    Mutation("deeplabv3plus", "dilation: 12 for 18", lambda n: set_dilation(n.pyramid, 18, 12)),
    Mutation("deeplabv3plus", "eps: 1e-3 outside the encoder", lambda n: set_eps(n, 1e-5, 1e-3)),
    Mutation("deeplabv3plus", "eps: 1e-5 in the encoder", lambda n: set_eps(n.encoder, 1e-3, 1e-5)),
    Mutation(
        "deeplabv3plus",
        "align_corners: false",
        lambda n: within(n, F, "interpolate", interpolate(align_corners=False), method="outputs"),
    ),
    Mutation("deeplabv3plus", "order: mean of the image last", lambda n: setattr(n.pyramid, "mean_first", False)),
    Mutation("deeplabv3plus", "order: low-level features first", lambda n: roll(n.decoder, 48)),
    Mutation("deeplabv3plus", "activation: low-level features after ReLU", tap_after_activation),
    Mutation("deeplabv3plus", "activation: none between depthwise and pointwise", drop_middle_activations),
    Mutation("deeplabv3plus_vainf_resnet50", "dilation: 1 for 2", lambda n: set_dilation(n.encoder, 2, 1), "golden"),
    Mutation("deeplabv3plus_vainf_resnet50", "eps: 1e-3", lambda n: set_eps(n, 1e-5, 1e-3), "golden"),
    Mutation(
        "deeplabv3plus_vainf_resnet50",
        "align_corners: true",
        lambda n: within(n, F, "interpolate", interpolate(align_corners=True), method="outputs"),
        "golden",
    ),
    Mutation(
        "deeplabv3plus_vainf_resnet50", "order: low-level features last", lambda n: roll(n.decoder, 256), "golden"
    ),
    Mutation(
        "deeplabv3plus_vainf_resnet50",
        "order: mean of the image first",
        lambda n: setattr(n.pyramid, "mean_first", True),
        "golden",
    ),
    Mutation(
        "deeplabv3plus_vainf_resnet50",
        "activation: none in the decoder",
        lambda n: replace(n.decoder, nn.ReLU, nn.Identity()),
        "golden",
    ),
    Mutation("unetplusplus", "dilation: 2 for 1 at the bottom", lambda n: set_dilation(n.encoder[4], 1, 2)),
    Mutation("unetplusplus", "eps: 1e-3", lambda n: set_eps(n, 1e-5, 1e-3)),
    Mutation(
        "unetplusplus",
        "align_corners: false",
        lambda n: within(n, F, "interpolate", interpolate(align_corners=False), method="outputs"),
    ),
    Mutation(
        "unetplusplus",
        "order: upsampled first",
        lambda n: within(n, torch, "cat", concatenate(lambda maps: [maps[-1], *maps[:-1]]), "outputs"),
    ),
    Mutation(
        "unetplusplus",
        "order: newest node first",
        lambda n: within(n, torch, "cat", concatenate(lambda maps: [*maps[-2::-1], maps[-1]]), "outputs"),
    ),
    Mutation("unetplusplus", "activation: LeakyReLU for ReLU", lambda n: replace(n, nn.ReLU, nn.LeakyReLU())),
    Mutation("unetplusplus_deep_supervision", "order: auxiliary outputs, deepest first", reverse_auxiliary),
    Mutation("ducknet", "dilation: 2 for 3", lambda n: set_dilation(n, 3, 2)),
    Mutation("ducknet", "eps: 1e-5", lambda n: set_eps(n, 1e-3, 1e-5)),
    Mutation(
        "ducknet",
        "align_corners: bilinear for nearest, false",
        lambda n: within(n, F, "interpolate", interpolate(mode="bilinear", align_corners=False), method="outputs"),
    ),
    Mutation("ducknet", "order: normalised before ReLU", normalise_before_activation),
    Mutation("ducknet", "activation: none on the shortcut", drop_activation_on_shortcut),
    Mutation("ducknet", "other: six taps padded by 3 and 2", pad_other_side),
    Mutation("ducknet", "other: residual sums not normalised", drop_last_norm),
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
    expected = recorded_outputs(case, mutation.recording)
    deviations = {name: deviation(actual[name], expected[name]) for name in actual}
    assert max(deviations.values()) > case.tolerance.get(mutation.recording, TOLERANCE), deviations
