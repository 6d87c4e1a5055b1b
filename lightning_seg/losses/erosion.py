"""The Hausdorff loss without distance maps."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.losses.inputs import require, to_computing_dtype


class HausdorffErosionLoss(nn.Module):
    """Squared errors that survive k erosions, weighted by k ** alpha (Karimi & Salcudean 2019, arXiv:1904.10030).

    An erosion averages each pixel with its four neighbours (those outside the image are 0) and stretches what is above
    one half to [0, 1]. Two things differ from the paper, so that the loss has a slope wherever something is wrong: the
    errors themselves are added (k = 0, weight 1), since errors of up to 1/2, or thinner than the cross, vanish at the
    first erosion; and erosions are stretched by a factor of 2, not by each image's own extremes. An empty mask counts
    like any other.

    Args:
        alpha: > 0; the paper's is 2.
        erosions: how many, >= 0: the largest errors that are told apart have this radius in pixels. The paper's is 10.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(self, alpha: float = 2.0, erosions: int = 10) -> None:
        super().__init__()
        require(alpha > 0 and math.isfinite(alpha), f"alpha must be a number above 0, not {alpha}.")
        require(erosions == int(erosions) and erosions >= 0, f"erosions must be a whole number, not {erosions}.")
        self.alpha = alpha
        self.erosions = int(erosions)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        errors = (torch.sigmoid(logits) - targets).square()
        total = errors.mean()
        for k in range(1, self.erosions + 1):
            errors = torch.relu(2 * _cross_mean(errors) - 1)
            total = total + k**self.alpha * errors.mean()
        return total

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, erosions={self.erosions}"


def _cross_mean(image: Tensor) -> Tensor:
    """The mean of each pixel and its four neighbours; not a convolution, which autocast would run in half precision."""
    wide = F.pad(image, (1, 1, 1, 1))
    upright = wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1]
    across = wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:]
    return (image + upright + across) / 5
