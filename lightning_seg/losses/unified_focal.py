"""The unified focal loss."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.losses.inputs import Reduction, margins, power, require, to_computing_dtype
from lightning_seg.losses.region import RegionLoss
from lightning_seg.losses.tversky import tversky_distance


class UnifiedFocalLoss(RegionLoss):
    """Focal and focal Tversky loss with their parameters in common (Yeung et al. 2022, arXiv:2102.04525).

    ``weight F + (1 - weight) T``. F is the mean over pixels of ``-[d y log p + (1 - d) p^g (1 - y) log(1 - p)]``, and T
    the mean over lesion and background of 1 - TI, in which a class's missed pixels weigh d and false ones 1 - d, the
    lesion's to the power 1 - g. So g plays down easy background in F and plays up the lesion in T. The symmetric
    variant does both to both classes. With d = 1/2 and g = 0, F is half of ``bce`` and T the mean Dice loss of both
    classes.

    An empty mask has F as usual, and in T the lesion's part of Dice with its smoothing.

    Args:
        weight: lambda, in [0, 1]; the paper's is 0.5.
        delta: d, in (0, 1); the paper's is 0.6.
        gamma: g, in [0, 1); the paper's is 0.5.
        variant: ``asymmetric``, which the paper recommends, or ``symmetric``.
        smooth: pixels, > 0, as in Dice.
        reduction: of T, ``image`` or ``batch``.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(
        self,
        weight: float = 0.5,
        delta: float = 0.6,
        gamma: float = 0.5,
        variant: Literal["asymmetric", "symmetric"] = "asymmetric",
        smooth: float = 1.0,
        reduction: Reduction = "image",
    ) -> None:
        super().__init__(smooth, reduction)
        require(0 <= weight <= 1, f"weight must be in [0, 1], not {weight}.")
        require(0 < delta < 1, f"delta must be in (0, 1), not {delta}.")
        require(0 <= gamma < 1, f"gamma must be in [0, 1), not {gamma}.")
        require(variant in ("asymmetric", "symmetric"), f"variant must be asymmetric or symmetric, not {variant!r}.")
        self.weight = weight
        self.delta = delta
        self.gamma = gamma
        self.variant = variant

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        return self.weight * self.focal(logits, targets) + (1 - self.weight) * self.tversky(logits, targets)

    def focal(self, logits: Tensor, targets: Tensor) -> Tensor:
        margin = margins(logits, targets)
        focus = torch.exp(self.gamma * F.logsigmoid(-margin))  # see FocalLoss
        on_lesion = focus if self.variant == "symmetric" else 1.0
        weights = self.delta * targets * on_lesion + (1 - self.delta) * (1 - targets) * focus
        return -(weights * F.logsigmoid(margin)).mean()

    def tversky(self, logits: Tensor, targets: Tensor) -> Tensor:
        tp, fp, fn, tn = self.counts(logits, targets)
        lesion = tversky_distance(tp, fp, fn, 1 - self.delta, self.delta, self.smooth)
        others = tversky_distance(tn, fn, fp, 1 - self.delta, self.delta, self.smooth)
        if self.variant == "symmetric":
            others = power(others, 1 - self.gamma)
        return (power(lesion, 1 - self.gamma) + others).mean() / 2

    def extra_repr(self) -> str:
        own = f"weight={self.weight}, delta={self.delta}, gamma={self.gamma}, variant={self.variant!r}"
        return f"{own}, {super().extra_repr()}"
