"""Losses of rates that look at the background as well: Matthews' correlation, sensitivity and specificity."""

import torch
from torch import Tensor, nn

from lightning_seg.losses.inputs import Reduction, dims_of, require, to_computing_dtype
from lightning_seg.losses.region import RegionLoss


class MCCLoss(RegionLoss):
    """1 - Matthews' correlation coefficient with soft counts, from 0 to 2 (Abhishek & Hamarneh 2021).

    doi:10.1109/ISBI48211.2021.9433782. ``1 - (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))``. The
    smoothing term is added to TP and to TN, so that the loss is 0 at the truth even where a mask is empty or full;
    without it such a mask is 0 / 0. On an empty mask the loss is ``1 - sqrt(s (TN + s) / ((s + FP) (N + s)))`` for N
    pixels, which grows with every false alarm.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        found = self.counts(logits, targets)
        tp, fp, fn, tn = found.tp + self.smooth, found.fp, found.fn, found.tn + self.smooth
        # Two roots: the product of four counts of a large batch could overflow.
        scale = torch.sqrt((tp + fp) * (tn + fn)) * torch.sqrt((tp + fn) * (tn + fp))
        return (1 - (tp * tn - fp * fn) / scale).clamp_min(0).mean()  # at the truth, rounding may fall below


class SensitivitySpecificityLoss(nn.Module):
    """Squared errors of lesion and background, each averaged over its own pixels (Brosch et al. 2015).

    doi:10.1007/978-3-319-24574-4_1. ``r sum((p - y)^2 y) / sum(y) + (1 - r) sum((p - y)^2 (1 - y)) / sum(1 - y)``, from
    0 to 1. A class without pixels adds nothing: an empty mask is scored by (1 - r) times its mean squared probability.

    Args:
        r: weight of the lesion's part, in (0, 1). The authors find 0.01 to 0.1 alike and take 0.05; Ma et al. 2021
            take 0.1.
        reduction: ``image`` or ``batch``, as in Dice.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(self, r: float = 0.05, reduction: Reduction = "image") -> None:
        super().__init__()
        require(0 < r < 1, f"r must be in (0, 1), not {r}.")
        self.r = r
        self.dims = dims_of(reduction)
        self.reduction = reduction

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        errors = (torch.sigmoid(logits) - targets).square()
        lesion, others = (
            (errors * each).sum(self.dims) / each.sum(self.dims).clamp_min(1) for each in (targets, 1 - targets)
        )
        return (self.r * lesion + (1 - self.r) * others).mean()

    def extra_repr(self) -> str:
        return f"r={self.r}, reduction={self.reduction!r}"
