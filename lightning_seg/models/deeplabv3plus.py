"""DeepLabV3+ (Chen et al. 2018, arXiv:1802.02611)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.models.base import SegmentationModel
from lightning_seg.models.blocks import ConvBNReLU
from lightning_seg.models.encoders import create_encoder

XCEPTIONS = ("xception41", "xception65", "xception71")
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
DEPTH = 256  # channels of the pyramid's branches and of the decoder

Conv3x3 = Callable[..., nn.Sequential]


def separable_conv(in_channels: int, out_channels: int, *, dilation: int = 1) -> nn.Sequential:
    """A 3x3 convolution of each channel and a 1x1 across them, both normalised and rectified."""
    return nn.Sequential(
        ConvBNReLU(in_channels, in_channels, dilation=dilation, groups=in_channels),
        ConvBNReLU(in_channels, out_channels, kernel_size=1),
    )


def convolutions(module: nn.Module) -> Iterator[nn.Conv2d]:
    """All of them inside a module, itself included."""
    return (part for part in module.modules() if isinstance(part, nn.Conv2d))


def set_momentum(module: nn.Module, momentum: float) -> None:
    """Give every batch normalisation the share of a batch in its running statistics."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = momentum


def cut_normal_(weight: Tensor, std: float) -> None:
    """TensorFlow's truncated normal: cut at two ``std``, so that the values deviate by 0.88 of it."""
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def xception_features(encoder: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """timm's aligned Xception, tapped at stride 4 where the authors tap it, before a ReLU, and at its end."""
    first, second, *rest = encoder.blocks
    features = first(encoder.stem(images))
    *before, last_act, last_conv = second.stack
    low = features
    for layer in before:
        low = layer(low)
    features = last_conv(last_act(low)) + second.shortcut(features)
    for block in rest:
        features = block(features)
    return low, features


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: the image's mean, each pixel, and three dilated 3x3 neighbourhoods."""

    def __init__(self, in_channels: int, conv3x3: Conv3x3, mean_first: bool) -> None:
        super().__init__()
        self.mean_first = mean_first
        self.mean = ConvBNReLU(in_channels, DEPTH, kernel_size=1)
        self.branches = nn.ModuleList(
            [
                ConvBNReLU(in_channels, DEPTH, kernel_size=1),
                *(conv3x3(in_channels, DEPTH, dilation=rate) for rate in (6, 12, 18)),
            ]
        )
        self.project = nn.Sequential(ConvBNReLU(5 * DEPTH, DEPTH, kernel_size=1), nn.Dropout(0.1))

    def forward(self, features: Tensor) -> Tensor:
        mean = self.mean(features.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *features.shape[-2:])
        maps = [branch(features) for branch in self.branches]
        return self.project(torch.cat([mean, *maps] if self.mean_first else [*maps, mean], dim=1))


class DeepLabV3Plus(SegmentationModel):
    """DeepLabV3+ at output stride 16, in the form that belongs to its encoder.

    With an Xception it is the authors' TensorFlow network: separable convolutions in pyramid and decoder, two
    of them in the latter, and corners aligned whenever maps are resized. With a ResNet it is the network of
    most PyTorch comparisons (VainF/DeepLabV3Plus-Pytorch): full convolutions, one of them in the decoder, and
    corners not aligned. Each starts as its original does. Parameters: 41,050,273 with xception65, 39,756,705 with
    resnet50, 58,748,833 with resnet101. Images may have any size. Training needs at least two images a batch, as the
    pyramid normalises one mean an image.

    The authors' batch normalisation changes its running statistics by 3e-4 a step (VainF's, in the ResNet alone, by
    0.01), made for their 30,000 steps and more: until about 5,000 steps, evaluation still sees much of the statistics
    that training started from.

    Args:
        encoder: ``xception65`` as in the paper, ``xception41``, ``xception71``, or ``resnet18``, ``34``, ``50``,
            ``101`` or ``152``.
        pretrained: start the encoder from ImageNet weights, timm's tag ``tf_in1k`` (the authors') of an Xception,
            ``tv_in1k`` of a ResNet.
        weights: a file to load the encoder's weights from instead.
        norm_momentum: the share of a batch in the running statistics of every batch normalisation, above 0 and up to 1,
            for trainings that are much shorter than the original's; None keeps the original's.
        in_channels: channels of the input.
        classes: logit maps of the output.

    Raises:
        UserError: an unknown encoder, or a ``norm_momentum`` that is no share.
    """

    encoder: Any
    pyramid: Any
    reduce_low: Any
    head: Any
    training_version = 2  # 1: pyramid, decoder and classifier started as torch's layers do, all momenta were 0.1

    def __init__(
        self,
        encoder: str = "xception65",
        pretrained: bool = False,
        weights: str | Path | None = None,
        norm_momentum: float | None = None,
        in_channels: int = 3,
        classes: int = 1,
    ) -> None:
        super().__init__()
        if norm_momentum is not None and not 0 < norm_momentum <= 1:
            raise UserError(f"model.norm_momentum={norm_momentum} is not valid: it must be above 0 and at most 1.")
        if encoder not in (choices := XCEPTIONS + RESNETS):
            raise UserError(f"model.encoder={encoder} is none of DeepLabV3+'s; choose one of {', '.join(choices)}.")
        self.authors_form = encoder in XCEPTIONS
        options: dict[str, Any] = {"pretrained": pretrained, "weights": weights, "in_chans": in_channels}
        if self.authors_form:
            self.encoder = create_encoder(f"{encoder}.tf_in1k", output_stride=16, global_pool="", **options)
            self.encoder.blocks[1].stack.act3.inplace = False  # what enters it is the tap
            channels = [info["num_chs"] for info in self.encoder.feature_info]
            low_channels, high_channels = channels[1], channels[-1]
            conv3x3: Conv3x3 = separable_conv
        else:
            self.encoder = create_encoder(
                f"{encoder}.tv_in1k",
                features_only=True,
                out_indices=(1, 4),
                output_stride=16,
                zero_init_last=False,
                **options,
            )
            low_channels, high_channels = self.encoder.feature_info.channels()
            conv3x3 = ConvBNReLU
        self.pyramid = AtrousPyramid(high_channels, conv3x3, mean_first=self.authors_form)
        self.reduce_low = ConvBNReLU(low_channels, 48, kernel_size=1)
        self.decoder = nn.Sequential(conv3x3(DEPTH + 48, DEPTH))
        if self.authors_form:
            self.decoder.append(conv3x3(DEPTH, DEPTH))
        self.head = nn.Conv2d(DEPTH, classes, kernel_size=1)
        if self.authors_form:
            self._start_as_authors(pretrained)
        else:
            self._start_as_vainf()
        if norm_momentum is not None:
            set_momentum(self, norm_momentum)

    def _start_as_authors(self, pretrained: bool) -> None:
        """Normals, cut at two sigma, wherever the authors name one, and Slim's default (Xavier's uniform) elsewhere."""
        for depthwise, pointwise in (*self.pyramid.branches[1:], *self.decoder):
            cut_normal_(depthwise[0].weight, 0.33)
            cut_normal_(pointwise[0].weight, 0.06)
        pyramid = self.pyramid
        for block in (pyramid.mean, pyramid.branches[0], pyramid.project[0], self.reduce_low):
            nn.init.xavier_uniform_(block[0].weight)
        cut_normal_(self.head.weight, 0.01)
        nn.init.zeros_(self.head.bias)
        if not pretrained:
            for conv in convolutions(self.encoder):
                cut_normal_(conv.weight, 0.09)
        set_momentum(self, 3e-4)

    def _start_as_vainf(self) -> None:
        for part in (self.pyramid, self.reduce_low, self.decoder, self.head):
            for conv in convolutions(part):
                nn.init.kaiming_normal_(conv.weight)
        set_momentum(self.encoder, 0.01)

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        low, features = xception_features(self.encoder, images) if self.authors_form else self.encoder(images)
        low, features = self.reduce_low(low), self.resize(self.pyramid(features), low)
        joined = torch.cat((features, low) if self.authors_form else (low, features), dim=1)
        return (self.resize(self.head(self.decoder(joined)), images),)

    def resize(self, features: Tensor, like: Tensor) -> Tensor:
        """Interpolate ``features`` to the height and width of ``like``."""
        return F.interpolate(features, like.shape[-2:], mode="bilinear", align_corners=self.authors_form)
