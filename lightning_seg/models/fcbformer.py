"""FCBFormer (Sanderson & Matuszewski 2022, MIUA, arXiv:2208.08352)."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.base import SegmentationModel
from lightning_seg.models.encoders import check_variant, create_encoder


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each after group normalisation and SiLU, and a skip around them."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.GroupNorm(32, in_channels),
            nn.SiLU(),
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
            nn.GroupNorm(32, out_channels),
            nn.SiLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        )
        self.skip: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.skip = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        return self.main(features) + self.skip(features)


class ProgressiveLocality(nn.Module):
    """The transformer's levels, each brought to the finest one's resolution and merged from the deepest one up.

    Args:
        channels: channels of each level, fine to deep.
        width: channels of the output.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.emphasise = nn.ModuleList(
            nn.Sequential(ResidualBlock(level, width), ResidualBlock(width, width)) for level in channels
        )
        self.merge = nn.ModuleList(
            nn.Sequential(ResidualBlock(2 * width, width), ResidualBlock(width, width)) for _ in channels[1:]
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        finest, *deeper = (block(level) for block, level in zip(self.emphasise, levels, strict=True))
        *middle, merged = (F.interpolate(level, size=finest.shape[-2:]) for level in deeper)
        for block, level in zip(self.merge, (*reversed(middle), finest), strict=True):
            merged = block(torch.cat((level, merged), dim=1))
        return merged


class ConvolutionalBranch(nn.Module):
    """A residual U-Net at full resolution; the output of each of its encoder's layers is a skip to the decoder."""

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        channels = widths[0]
        kept = [channels]
        encoder: list[nn.Module] = [nn.Conv2d(in_channels, channels, kernel_size=3, padding=1)]
        for level, width in enumerate(widths):
            if level:
                encoder.append(nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1))
                kept.append(channels)
            encoder += [ResidualBlock(channels, width), ResidualBlock(width, width)]
            kept += [width, width]
            channels = width
        self.encoder = nn.ModuleList(encoder)
        self.middle = nn.Sequential(ResidualBlock(channels, channels), ResidualBlock(channels, channels))
        decoder: list[nn.Module] = []
        for width in reversed(widths):
            for _ in range(3):
                decoder.append(ResidualBlock(channels + kept.pop(), width))
                channels = width
            if kept:
                decoder += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, kernel_size=3, padding=1)]
        self.decoder = nn.ModuleList(decoder)

    def forward(self, images: Tensor) -> Tensor:
        features, skips = images, []
        for layer in self.encoder:
            features = layer(features)
            skips.append(features)
        features = self.middle(features)
        for layer in self.decoder:
            if isinstance(layer, ResidualBlock):
                features = torch.cat((features, skips.pop()), dim=1)
            features = layer(features)
        return features


class FCBFormer(SegmentationModel):
    """A transformer branch at stride 4 and a convolutional branch at full resolution, joined by a small head.

    There are 52,962,337 parameters. The authors' code brings the transformer's levels to 88x88 whatever the input;
    here that is a quarter of the input, as in the paper's figure and at the authors' 352x352. Upsampling is by
    nearest neighbour throughout.

    Args:
        variant: of the encoder, PVTv2 ``b0`` to ``b5``; ``b3`` in the paper.
        pretrained: start the encoder from ImageNet weights.
        weights: a file to load the encoder's weights from instead.
        in_channels: channels of the input.
        classes: logit maps of the output.

    Raises:
        UserError: an unknown ``variant``, or weights that cannot be had.
    """

    size_multiple = 32

    def __init__(
        self,
        variant: str = "b3",
        pretrained: bool = False,
        weights: str | Path | None = None,
        in_channels: int = 3,
        classes: int = 1,
    ) -> None:
        super().__init__()
        check_variant(variant)
        self.encoder = create_encoder(
            f"pvt_v2_{variant}.in1k",
            pretrained=pretrained,
            weights=weights,
            features_only=True,
            in_chans=in_channels,
        )
        self.locality = ProgressiveLocality(self.encoder.feature_info.channels(), width=64)
        self.convolutional = ConvolutionalBranch(in_channels, widths=(32, 32, 64, 64, 128, 128))
        self.head = nn.Sequential(
            ResidualBlock(64 + 32, 64),
            ResidualBlock(64, 64),
            nn.Conv2d(64, classes, kernel_size=1),
        )

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        global_features = F.interpolate(self.locality(self.encoder(images)), size=images.shape[-2:])
        return (self.head(torch.cat((global_features, self.convolutional(images)), dim=1)),)
