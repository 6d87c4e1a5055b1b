"""FAT-Net (Wu et al. 2022, Medical Image Analysis 76:102327, doi:10.1016/j.media.2021.102327)."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.models.base import SegmentationModel
from lightning_seg.models.blocks import ConvBNReLU, SqueezeExcite
from lightning_seg.models.encoders import create_encoder


class PatchTransformer(nn.Module):
    """DeiT-tiny's patch embedding and blocks alone: no class token, no positions, no final norm."""

    def __init__(self, pretrained: bool, weights: str | Path | None, in_channels: int) -> None:
        super().__init__()
        name = "deit_tiny_distilled_patch16_224.fb_in1k"
        deit = create_encoder(name, pretrained=pretrained, weights=weights, in_chans=in_channels)
        self.width: int = deit.embed_dim
        self.patches = deit.patch_embed.proj
        self.blocks = deit.blocks
        self.weights_source = deit.weights_source

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images)
        tokens = self.blocks(patches.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).reshape(patches.shape)


class FeatureAdaptation(nn.Module):
    """Adapt a skip by two convolutions in parallel, ``repeats`` times with the same weights (FAM)."""

    def __init__(self, channels: int, repeats: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.narrow = nn.Conv2d(channels, channels, kernel_size=1)
        self.repeats = repeats

    def forward(self, features: Tensor) -> Tensor:
        for _ in range(self.repeats):
            features = F.relu(self.wide(features), inplace=True) + F.relu(self.narrow(features), inplace=True)
        return features


class Up(nn.Sequential):
    """Double the resolution by a transposed convolution within a bottleneck of a quarter of the channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        middle = in_channels // 4
        super().__init__(
            ConvBNReLU(in_channels, middle, kernel_size=1, bias=True),
            nn.ConvTranspose2d(middle, middle, kernel_size=3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            ConvBNReLU(middle, out_channels, kernel_size=1, bias=True),
        )


class FATNet(SegmentationModel):
    """ResNet-34 and DeiT-tiny side by side, skips adapted by recurrent modules, a light decoder.

    Follows the authors' code where the paper leaves it open: the ResNet has no max-pooling, the transformer no
    positions, and a skip's adaptation module repeats one set of weights. Without positions any size works, a
    multiple of 16. Left out is a fourth decoder block that the authors build and do not use (4,640 parameters):
    28,754,017 remain.

    Args:
        pretrained: start both encoders from ImageNet (timm's ``resnet34.tv_in1k`` and
            ``deit_tiny_distilled_patch16_224.fb_in1k``).
        weights: files to load the encoders' weights from instead of downloading them, under the keys ``cnn``
            and ``transformer``; None downloads.
        in_channels: channels of the input.
        classes: logit maps of the output.

    Raises:
        UserError: weights that cannot be had.
    """

    size_multiple = 16

    def __init__(
        self,
        pretrained: bool = False,
        weights: Mapping[str, str | Path | None] | None = None,
        in_channels: int = 3,
        classes: int = 1,
    ) -> None:
        super().__init__()
        files: dict[str, str | Path | None] = {"cnn": None, "transformer": None}
        if weights is not None:
            if not isinstance(weights, Mapping) or weights.keys() - files:
                raise UserError(f"model.weights={weights} is not two files; give model.weights.cnn and .transformer.")
            files.update(weights)
        self.cnn = create_encoder(
            "resnet34.tv_in1k",
            pretrained=pretrained,
            weights=files["cnn"],
            features_only=True,
            out_indices=(1, 2, 3, 4),
            in_chans=in_channels,
            zero_init_last=False,  # from scratch, every residual block starts with its full share
        )
        self.cnn.maxpool = nn.Identity()
        if not pretrained:
            self.training_version = 2  # 1: the last normalisation of every residual block started at zero
        self.transformer = PatchTransformer(pretrained, files["transformer"], in_channels)
        self.widen = nn.Conv2d(self.transformer.width, 512, kernel_size=1)
        self.fuse = nn.Sequential(SqueezeExcite(1024), nn.Conv2d(1024, 512, kernel_size=1))
        widths = (512, 256, 128, 64)
        self.up = nn.ModuleList(Up(a, b) for a, b in itertools.pairwise(widths))
        self.adapt = nn.ModuleList(FeatureAdaptation(c, r) for c, r in zip(widths[1:], (2, 4, 6), strict=True))
        self.head = nn.Sequential(
            nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, classes, kernel_size=3, padding=1),
        )

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        *skips, features = self.cnn(images)
        features = self.fuse(torch.cat((features, self.widen(self.transformer(images))), dim=1))
        for up, adapt in zip(self.up, self.adapt, strict=True):
            features = up(features) + adapt(skips.pop())
        return (self.head(features),)
