"""Relatives of Dice. E = FP + FN, s is the smoothing term, and n1 and n0 are the pixels of lesion and background.

What :mod:`lightning_seg.losses.region` says of smoothing and empty masks holds for all of them.
"""

import math

import torch
from torch import Tensor

from lightning_seg.losses.inputs import Reduction, require, to_computing_dtype
from lightning_seg.losses.region import Counts, RegionLoss


class SquaredDiceLoss(RegionLoss):
    """Dice with squared probabilities (V-Net, Milletari et al. 2016, arXiv:1606.04797), from 0 to 1.

    ``1 - (2 sum(p y) + s) / (sum(p^2) + sum(y^2) + s) = sum((p - y)^2) / (sum(p^2) + sum(y^2) + s)``
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        p = torch.sigmoid(logits)
        errors = (p - targets).square().sum(self.dims)
        return (errors / (p.square().sum(self.dims) + targets.sum(self.dims) + self.smooth)).mean()


class LogCoshDiceLoss(RegionLoss):
    """log(cosh(Dice loss)) (Jadon 2020, arXiv:2006.14822), from 0 to 0.43: half the square of small Dice losses."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        overlap, errors = self.soft_counts(logits, targets)
        dice = errors / (2 * overlap + errors + self.smooth)
        return torch.log1p(2 * torch.sinh(dice / 2).square()).mean()  # cosh(x) - 1, without the subtraction


class GeneralizedDiceLoss(RegionLoss):
    """Dice over lesion and background, weighted by 1 / (their pixels)^2 (Sudre et al. 2017, arXiv:1707.03237).

    With w = n0^2 / (n0^2 + n1^2) the loss is ``E / (2 w TP + 2 (1 - w) TN + E + s)``: close to Dice for small lesions,
    and closer to the Dice of the background for large ones; from 0 to 1. An empty mask (w = 1) counts as with ``dice``.
    """

    def overlap(self, found: Counts) -> Tensor:
        lesion, others = (found.tp + found.fn).square(), (found.tn + found.fp).square()
        w = others / (lesion + others)
        return 2 * (w * found.tp + (1 - w) * found.tn)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        found = self.counts(logits, targets)
        return (found.errors / (self.overlap(found) + found.errors + self.smooth)).mean()


class PenaltyGeneralizedDiceLoss(GeneralizedDiceLoss):
    """Generalised Dice in which errors count 1 + k times (Yang et al. 2019, MIDL), from 0 to 1.

    With GD the generalised Dice coefficient, ``1 - GD / (1 + k (1 - GD))``.

    Args:
        k: the penalty, >= 0; the paper's best is 2.5, and 0 gives ``generalized_dice``.
        smooth: pixels, > 0, as in Dice.
        reduction: ``image`` or ``batch``, as in Dice.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(self, k: float = 2.5, smooth: float = 1.0, reduction: Reduction = "image") -> None:
        super().__init__(smooth, reduction)
        require(k >= 0 and math.isfinite(k), f"k must be a number >= 0, not {k}.")
        self.k = k

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        found = self.counts(logits, targets)
        errors = (1 + self.k) * found.errors
        return (errors / (self.overlap(found) + errors + self.smooth)).mean()

    def extra_repr(self) -> str:
        return f"k={self.k}, {super().extra_repr()}"
