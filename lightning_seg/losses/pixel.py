"""Distribution losses: how improbable each pixel's true class is, on average over all pixels of the batch."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.losses.inputs import margins, to_computing_dtype


class BCELoss(nn.Module):
    """Binary cross-entropy, in nats per pixel (Jang & Ahn 2025, equation 3)."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(*to_computing_dtype(logits, targets))


class FocalLoss(nn.Module):
    """Cross-entropy that weighs each pixel by how wrong it is (Jang & Ahn 2025, equation 4).

    The mean over pixels of ``-[a (1-p)^g B log p + a p^g (1-B) log(1-p)]``, in nats per pixel.

    Args:
        alpha: a, in (0, 1]; see ``alpha_form``. The paper takes 0.8.
        gamma: g >= 0; 0 gives the weighted cross-entropy. The paper prints 0.2.
        alpha_form: ``paper`` scales both classes by alpha, as the paper prints it; ``balanced`` weighs lesion pixels
            by alpha and the others by 1 - alpha, the usual form (Lin et al. 2017).

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(self, alpha: float, gamma: float, alpha_form: Literal["paper", "balanced"] = "paper") -> None:
        super().__init__()
        if alpha_form not in ("paper", "balanced"):
            raise UserError(f"alpha_form must be paper or balanced, not {alpha_form!r}.")
        if not 0 < alpha <= 1:
            raise UserError(f"alpha must be in (0, 1], not {alpha}.")
        if not (gamma >= 0 and math.isfinite(gamma)):
            raise UserError(f"gamma must be a number >= 0, not {gamma}.")
        self.alpha = alpha
        self.gamma = gamma
        self.alpha_form = alpha_form

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        margin = margins(logits, targets)
        # The wrong class's probability to the power gamma. pow() would have an infinite slope where that
        # probability underflows to 0, and 0 * inf in the backward pass.
        focus = torch.exp(self.gamma * F.logsigmoid(-margin))
        loss = -focus * F.logsigmoid(margin)
        if self.alpha_form == "paper":
            return self.alpha * loss.mean()
        return ((self.alpha * targets + (1 - self.alpha) * (1 - targets)) * loss).mean()

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, gamma={self.gamma}, alpha_form={self.alpha_form!r}"
