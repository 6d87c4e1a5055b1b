"""ColonFormer (Duc et al. 2022, IEEE Access 10:80575, doi:10.1109/ACCESS.2022.3195241)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.attention import ReverseAttentionCascade
from lightning_seg.models.base import SegmentationModel
from lightning_seg.models.blocks import ConvBNReLU
from lightning_seg.models.context import PyramidPooling
from lightning_seg.models.encoders import mix_transformer


class UPerHead(nn.Module):
    """Feature pyramid over a pyramid pooling module (Xiao et al. 2018, arXiv:1807.10221).

    Args:
        channels: channels of each level, fine to deep.
        width: channels inside.
        classes: logit maps.
        dropout: probability of dropping a channel before the classifier.
    """

    def __init__(self, channels: Sequence[int], width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.pooling = PyramidPooling(channels[-1], width)
        self.laterals = nn.ModuleList(ConvBNReLU(level, width, kernel_size=1) for level in channels[:-1])
        self.smooth = nn.ModuleList(ConvBNReLU(width, width) for _ in channels[:-1])
        self.fuse = ConvBNReLU(len(channels) * width, width)
        classifier = nn.Conv2d(width, classes, kernel_size=1)
        self.head = nn.Sequential(nn.Dropout2d(dropout), classifier)
        # As mmcv's layers do, all start by He's normal of the outputs, the classifier close to zero.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(classifier.weight, std=0.01)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Logits ``(N, classes, H, W)`` at the resolution of the first of ``levels`` ``(N, C, H, W)``."""
        top = self.pooling(levels[-1])
        pyramid = [top]
        for index in reversed(range(len(self.laterals))):
            lateral = self.laterals[index](levels[index])
            top = lateral + F.interpolate(top, size=lateral.shape[-2:], mode="bilinear")
            pyramid.insert(0, self.smooth[index](top))
        size = levels[0].shape[-2:]
        upsampled = (F.interpolate(level, size=size, mode="bilinear") for level in pyramid[1:])
        return self.head(self.fuse(torch.cat((pyramid[0], *upsampled), dim=1)))


class ColonFormer(SegmentationModel):
    """Mix Transformer and UPerHead; its map is refined by residual reverse attention at strides 32, 16 and 8.

    Outputs: the map of stride 8, of stride 16, of stride 32 and the UPerHead's, of equal weight. With MiT-B3
    (ColonFormer-L) there are 52,944,528 parameters. Axial attention and dilations are CaraNet's. The authors feed
    RGB / 255 without the ImageNet mean and deviation; the study normalises for all networks alike. Training needs
    a batch of two or more (see :class:`~lightning_seg.models.context.PyramidPooling`).

    Args:
        variant: of the encoder, MiT ``b0`` to ``b5``; ``b1`` to ``b5`` make ColonFormer-XS, -S, -L, -XL and -XXL.
        pretrained: start the encoder from ImageNet weights, which are licensed for non-commercial use only.
        weights: a file to load the encoder's weights from instead.
        deep_supervision: train all four maps instead of the main one alone.
        in_channels: channels of the input.
        classes: logit maps of the output.

    Raises:
        UserError: an unknown ``variant``, or weights that cannot be had.
    """

    size_multiple = 32
    training_version = 2  # 1: the UPerHead started as torch's layers do

    def __init__(
        self,
        variant: str = "b3",
        pretrained: bool = False,
        weights: str | Path | None = None,
        deep_supervision: bool = True,
        in_channels: int = 3,
        classes: int = 1,
    ) -> None:
        super().__init__()
        self.output_weights = (1.0, 1.0, 1.0, 1.0) if deep_supervision else (1.0,)
        self.encoder = mix_transformer(variant, pretrained=pretrained, weights=weights, in_chans=in_channels)
        channels = self.encoder.feature_info.channels()
        self.decoder = UPerHead(channels, width=128, classes=classes, dropout=0.1)
        self.refine = ReverseAttentionCascade(channels[:0:-1], classes, residual=True)

    def outputs(self, images: Tensor) -> Iterator[Tensor]:
        levels = self.encoder(images)
        rough = self.decoder(levels)
        maps = [rough, *self.refine(levels[:0:-1], rough)]
        maps = maps[::-1][: len(self.output_weights)]
        return (F.interpolate(logits, size=images.shape[-2:], mode="bilinear") for logits in maps)
