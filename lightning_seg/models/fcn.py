"""FCN (Long et al. 2015, arXiv:1411.4038; Shelhamer et al. 2017, arXiv:1605.06211) on VGG-16 or a dilated ResNet."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.models.base import SegmentationModel, check_multiple
from lightning_seg.models.blocks import ConvBNReLU
from lightning_seg.models.encoders import create_encoder

VGG_STRIDES = {"32s": 32, "16s": 16, "8s": 8, "8s_at_once": 8}

# The authors pad the image by 100 pixels, which leaves a frame of constant features around what the image reaches.
# Seven rows and columns of it on each side, at stride 8 after the third pooling, repeat one another whatever the
# image's size: they lie beyond the first three, which see the outer edge, and before the eleventh, the first that
# sees the image. Six of the seven are left out of the image's padding and put back by copying the one that is kept.
PADDING, CONSTANT, COPIES = 100, 3, 6


def restore_frame(features: Tensor) -> Tensor:
    """Put back the rows and columns that the reduced padding left out, ``(N, C, H, W)`` to 12 more on either axis."""
    for dim in (2, 3):
        size = features.shape[dim]
        first, middle, last = features.split((CONSTANT, size - 2 * CONSTANT, CONSTANT), dim)
        shape = list(features.shape)
        shape[dim] = COPIES
        before, after = (middle.narrow(dim, i, 1).expand(shape) for i in (0, size - 2 * CONSTANT - 1))
        features = torch.cat((first, before, middle, after, last), dim)
    return features


def bilinear_kernel(factor: int) -> Tensor:
    """The kernel ``(1, 1, 2 factor, 2 factor)`` with which a transposed convolution interpolates by ``factor``."""
    ramp = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
    return torch.outer(ramp, ramp)[None, None]


class BilinearUpsample(nn.Module):
    """The authors' frozen transposed convolution: bilinear, without padding, each channel by itself."""

    kernel: Tensor

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.register_buffer("kernel", bilinear_kernel(factor), persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, (H + 1) factor, (W + 1) factor)``."""
        channels = scores.shape[1]
        kernel = self.kernel.expand(channels, -1, -1, -1)
        return F.conv_transpose2d(scores, kernel, stride=self.factor, groups=channels)


def crop(features: Tensor, offset: int, like: Tensor) -> Tensor:
    """The window of ``like``'s size that starts at ``offset`` on both axes."""
    height, width = like.shape[-2:]
    return features[..., offset : offset + height, offset : offset + width]


def create_vgg(hidden: int, **options: Any) -> Any:
    """timm's VGG-16 as the paper makes it convolutional: its head is fc6 (7x7, unpadded) and fc7 (1x1)."""
    encoder: Any = create_encoder("vgg16.tv_in1k", mlp_ratio=hidden / 4096, **options)
    encoder.features[0].padding = (PADDING - 8 * COPIES,) * 2
    for layer in encoder.features:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True
    encoder.pre_logits.drop = nn.Dropout2d(0.5)
    return encoder


def vgg_features(encoder: Any, images: Tensor) -> list[Tensor]:
    """What the third and the fourth pooling give, at strides 8 and 16, and what fc7 gives, at stride 32."""
    features = images
    pools: list[Tensor] = []
    for layer in encoder.features:
        features = layer(features)
        if isinstance(layer, nn.MaxPool2d):
            if len(pools) == 2:
                features = restore_frame(features)
            pools.append(features)
    return [pools[2], pools[3], encoder.pre_logits(features)]


class SkipHead(nn.Module):
    """Scores of the deepest features, upsampled step by step and joined by the scores of shallower ones."""

    skip_scores: Iterable[Any]

    def __init__(self, variant: str, classes: int) -> None:
        super().__init__()
        stride = VGG_STRIDES[variant]
        # Where the origin of one grid lies on another, as padding, kernels and strides place it.
        self.image_offset = {32: 19, 16: 27, 8: 31}[stride]
        self.skip_offsets = {32: (), 16: (5,), 8: (5, 9)}[stride]
        # To be trained at once and not in stages, the shallower features are scaled down.
        self.skip_scales = (0.01, 0.0001) if variant == "8s_at_once" else (1.0, 1.0)
        self.dropout = nn.Dropout2d(0.5)
        self.score = nn.Conv2d(4096, classes, kernel_size=1)
        self.skip_scores = nn.ModuleList(
            nn.Conv2d(channels, classes, kernel_size=1) for channels in (512, 256)[: len(self.skip_offsets)]
        )
        for score in (self.score, *self.skip_scores):  # the authors start these at zero
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)
        self.upsample_scores = BilinearUpsample(2)
        self.upsample_to_image = BilinearUpsample(stride)

    def forward(self, features: list[Tensor], images: Tensor) -> tuple[Tensor, ...]:
        *skips, deepest = features
        scores = self._score(self.dropout(deepest))
        for score, skip, offset, scale in zip(
            self.skip_scores, reversed(skips), self.skip_offsets, self.skip_scales, strict=False
        ):
            scores = self.upsample_scores(scores)
            scores = scores + F.conv2d(crop(skip, offset, scores), scale * score.weight, score.bias)
        return (crop(self.upsample_to_image(scores), self.image_offset, images),)

    def _score(self, features: Tensor) -> Tensor:
        """Scores of the deepest features; on a CPU never in bfloat16.

        There oneDNN's backward pass, of one output channel from 4,096 by several threads with AMX, writes past its
        memory and ends the process.
        """
        if features.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return self.score(features.to(self.score.weight.dtype))
        return self.score(features)


class DilatedHead(nn.Module):
    """A convolutional head on the deepest features and, for training, one on those before; both upsampled at once."""

    def __init__(self, channels: list[int], classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(ConvBNReLU(width, width // 4), nn.Dropout(0.1), nn.Conv2d(width // 4, classes, 1))
            for width in reversed(channels)
        )

    def forward(self, features: list[Tensor], images: Tensor) -> Iterator[Tensor]:
        return (
            F.interpolate(head(level), images.shape[-2:], mode="bilinear", align_corners=False)
            for head, level in zip(self.heads, reversed(features), strict=True)
        )


class FCN(SegmentationModel):
    """Fully convolutional network: a classifier's features, scored pixel by pixel and upsampled bilinearly.

    FCN-8s has 134,265,411 parameters; the 288 of the authors' interpolation kernels, which they never train, are
    no parameters here. It takes 49.3 GMACs at 224x224 for the authors' 62.7, as constant features are computed
    once. The ResNet-50 variant has 35,306,818 parameters, or 32,946,753 without the auxiliary head. Images may have
    any size.

    Args:
        variant: ``32s``, ``16s`` and ``8s`` of the paper, on VGG-16, scored at strides down to 32, 16 and 8;
            ``8s_at_once``, of the second paper, which needs no training in stages; or ``resnet50``, torchvision's
            FCN, whose ResNet-50 keeps to stride 8 by dilation.
        hidden: channels of VGG-16's first fully connected layer; 4096 in the paper, fewer for small runs. Has no
            effect on ``resnet50``.
        deep_supervision: train ``resnet50``'s auxiliary head as well, at half the weight. The other variants have
            none.
        pretrained: start the encoder, timm's ``vgg16.tv_in1k`` or ``resnet50.tv_in1k``, from ImageNet weights.
        weights: a file to load the encoder's weights from instead.
        in_channels: channels of the input.
        classes: logit maps of the output.

    Raises:
        UserError: an unknown variant, or ``hidden`` below 1.
    """

    encoder: Any

    def __init__(
        self,
        variant: str = "8s",
        hidden: int = 4096,
        deep_supervision: bool = True,
        pretrained: bool = False,
        weights: str | Path | None = None,
        in_channels: int = 3,
        classes: int = 1,
    ) -> None:
        super().__init__()
        check_multiple("hidden", hidden)
        options: dict[str, Any] = {"pretrained": pretrained, "weights": weights, "in_chans": in_channels}
        self.on_vgg = variant in VGG_STRIDES
        self.head: nn.Module
        if self.on_vgg:
            self.encoder = create_vgg(hidden, **options)
            self.head = SkipHead(variant, classes)
        elif variant == "resnet50":
            levels = (3, 4) if deep_supervision else (4,)
            self.encoder = create_encoder(
                "resnet50.tv_in1k",
                features_only=True,
                out_indices=levels,
                output_stride=8,
                zero_init_last=False,
                **options,
            )
            self.head = DilatedHead(self.encoder.feature_info.channels(), classes)
            self.output_weights = (1.0, 0.5) if deep_supervision else (1.0,)
        else:
            choices = ", ".join([*VGG_STRIDES, "resnet50"])
            raise UserError(f"model.variant={variant} is no FCN; choose one of {choices}.")

    def outputs(self, images: Tensor) -> Iterable[Tensor]:
        features = vgg_features(self.encoder, images) if self.on_vgg else self.encoder(images)
        return self.head(features, images)
