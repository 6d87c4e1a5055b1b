"""ESFPNet (Chang et al. 2023, SPIE Medical Imaging, arXiv:2207.07759)."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from timm.models.pvt_v2 import OverlapPatchEmbed
from torch import Tensor, nn

from lightning_seg.models.base import SegmentationModel
from lightning_seg.models.encoders import mix_transformer


def convolve_concatenated(conv: nn.Conv2d, maps: Sequence[Tensor]) -> Tensor:
    """A 1x1 convolution of the concatenation of ``maps``, all brought to the first one's size.

    Convolution over channels and bilinear interpolation over space commute, so each map is convolved at its own
    resolution and only the result, which has fewer channels, is upsampled and added.
    """
    weights = conv.weight.split([features.shape[1] for features in maps], dim=1)
    total = F.conv2d(maps[0], weights[0], conv.bias)
    for features, weight in zip(maps[1:], weights[1:], strict=True):
        total = total + F.interpolate(F.conv2d(features, weight), size=total.shape[-2:], mode="bilinear")
    return total


class Fuse(nn.Module):
    """Fuse a deep map into a shallow one and project: concatenation, 1x1 convolution, batch norm, ReLU, projection."""

    def __init__(self, shallow_channels: int, deep_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(shallow_channels + deep_channels, shallow_channels, kernel_size=1, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm2d(shallow_channels)
        self.projection = projection(shallow_channels)

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        features = self.norm(convolve_concatenated(self.conv, (shallow, deep)))
        return self.projection(F.relu(features, inplace=True))


def projection(channels: int) -> nn.Conv2d:
    """The linear layer at every position that the paper predicts with: no norm, no activation, width kept."""
    return nn.Conv2d(channels, channels, kernel_size=1)


class ESFPNet(SegmentationModel):
    """Mix Transformer encoder and the efficient stage-wise feature pyramid.

    The authors' notebooks return the logits at a quarter of the input's size; here they are upsampled bilinearly
    without aligned corners, as their LA notebook trains. With the default encoder (ESFPNet-S) there are
    25,043,649 parameters, with ``b4`` (ESFPNet-L) 61,690,049.

    Args:
        variant: size of the MiT encoder, ``b0`` to ``b5``; ``b2`` gives the paper's headline result.
        pretrained: start the encoder from NVIDIA's ImageNet-1k weights, licensed for non-commercial use only.
        weights: a file to load the encoder's weights from instead of downloading them.
        in_channels: channels of the input.
        classes: logit maps of the output.

    Raises:
        UserError: an unknown ``variant``, or weights that cannot be had.
    """

    size_multiple = 32

    def __init__(
        self,
        variant: str = "b2",
        pretrained: bool = False,
        weights: str | Path | None = None,
        in_channels: int = 3,
        classes: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = mix_transformer(variant, pretrained=pretrained, weights=weights, in_chans=in_channels)
        if not pretrained:
            # The authors' copy of MiT lacks SegFormer's initialisation of these, which their weights hide.
            for module in self.encoder.modules():
                if isinstance(module, OverlapPatchEmbed):
                    module.proj.reset_parameters()
            self.training_version = 2  # 1: they started as SegFormer's do
        channels = self.encoder.feature_info.channels()
        self.projections = nn.ModuleList(projection(width) for width in channels)
        self.fuse = nn.ModuleList(Fuse(shallow, deep) for shallow, deep in itertools.pairwise(channels))
        self.head = nn.Conv2d(sum(channels), classes, kernel_size=1)

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        levels = self.encoder(images)
        projected = [project(level) for project, level in zip(self.projections, levels, strict=True)]
        pyramid = [projected.pop()]
        for fuse in reversed(self.fuse):
            pyramid.append(fuse(projected.pop(), pyramid[-1]))
        logits = convolve_concatenated(self.head, pyramid[::-1])
        return (F.interpolate(logits, scale_factor=4, mode="bilinear"),)
