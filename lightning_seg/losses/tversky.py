"""Losses of the Tversky index: overlap in which false alarms and misses may cost differently.

With soft counts in pixels (:mod:`lightning_seg.losses.region`),

    TI = TP / (TP + alpha FP + beta FN)        and        1 - TI = (alpha FP + beta FN) / (TP + alpha FP + beta FN)

alpha = beta = 1/2 is Dice, and alpha = beta = 1 is IoU. The smoothing term counts as it does in Dice, half of it beside
TP, so that Tversky with 1/2 and 1/2 is ``dice`` to the last digit; what is said there of empty masks holds here.
"""

import math

from torch import Tensor

from lightning_seg.losses.inputs import Reduction, power, require
from lightning_seg.losses.region import RegionLoss


def tversky_distance(tp: Tensor, fp: Tensor, fn: Tensor, alpha: float, beta: float, smooth: float) -> Tensor:
    """1 - TI, from 0 to 1, of the shape of the counts."""
    errors = alpha * fp + beta * fn
    return errors / (tp + errors + smooth / 2)


class TverskyLoss(RegionLoss):
    """1 - Tversky index with soft counts (Salehi et al. 2017, arXiv:1706.05721), from 0 to 1.

    Args:
        alpha: weight of false positives, > 0; the paper's best is 0.3.
        beta: weight of false negatives, > 0; the paper's best is 0.7.
        smooth: pixels, > 0, as in Dice.
        reduction: ``image`` or ``batch``, as in Dice.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(
        self, alpha: float = 0.3, beta: float = 0.7, smooth: float = 1.0, reduction: Reduction = "image"
    ) -> None:
        super().__init__(smooth, reduction)
        for name, value in (("alpha", alpha), ("beta", beta)):
            require(value > 0 and math.isfinite(value), f"{name} must be a number above 0, not {value}.")
        self.alpha = alpha
        self.beta = beta

    def distances(self, logits: Tensor, targets: Tensor) -> Tensor:
        """1 - TI: (N,) under ``image`` and () under ``batch``."""
        found = self.counts(logits, targets)
        return tversky_distance(found.tp, found.fp, found.fn, self.alpha, self.beta, self.smooth)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.distances(logits, targets).mean()

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, beta={self.beta}, {super().extra_repr()}"


class FocalTverskyLoss(TverskyLoss):
    """(1 - TI) ** (1 / gamma) (Abraham & Khan 2019, arXiv:1810.07842): above a gamma of 1, good overlap still pulls.

    Args:
        alpha: weight of false positives, > 0; 0.3 (the paper calls the weight of false negatives alpha).
        beta: weight of false negatives, > 0; 0.7.
        gamma: > 0; the paper's best is 4/3, an exponent of 0.75.
        smooth: pixels, > 0, as in Dice.
        reduction: ``image`` or ``batch``, as in Dice.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 4 / 3,
        smooth: float = 1.0,
        reduction: Reduction = "image",
    ) -> None:
        super().__init__(alpha, beta, smooth, reduction)
        require(gamma > 0 and math.isfinite(gamma), f"gamma must be a number above 0, not {gamma}.")
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return power(self.distances(logits, targets), 1 / self.gamma).mean()

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, {super().extra_repr()}"


class AsymmetricLoss(TverskyLoss):
    """1 - F_b, the F score that counts recall b times as much as precision (Hashemi et al. 2018, arXiv:1803.11078).

    The Tversky loss with weights of 1 / (1 + b^2) on false positives and b^2 / (1 + b^2) on false negatives.

    Args:
        b: > 0; the paper's best is 1.5, and 1 is Dice.
        smooth: pixels, > 0, as in Dice.
        reduction: ``image`` or ``batch``, as in Dice.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(self, b: float = 1.5, smooth: float = 1.0, reduction: Reduction = "image") -> None:
        require(b > 0 and math.isfinite(b), f"b must be a number above 0, not {b}.")
        super().__init__(1 / (1 + b**2), b**2 / (1 + b**2), smooth, reduction)
        self.b = b

    def extra_repr(self) -> str:
        return f"b={self.b}, {super().extra_repr()}"
