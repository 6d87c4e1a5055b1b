"""Region losses: how far the predicted region A and the true region B fail to overlap.

The paper defines both on the sets of one image (Jang & Ahn 2025, equations 1 and 2). Counting each pixel with its
probability makes them differentiable. With TP, FP and FN so counted, in pixels,

    IoU:   1 - (|A n B| + s) / (|A u B| + s)      = (FP + FN) / (TP + FP + FN + s)
    Dice:  1 - (2 |A n B| + s) / (|A| + |B| + s)  = (FP + FN) / (2 TP + FP + FN + s)

and the right-hand sides, which subtract nothing, are what is computed.

The smoothing term s is in pixels. It must be positive: an empty truth with an empty prediction is 0 / 0 without it
and a loss of 0 with it. On an empty truth the gradient is in proportion to s / (|A| + s)^2, so that a tiny s (1e-6,
say) would leave the loss at 1 and flat whatever is predicted. The default of one pixel lets such images teach once
little is predicted there, and moves the loss of a lesion of 1,000 pixels by less than 0.001.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_seg.losses.inputs import Reduction, dims_of, margins, require, to_computing_dtype


class Counts(NamedTuple):
    """Pixels counted with their probabilities, in pixels: each (N,) under ``image`` and () under ``batch``."""

    tp: Tensor
    fp: Tensor
    fn: Tensor
    tn: Tensor

    @property
    def errors(self) -> Tensor:
        return self.fp + self.fn


class RegionLoss(nn.Module):
    """The parameters that region losses share, and the soft counts that they are made of.

    Args:
        smooth: the smoothing term s, in pixels, > 0.
        reduction: ``image`` takes the loss of each image, then their mean (the paper's set definition, and what the
            metrics do); ``batch`` pools the pixels of the batch as if it were one image, so that large lesions
            outweigh small ones.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(self, smooth: float = 1.0, reduction: Reduction = "image") -> None:
        super().__init__()
        require(smooth > 0 and math.isfinite(smooth), f"smooth must be a positive number of pixels, not {smooth}.")
        self.dims = dims_of(reduction)
        self.smooth = smooth
        self.reduction = reduction

    def soft_counts(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """TP and FP + FN, each (N,) under ``image`` and () under ``batch``."""
        logits, targets = to_computing_dtype(logits, targets)
        wrong = torch.sigmoid(-margins(logits, targets))  # p outside the lesion, 1 - p within
        # Not a matrix product, which autocast would run in half precision.
        overlap = (targets * (1 - wrong)).sum(self.dims)
        return overlap, wrong.sum(self.dims)

    def counts(self, logits: Tensor, targets: Tensor) -> Counts:
        """All four soft counts."""
        logits, targets = to_computing_dtype(logits, targets)
        wrong = torch.sigmoid(-margins(logits, targets))
        fn = targets * wrong
        tp = (targets * (1 - wrong)).sum(self.dims)
        tn = ((1 - targets) * (1 - wrong)).sum(self.dims)
        return Counts(tp, (wrong - fn).sum(self.dims), fn.sum(self.dims), tn)

    def extra_repr(self) -> str:
        return f"smooth={self.smooth}, reduction={self.reduction!r}"


class IoULoss(RegionLoss):
    """1 - IoU with soft counts (Jang & Ahn 2025, equation 1), from 0 to 1."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        overlap, errors = self.soft_counts(logits, targets)
        return (errors / (overlap + errors + self.smooth)).mean()


class DiceLoss(RegionLoss):
    """1 - Dice with soft counts (Jang & Ahn 2025, equation 2), from 0 to 1."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        overlap, errors = self.soft_counts(logits, targets)
        return (errors / (2 * overlap + errors + self.smooth)).mean()
