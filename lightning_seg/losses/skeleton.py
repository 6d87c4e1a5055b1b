"""The centreline Dice loss, for thin and branching lesions."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.losses.inputs import Reduction, require, to_computing_dtype
from lightning_seg.losses.region import RegionLoss


class CenterlineDiceLoss(RegionLoss):
    """1 - clDice with soft skeletons (Shit et al. 2021, arXiv:2003.07311), from 0 to 1.

    clDice is the harmonic mean of two shares: of the prediction's skeleton that lies in the lesion, and of the lesion's
    skeleton that lies in the prediction. Alone it says nothing of the borders, so the paper trains with
    ``(1 - a) Dice + a (1 - clDice)`` and a up to 0.5: the choice ``cldice``. On an empty mask the second share is 1
    and the first s / (skeleton of the prediction + s).

    Args:
        iterations: erosions of the skeleton, >= 0: at least the radius of the thickest lesion in pixels, which must be
            thinner for its skeleton to be a line. 3, after the paper's code.
        smooth: pixels, > 0, in both shares.
        reduction: ``image`` or ``batch``, as in Dice.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(self, iterations: int = 3, smooth: float = 1.0, reduction: Reduction = "image") -> None:
        super().__init__(smooth, reduction)
        require(
            iterations == int(iterations) and iterations >= 0, f"iterations must be a whole number, not {iterations}."
        )
        self.iterations = int(iterations)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        predicted = torch.sigmoid(logits)
        precision = self._share(soft_skeleton(predicted, self.iterations), targets)
        sensitivity = self._share(soft_skeleton(targets, self.iterations), predicted)
        return (1 - 2 * precision * sensitivity / (precision + sensitivity)).clamp_min(0).mean()

    def _share(self, skeleton: Tensor, region: Tensor) -> Tensor:
        inside = (skeleton * region).sum(self.dims)
        return (inside + self.smooth) / (skeleton.sum(self.dims) + self.smooth)

    def extra_repr(self) -> str:
        return f"iterations={self.iterations}, {super().extra_repr()}"


def soft_skeleton(region: Tensor, iterations: int) -> Tensor:
    """What each erosion of a soft region in [0, 1] takes away for good (Shit et al. 2021, algorithm 1)."""
    skeleton = _ridges(region)
    for _ in range(iterations):
        region = _eroded(region)
        skeleton = skeleton + (1 - skeleton) * _ridges(region)
    return skeleton


def _ridges(region: Tensor) -> Tensor:
    """What an opening of the region by a pixel loses."""
    return torch.relu(region - F.max_pool2d(_eroded(region), 3, 1, 1))


def _eroded(region: Tensor) -> Tensor:
    """The least value in the cross around each pixel."""
    upright = F.max_pool2d(-region, (3, 1), 1, (1, 0))
    across = F.max_pool2d(-region, (1, 3), 1, (0, 1))
    return -torch.maximum(upright, across)
