"""CaraNet (Lou et al. 2023, Journal of Medical Imaging 10(1):014005, doi:10.1117/1.JMI.10.1.014005)."""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.attention import ReverseAttentionCascade
from lightning_seg.models.base import SegmentationModel
from lightning_seg.models.blocks import ConvBNPReLU
from lightning_seg.models.encoders import create_encoder


def linear_conv(channels: int) -> nn.Conv2d:
    """A 3x3 convolution with neither bias nor normalisation nor activation behind it."""
    return nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)


def double(features: Tensor) -> Tensor:
    """Twice the resolution, corners aligned, as nothing else in this network has them."""
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)


class PartialDecoder(nn.Module):
    """The dense aggregation of three levels (Wu et al. 2019, arXiv:1904.08739), made of linear convolutions."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.gate_mid = linear_conv(channels)
        self.gate_fine_by_deep = linear_conv(channels)
        self.gate_fine_by_mid = linear_conv(channels)
        self.carry_deep = linear_conv(channels)
        self.fuse_mid = linear_conv(2 * channels)
        self.carry_mid = linear_conv(2 * channels)
        self.fuse_fine = linear_conv(3 * channels)
        self.head = nn.Sequential(linear_conv(3 * channels), nn.Conv2d(3 * channels, classes, kernel_size=1))

    def forward(self, fine: Tensor, mid: Tensor, deep: Tensor) -> Tensor:
        """Logits ``(N, classes, H, W)`` at the resolution of ``fine``, from maps at strides 8, 16 and 32."""
        deep = double(deep)
        gated_fine = self.gate_fine_by_deep(double(deep)) * self.gate_fine_by_mid(double(mid)) * fine
        gated_mid = self.gate_mid(deep) * mid
        fused = self.fuse_mid(torch.cat((gated_mid, self.carry_deep(deep)), dim=1))
        fused = self.fuse_fine(torch.cat((gated_fine, self.carry_mid(double(fused))), dim=1))
        return self.head(fused)


class CaraNet(SegmentationModel):
    """A partial decoder's rough map, refined by reverse attention at strides 32, 16 and 8.

    Outputs: the map of stride 8, of stride 16, of stride 32 and the partial decoder's, of equal weight. There are
    44,593,560 parameters; the authors' unused ImageNet classifier is left out. As in their code, the axial
    attention never attends along the height (see :class:`~lightning_seg.models.attention.LineAttention`) and the
    dilations are 1, 3, 5, 9.

    Args:
        pretrained: start the encoder, timm's ``res2net101d.in1k``, from ImageNet weights.
        weights: a file to load the encoder's weights from instead.
        deep_supervision: train all four maps instead of the main one alone.
        in_channels: channels of the input.
        classes: logit maps of the output.
    """

    size_multiple = 32

    def __init__(
        self,
        pretrained: bool = False,
        weights: str | Path | None = None,
        deep_supervision: bool = True,
        in_channels: int = 3,
        classes: int = 1,
    ) -> None:
        super().__init__()
        self.output_weights = (1.0, 1.0, 1.0, 1.0) if deep_supervision else (1.0,)
        self.encoder = create_encoder(
            "res2net101d.in1k",
            pretrained=pretrained,
            weights=weights,
            features_only=True,
            out_indices=(2, 3, 4),
            in_chans=in_channels,
            zero_init_last=False,  # from scratch, every residual block starts with its full share
        )
        width = 32
        self.reduce = nn.ModuleList(ConvBNPReLU(channels, width) for channels in self.encoder.feature_info.channels())
        self.decoder = PartialDecoder(width, classes)
        self.refine = ReverseAttentionCascade([width] * 3, classes, residual=False)

    def outputs(self, images: Tensor) -> Iterator[Tensor]:
        fine, mid, deep = (reduce(level) for reduce, level in zip(self.reduce, self.encoder(images), strict=True))
        rough = self.decoder(fine, mid, deep)
        maps = [rough, *self.refine((deep, mid, fine), rough)]
        maps = maps[::-1][: len(self.output_weights)]
        return (F.interpolate(logits, size=images.shape[-2:], mode="bilinear") for logits in maps)
