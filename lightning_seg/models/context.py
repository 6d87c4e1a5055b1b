"""Modules that gather context at several scales from one feature map."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.blocks import ConvBNPReLU, ConvBNReLU


class PyramidChannel(nn.Module):
    """One branch of CFP: three grouped convolutions of one dilation in a chain, their outputs concatenated."""

    def __init__(self, channels: int, groups: int, dilation: int) -> None:
        super().__init__()
        self.first = ConvBNPReLU(channels, groups, dilation=dilation, groups=groups)
        self.second = ConvBNPReLU(groups, groups, dilation=dilation, groups=groups)
        self.third = ConvBNPReLU(groups, channels - 2 * groups, dilation=dilation, groups=groups)

    def forward(self, features: Tensor) -> Tensor:
        first = self.first(features)
        second = self.second(first)
        return torch.cat((first, second, self.third(second)), dim=1)


class ChannelwiseFeaturePyramid(nn.Module):
    """CFP module (Lou & Loew 2021, arXiv:2103.12212): four dilated branches, added up step by step, and a skip.

    Args:
        channels: channels in and out, a multiple of 16.
        dilations: of the four branches; CaraNet and ColonFormer run 1, 3, 5, 9, not the paper's 1, 2, 4, 8.
    """

    def __init__(self, channels: int, dilations: tuple[int, int, int, int] = (1, 3, 5, 9)) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.BatchNorm2d(channels, eps=1e-3),
            nn.PReLU(channels),
            ConvBNPReLU(channels, channels // 4),
        )
        self.branches = nn.ModuleList(
            PyramidChannel(channels // 4, groups=channels // 16, dilation=dilation) for dilation in dilations
        )
        self.project = nn.Sequential(
            nn.BatchNorm2d(channels, eps=1e-3),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, kernel_size=1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(N, channels, H, W)`` to the same shape."""
        reduced = self.reduce(features)
        sums = tuple(itertools.accumulate(branch(reduced) for branch in self.branches))
        return self.project(torch.cat(sums, dim=1)) + features


class PyramidPooling(nn.Module):
    """Pyramid pooling module (Zhao et al. 2017, arXiv:1612.01105): averages over 1, 2, 3 and 6 bins a side.

    Batch normalisation of the single bin's 1x1 map cannot train on a batch of one.

    Args:
        in_channels: channels of the input.
        out_channels: channels of each pooled map and of the output.
        bins: cells a side of each pooled map.
    """

    def __init__(self, in_channels: int, out_channels: int, bins: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.pools = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(cells), ConvBNReLU(in_channels, out_channels, kernel_size=1))
            for cells in bins
        )
        self.fuse = ConvBNReLU(in_channels + len(bins) * out_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        size = features.shape[-2:]
        pooled = (F.interpolate(pool(features), size=size, mode="bilinear") for pool in self.pools)
        return self.fuse(torch.cat((features, *pooled), dim=1))
