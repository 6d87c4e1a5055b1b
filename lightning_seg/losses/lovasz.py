"""The Lovász extension of the IoU loss."""

from typing import Literal

import torch
from torch import Tensor

from lightning_seg.losses.inputs import Reduction, margins, require, to_computing_dtype
from lightning_seg.losses.region import RegionLoss


class LovaszLoss(RegionLoss):
    """The convex extension of 1 - IoU from sets of wrong pixels to errors (Berman et al. 2018, arXiv:1705.08790).

    Pixels are sorted by their error, largest first, and each error is weighted by what its pixel adds to the IoU loss
    of the set of wrong pixels so far (algorithm 1). With hard predictions it is the IoU loss with the same smoothing.

    The smoothing term s is added to intersection and union of those sets. Without it (the paper's form) the loss of an
    empty mask is its largest error alone; with it, the k-th largest
    error has the weight s / ((k + s) (k - 1 + s)).

    Args:
        errors: ``probability`` takes the probability of the wrong class (Lovász-softmax; from 0 to 1), ``hinge``
            max(0, 1 - x) for logits x signed towards the truth (Lovász hinge; without an upper bound).
        smooth: pixels, > 0.
        reduction: ``image`` or ``batch``, as in IoU.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(
        self,
        errors: Literal["probability", "hinge"] = "probability",
        smooth: float = 1.0,
        reduction: Reduction = "image",
    ) -> None:
        super().__init__(smooth, reduction)
        require(errors in ("probability", "hinge"), f"errors must be probability or hinge, not {errors!r}.")
        self.errors = errors

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = (each.flatten(min(self.dims)) for each in to_computing_dtype(logits, targets))
        margin = margins(logits, targets)
        errors = torch.sigmoid(-margin) if self.errors == "probability" else torch.relu(1 - margin)
        errors, order = errors.sort(dim=-1, descending=True)
        return (errors * self._increments(targets.gather(-1, order))).sum(-1).mean()

    def _increments(self, truth: Tensor) -> Tensor:
        """What each pixel adds to the IoU loss of all those before it; ``truth`` in order, pixels last."""
        total = truth.sum(-1, keepdim=True)
        intersection = total - truth.cumsum(-1)
        union = total + (1 - truth).cumsum(-1)
        losses = 1 - (intersection + self.smooth) / (union + self.smooth)
        return torch.cat([losses[..., :1], losses.diff(dim=-1)], -1)

    def extra_repr(self) -> str:
        return f"errors={self.errors!r}, {super().extra_repr()}"
