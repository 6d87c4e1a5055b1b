"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597), padded and batch-normalised as today's benchmarks run it."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.base import SegmentationModel, check_multiple
from lightning_seg.models.blocks import ConvBNReLU


def double_conv(in_channels: int, out_channels: int, middle: int | None = None) -> nn.Sequential:
    """Two 3x3 convolutions, each with batch normalisation and ReLU."""
    middle = middle or out_channels
    return nn.Sequential(ConvBNReLU(in_channels, middle), ConvBNReLU(middle, out_channels))


class Up(nn.Module):
    """Double the resolution, concatenate after the skip, convolve twice."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, bilinear: bool) -> None:
        super().__init__()
        self.upsample: nn.Module
        if bilinear:
            self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = double_conv(in_channels + skip_channels, out_channels, in_channels)
        else:
            self.upsample = nn.ConvTranspose2d(in_channels, skip_channels, kernel_size=2, stride=2)
            self.conv = double_conv(2 * skip_channels, out_channels)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        features = self.upsample(features)
        # Pooling floors, so the map can be a row or column short of the skip.
        down, right = skip.shape[-2] - features.shape[-2], skip.shape[-1] - features.shape[-1]
        if down or right:
            features = F.pad(features, (right // 2, right - right // 2, down // 2, down - down // 2))
        return self.conv(torch.cat((skip, features), dim=1))


class UNet(SegmentationModel):
    """U-Net with ``width`` channels at full resolution, doubling over four poolings.

    Any input of at least 16 pixels a side works. At the default width there are 31,037,633 parameters.

    Args:
        width: channels of the first level; 64 in the paper, fewer for small runs.
        bilinear: upsample by interpolation, with half the bottom's channels, instead of by transposed
            convolution.
        in_channels: channels of the input.
        classes: logit maps of the output.

    Raises:
        UserError: a ``width`` below 1.
    """

    def __init__(self, width: int = 64, bilinear: bool = False, in_channels: int = 3, classes: int = 1) -> None:
        super().__init__()
        check_multiple("width", width)
        widths = [width * 2**level for level in range(5)]
        if bilinear:
            widths[4] //= 2
        self.stem = double_conv(in_channels, widths[0])
        self.down = nn.ModuleList(double_conv(a, b) for a, b in itertools.pairwise(widths))
        ups = []
        features = widths[4]
        for level in (3, 2, 1, 0):
            out = widths[level] // 2 if bilinear and level else widths[level]
            ups.append(Up(features, widths[level], out, bilinear))
            features = out
        self.up = nn.ModuleList(ups)
        self.head = nn.Conv2d(widths[0], classes, kernel_size=1)

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        skips = [self.stem(images)]
        for block in self.down:
            skips.append(block(F.max_pool2d(skips[-1], 2)))
        features = skips.pop()
        for up in self.up:
            features = up(features, skips.pop())
        return (self.head(features),)
