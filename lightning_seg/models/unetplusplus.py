"""UNet++ (Zhou et al. 2018, arXiv:1807.10165; 2020, arXiv:1912.05074), as today's benchmarks run it."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.base import SegmentationModel, check_multiple
from lightning_seg.models.blocks import ConvBNReLU


def node(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions with bias, each with batch normalisation and ReLU."""
    return nn.Sequential(
        ConvBNReLU(in_channels, out_channels, bias=True), ConvBNReLU(out_channels, out_channels, bias=True)
    )


class UNetPlusPlus(SegmentationModel):
    """A U-Net whose skips are grids of convolutions, each fed by all before it on its level and by the one below.

    The network is the PyTorch form that the authors' page lists and that benchmarks run: it upsamples
    bilinearly where the authors' first code learns a transposed convolution, and normalises where that drops
    out. At the default width there are 9,163,329 parameters, 9,163,428 with deep supervision.

    Args:
        width: channels of the first level, which double on each of the four below; 32 in the paper, fewer for
            small runs.
        deep_supervision: train a head on each of the four nested U-Nets, with equal weights. The prediction is
            that of the deepest one in any case.
        in_channels: channels of the input.
        classes: logit maps of the output.

    Raises:
        UserError: a ``width`` below 1.
    """

    size_multiple = 16
    grid: Any

    def __init__(self, width: int = 32, deep_supervision: bool = False, in_channels: int = 3, classes: int = 1) -> None:
        super().__init__()
        check_multiple("width", width)
        widths = [width * 2**level for level in range(5)]
        self.encoder = nn.ModuleList(node(a, b) for a, b in itertools.pairwise([in_channels, *widths]))
        # grid[level][column - 1] has `column` older nodes of its level and one of the level below as its input.
        self.grid = nn.ModuleList(
            nn.ModuleList(node(column * here + below, here) for column in range(1, 5 - level))
            for level, (here, below) in enumerate(itertools.pairwise(widths))
        )
        heads = 4 if deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv2d(width, classes, kernel_size=1) for _ in range(heads))
        self.output_weights = (1 / heads,) * heads

    def outputs(self, images: Tensor) -> Iterator[Tensor]:
        levels = [[self.encoder[0](images)]]
        for block in self.encoder[1:]:
            levels.append([block(F.max_pool2d(levels[-1][0], 2))])
        for column in range(1, 5):
            for level in range(5 - column):
                below = F.interpolate(levels[level + 1][-1], scale_factor=2, mode="bilinear", align_corners=True)
                levels[level].append(self.grid[level][column - 1](torch.cat((*levels[level], below), dim=1)))
        *auxiliary, main = zip(self.heads, levels[0][-len(self.heads) :], strict=True)
        return (head(features) for head, features in (main, *auxiliary))
