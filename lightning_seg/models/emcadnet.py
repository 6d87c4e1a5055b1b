"""EMCADNet (Rahman et al. 2024, CVPR, arXiv:2405.06880)."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.base import SegmentationModel
from lightning_seg.models.encoders import check_variant, create_encoder


class DepthwiseConv(nn.Conv2d):
    """A "same" convolution of each channel by itself."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        if self.kernel_size == (1, 1):  # a factor for each channel; as a convolution, CPUs loop over the groups
            return features * self.weight.view(1, -1, 1, 1)
        return super().forward(features)


class ChannelAttention(nn.Module):
    """Weigh each channel by its mean and maximum over the image (CAB)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, kernel_size=1, bias=False)
        self.expand = nn.Conv2d(channels // reduction, channels, kernel_size=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        mean, maximum = F.adaptive_avg_pool2d(features, 1), F.adaptive_max_pool2d(features, 1)
        # Both pass the same two layers before they are added; the second is linear, so one pass of it will do.
        hidden = F.relu(self.squeeze(mean)) + F.relu(self.squeeze(maximum))
        return features * self.expand(hidden).sigmoid()


class SpatialAttention(nn.Module):
    """Weigh each position by the mean and maximum over its channels (SAB)."""

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        mean, maximum = features.mean(dim=1, keepdim=True), features.max(dim=1, keepdim=True).values
        return features * self.conv(torch.cat((mean, maximum), dim=1)).sigmoid()


class MultiScaleConv(nn.Module):
    """Inverted residual with depthwise convolutions of several sizes in parallel (MSCB)."""

    def __init__(self, channels: int, kernel_sizes: tuple[int, ...] = (1, 3, 5), expansion: int = 2) -> None:
        super().__init__()
        self.channels = channels
        width = expansion * channels
        self.widen = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=1, bias=False), nn.BatchNorm2d(width), nn.ReLU6(inplace=True)
        )
        self.scales = nn.ModuleList(
            nn.Sequential(DepthwiseConv(width, size), nn.BatchNorm2d(width), nn.ReLU6(inplace=True))
            for size in kernel_sizes
        )
        self.narrow = nn.Conv2d(width, channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        wide = self.widen(features)
        wide = functools.reduce(torch.add, (scale(wide) for scale in self.scales))
        # The paper shuffles the channels in groups of two before this convolution: the same as unshuffling the
        # weights, which are smaller than the features.
        weight = self.narrow.weight.unflatten(1, (-1, self.channels)).transpose(1, 2).flatten(1, 2)
        return features + self.norm(F.conv2d(wide, weight))


class Up(nn.Sequential):
    """Double the resolution by repetition, convolve each channel, then mix them (EUCB)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2, mode="nearest"),
            DepthwiseConv(in_channels, kernel_size=3),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, out_channels, kernel_size=1),
        )


class AttentionGate(nn.Module):
    """Let the decoder's features decide where the skip passes, by large grouped kernels (LGAG)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = self._grouped(channels)
        self.skip = self._grouped(channels)
        self.weigh = nn.Sequential(
            nn.ReLU(inplace=True), nn.Conv2d(channels // 2, 1, kernel_size=1), nn.BatchNorm2d(1), nn.Sigmoid()
        )

    @staticmethod
    def _grouped(channels: int) -> nn.Sequential:
        half = channels // 2
        return nn.Sequential(nn.Conv2d(channels, half, kernel_size=3, padding=1, groups=half), nn.BatchNorm2d(half))

    def forward(self, gate: Tensor, skip: Tensor) -> Tensor:
        return skip * self.weigh(self.gate(gate) + self.skip(skip))


class Decoder(nn.Module):
    """Refine from coarse to fine by multi-scale attention (MSCAM), let each skip in through a gate (EMCAD)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channel_attention = nn.ModuleList(ChannelAttention(width) for width in channels)
        self.spatial_attention = SpatialAttention()  # one for all stages
        self.multi_scale = nn.ModuleList(MultiScaleConv(width) for width in channels)
        self.up = nn.ModuleList(Up(coarse, fine) for coarse, fine in itertools.pairwise(channels))
        self.gates = nn.ModuleList(AttentionGate(width) for width in channels[1:])
        self.apply(self._initialise)

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Refine the encoder's ``levels`` ``(N, C, H, W)``, both coarse to fine."""
        features = self._refine(0, levels[0])
        refined = [features]
        for stage, (up, gate, skip) in enumerate(zip(self.up, self.gates, levels[1:], strict=True), start=1):
            features = up(features)
            features = self._refine(stage, features + gate(features, skip))
            refined.append(features)
        return refined

    def _refine(self, stage: int, features: Tensor) -> Tensor:
        features = self.channel_attention[stage](features)
        return self.multi_scale[stage](self.spatial_attention(features))


class EMCADNet(SegmentationModel):
    """PVTv2 encoder and the efficient multi-scale convolutional attention decoder.

    Logits are predicted at strides 4 (the main ones), 32, 16 and 8. As the paper trains binary tasks, each of the
    four maps and their sum are trained, all with weight 1; the authors' code has only their training for Synapse, on
    all 15 sums of subsets of the maps. The options are those of the authors' training script, which differ from the
    defaults of their classes. Left out is their unused grey-to-RGB stem (12 parameters): with the default encoder
    26,764,399 remain.

    Args:
        variant: size of the PVTv2 encoder, ``b0`` to ``b5``.
        pretrained: start the encoder from ImageNet (timm's ``pvt_v2_b2.in1k``).
        weights: a file to load the encoder's weights from instead of downloading them.
        deep_supervision: train all four maps and their sum rather than the main one alone.
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
        deep_supervision: bool = True,
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
            drop_path_rate=0.1,
            in_chans=in_channels,
        )
        channels = self.encoder.feature_info.channels()[::-1]
        self.decoder = Decoder(channels)
        supervised = channels if deep_supervision else channels[-1:]
        self.heads = nn.ModuleList(nn.Conv2d(width, classes, kernel_size=1) for width in supervised)
        self.output_weights = (1.0,) * 5 if deep_supervision else (1.0,)

    def outputs(self, images: Tensor) -> Iterator[Tensor]:
        refined = self.decoder(self.encoder(images)[::-1])[-len(self.heads) :]
        *auxiliary, main = zip(self.heads, refined, strict=True)
        maps = []
        for head, features in (main, *auxiliary):
            maps.append(F.interpolate(head(features), size=images.shape[-2:], mode="bilinear"))
            yield maps[-1]
        if auxiliary:
            yield functools.reduce(torch.add, maps)
