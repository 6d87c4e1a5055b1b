"""Distribution losses: how improbable each pixel's true class is, on average over all pixels of the batch."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.losses.inputs import Reduction, dims_of, margins, require, to_computing_dtype


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

    def __init__(
        self, alpha: float = 0.8, gamma: float = 0.2, alpha_form: Literal["paper", "balanced"] = "paper"
    ) -> None:
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


class WeightedBCELoss(nn.Module):
    """Cross-entropy weighted by alpha on the lesion, 1 - alpha elsewhere (Ronneberger et al. 2015, arXiv:1505.04597).

    The mean over pixels of ``-[a B log p + (1-a) (1-B) log(1-p)]``, in nats per pixel. Ma et al. 2021 weigh 0.8 and
    0.2 (doi:10.1016/j.media.2021.102035), the default. An empty mask counts as with ``bce``, times 1 - alpha.

    Args:
        alpha: in (0, 1).

    Raises:
        UserError: alpha is out of range.
    """

    def __init__(self, alpha: float = 0.8) -> None:
        super().__init__()
        require(0 < alpha < 1, f"alpha must be in (0, 1), not {alpha}.")
        self.alpha = alpha

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        weights = self.alpha * targets + (1 - self.alpha) * (1 - targets)
        return F.binary_cross_entropy_with_logits(logits, targets, weight=weights)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class BalancedBCELoss(nn.Module):
    """Cross-entropy in which lesion and background count one half each, however small the lesion.

    Half the mean over the lesion's pixels plus half the mean over the others, in nats. These are the weights of Xie &
    Tu 2015 (arXiv:1504.06375, equation 2) but for a factor an image: theirs sum to ``2 b (1 - b)`` for a share b of
    background, and would give an empty mask no loss at all. Here a mask of one class is scored by that class alone, so
    that an empty mask counts as with ``bce``.

    Args:
        reduction: ``image`` balances each image, ``batch`` the pixels of the batch together.
    """

    def __init__(self, reduction: Reduction = "image") -> None:
        super().__init__()
        self.dims = dims_of(reduction)
        self.reduction = reduction

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        lesion, others = (each.sum(self.dims, keepdim=True).clamp_min(1) for each in (targets, 1 - targets))
        weights = targets / lesion + (1 - targets) / others
        losses = weights * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (losses.sum(self.dims) / weights.sum(self.dims)).mean()

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class TopKLoss(nn.Module):
    """Cross-entropy of the worst k per cent of the pixels alone (Wu et al. 2016, arXiv:1605.06885).

    The default is that of Ma et al. 2021. An empty mask is judged by its k per cent most lesion-like pixels. Pixels
    outside the worst have no gradient.

    Args:
        k: per cent of the pixels, in (0, 100]; at least one pixel is taken, and 100 gives ``bce``.
        reduction: ``batch`` looks for the worst pixels of the batch, as published; ``image`` for each image's own.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(self, k: float = 10.0, reduction: Reduction = "batch") -> None:
        super().__init__()
        require(0 < k <= 100, f"k must be in (0, 100] per cent, not {k}.")
        self.first_dim = min(dims_of(reduction))  # of those that are looked at together
        self.k = k
        self.reduction = reduction

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        losses = F.binary_cross_entropy_with_logits(*to_computing_dtype(logits, targets), reduction="none")
        losses = losses.flatten(self.first_dim)
        count = max(1, int(losses.shape[-1] * self.k / 100))
        return losses.topk(count, sorted=False).values.mean()

    def extra_repr(self) -> str:
        return f"k={self.k}, reduction={self.reduction!r}"


class PolyBCELoss(nn.Module):
    """Cross-entropy plus epsilon times the probability of the wrong class: Poly-1 (Leng et al. 2022, arXiv:2204.12511).

    The first term of cross-entropy's expansion in powers of (1 - p) then has the weight 1 + epsilon. An empty mask
    counts like any other.

    Args:
        epsilon: > -1, below which confident mistakes would be rewarded; the paper's simplest setting is 1.

    Raises:
        UserError: epsilon is out of range.
    """

    def __init__(self, epsilon: float = 1.0) -> None:
        super().__init__()
        require(epsilon > -1 and math.isfinite(epsilon), f"epsilon must be a number above -1, not {epsilon}.")
        self.epsilon = epsilon

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        margin = margins(logits, targets)
        return (self.epsilon * torch.sigmoid(-margin) - F.logsigmoid(margin)).mean()

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon}"
