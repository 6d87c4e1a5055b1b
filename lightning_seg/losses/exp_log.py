"""The exponential logarithmic loss."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.losses.inputs import Reduction, margins, power, require, to_computing_dtype
from lightning_seg.losses.region import RegionLoss


class ExpLogLoss(RegionLoss):
    """Powers of the logarithms of Dice and of each pixel's probability (Wong et al. 2018, arXiv:1809.00076).

    ``dice_weight E[(-ln Dice)^gamma] + bce_weight E[w (-ln p)^gamma]``, p the true class's probability. A class's
    pixels have the weight ``w = sqrt(all pixels / pixels of the class)``, counted over the batch where the paper counts
    over the training set. Below a gamma of 1, small errors pull more than in proportion. An empty mask has Dice = s /
    (s + sum(p)).

    Args:
        gamma: the power, > 0; the paper's best is 0.3.
        dice_weight: >= 0; the paper's best is 0.8.
        bce_weight: >= 0; the paper's best is 0.2.
        smooth: pixels, > 0, as in Dice.
        reduction: of Dice, ``image`` or ``batch``.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(
        self,
        gamma: float = 0.3,
        dice_weight: float = 0.8,
        bce_weight: float = 0.2,
        smooth: float = 1.0,
        reduction: Reduction = "image",
    ) -> None:
        super().__init__(smooth, reduction)
        require(gamma > 0 and math.isfinite(gamma), f"gamma must be a number above 0, not {gamma}.")
        require(
            min(dice_weight, bce_weight) >= 0 and 0 < dice_weight + bce_weight < math.inf,
            f"dice_weight={dice_weight} and bce_weight={bce_weight} must be >= 0, and one of them positive.",
        )
        self.gamma = gamma
        self.dice_weight = dice_weight
        self.bce_weight = bce_weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        overlap, errors = self.soft_counts(logits, targets)
        dice = power(torch.log1p(errors / (2 * overlap + self.smooth)), self.gamma).mean()  # -ln Dice
        lesion, others = (torch.sqrt(each.numel() / each.sum().clamp_min(1)) for each in (targets, 1 - targets))
        weights = targets * lesion + (1 - targets) * others
        pixels = weights * power(-F.logsigmoid(margins(logits, targets)), self.gamma)
        return self.dice_weight * dice + self.bce_weight * pixels.mean()

    def extra_repr(self) -> str:
        weights = f"dice_weight={self.dice_weight}, bce_weight={self.bce_weight}"
        return f"gamma={self.gamma}, {weights}, {super().extra_repr()}"
