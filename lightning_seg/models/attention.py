"""Axial and reverse attention, which CaraNet and ColonFormer refine their maps with."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.blocks import ConvBNPReLU
from lightning_seg.models.context import ChannelwiseFeaturePyramid


class LineAttention(nn.Module):
    """Self-attention between the lines of a feature map, each line seen as one long vector.

    The weights are sigmoids of unscaled dot products. A learned gain starts at zero, so that an untrained module
    hands its input through.

    Args:
        channels: channels in and out, a multiple of 8.
        dim: the spatial dimension, -2 or -1, whose length sets the number of lines. As in the published code,
            the map is cut without transposing it: -1 attends between columns, and so does -2 on a square map.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.query = nn.Conv2d(channels, channels // 8, kernel_size=1, bias=False)
        self.key = nn.Conv2d(channels, channels // 8, kernel_size=1, bias=False)
        self.value = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(N, channels, H, W)`` to the same shape."""
        batch, lines = features.shape[0], features.shape[self.dim]
        query = self.query(features).reshape(batch, -1, lines)
        key = self.key(features).reshape(batch, -1, lines)
        value = self.value(features).reshape(batch, -1, lines)
        weights = torch.sigmoid(query.mT @ key)
        attended = (value @ weights.mT).reshape(features.shape)
        return self.gain * attended + features


class AxialAttention(nn.Sequential):
    """Axial attention as CaraNet runs it: two linear convolutions and two attentions, one after the other."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, kernel_size=1, bias=False),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
            LineAttention(channels, dim=-2),
            LineAttention(channels, dim=-1),
        )


class ReverseAttention(nn.Module):
    """Refine a logit map where it does not see the lesion yet (Chen et al. 2018, arXiv:1807.09940).

    Args:
        channels: channels of the features.
        classes: logit maps.
        residual: add the features that enter the axial attention to those that leave it, as ColonFormer does.
    """

    def __init__(self, channels: int, classes: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.context = ChannelwiseFeaturePyramid(channels)
        self.attention = AxialAttention(channels)
        self.correct = nn.Sequential(
            ConvBNPReLU(channels, 32),
            ConvBNPReLU(32, 32),
            ConvBNPReLU(32, classes),
        )

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """Correct ``logits`` ``(N, classes, H, W)`` from ``features`` ``(N, channels, H, W)``."""
        context = self.context(features)
        attended = self.attention(context)
        if self.residual:
            attended = attended + context
        # 1 - sigmoid(x) = sigmoid(-x); with several classes, what none of them claims.
        unclaimed = torch.sigmoid(-logits.amax(dim=1, keepdim=True))
        return logits + self.correct(unclaimed * attended)


class ReverseAttentionCascade(nn.Module):
    """Reverse attention at one level after another, each starting from the map of the level before.

    Args:
        channels: channels of each level's features, in the order in which the levels are visited.
        classes: logit maps.
        residual: see :class:`ReverseAttention`.
    """

    def __init__(self, channels: Sequence[int], classes: int, residual: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleList(ReverseAttention(width, classes, residual) for width in channels)

    def forward(self, features: Sequence[Tensor], logits: Tensor) -> list[Tensor]:
        """The refined map of every level, each at its features' resolution.

        Args:
            features: one map ``(N, C, H, W)`` a level.
            logits: the first guess ``(N, classes, H, W)``, at any resolution.
        """
        refined = []
        for stage, level in zip(self.stages, features, strict=True):
            logits = stage(level, F.interpolate(logits, size=level.shape[-2:], mode="bilinear"))
            refined.append(logits)
        return refined
