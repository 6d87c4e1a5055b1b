"""Losses that weigh each pixel's error by its distance from the lesion's boundary.

The distance D of a pixel is that to the nearest pixel of the other class, in pixels and at least 1. The data module
serves it with each batch, computed once an image; a loss that is called without computes it. An empty or a full mask
has no boundary: see :func:`lightning_seg.distances.no_boundary`.
"""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.distances import boundary_distances, no_boundary
from lightning_seg.losses.inputs import margins, require, to_computing_dtype


def needs_distances(loss: nn.Module) -> bool:
    """Whether ``loss`` can be called with the masks' distances as a third argument."""
    return bool(getattr(loss, "needs_distances", False))


def compare(loss: nn.Module, logits: Tensor, targets: Tensor, distances: Tensor | None) -> Tensor:
    """The value of any loss, which is handed the distances only if it needs them."""
    return loss(logits, targets, distances) if needs_distances(loss) else loss(logits, targets)


@torch.no_grad()
def distance_maps(masks: Tensor, no_boundary_value: float | None = None) -> Tensor:
    """D of every pixel.

    Args:
        masks: bool ``(N, 1, H, W)``.
        no_boundary_value: D in images of one class; :func:`no_boundary` by default.

    Returns:
        float32 of the same shape. On the CPU it is SciPy's, elsewhere computed without a look from the host.
    """
    height, width = masks.shape[-2:]
    lone = no_boundary(height, width) if no_boundary_value is None else no_boundary_value
    if masks.device.type == "cpu":
        maps = torch.stack([torch.from_numpy(boundary_distances(mask[0].numpy())) for mask in masks])[:, None]
    else:
        maps = torch.where(masks, _to_nearest(~masks), _to_nearest(masks))
    pixels = masks.sum((1, 2, 3), keepdim=True)
    return torch.where((pixels > 0) & (pixels < height * width), maps, lone)


def _to_nearest(sources: Tensor) -> Tensor:
    """Euclidean distance to the nearest pixel that is true: exact, by columns and then by rows (N, 1, H, W)."""
    rows, columns = (torch.arange(size, device=sources.device, dtype=torch.float32) for size in sources.shape[-2:])
    before = torch.where(sources, columns, -math.inf).cummax(-1).values
    after = torch.where(sources, columns, math.inf).flip(-1).cummin(-1).values.flip(-1)
    across = torch.minimum(columns - before, after - columns).square()
    nearest = torch.full_like(across, math.inf)
    for row in range(len(rows)):
        nearest = torch.minimum(nearest, across[..., row : row + 1, :] + (rows - row).square()[:, None])
    return nearest.sqrt()


class DistanceLoss(nn.Module, ABC):
    """A loss of logits, masks and the masks' distances."""

    needs_distances = True

    def forward(self, logits: Tensor, targets: Tensor, distances: Tensor | None = None) -> Tensor:
        """As every loss, and with ``distances`` of the masks' shape in any floating dtype, computed if absent."""
        logits, targets = to_computing_dtype(logits, targets)
        if distances is None:
            distances = distance_maps(targets > 0.5)
        return self.weigh(logits, targets, distances.to(logits.dtype))

    @abstractmethod
    def weigh(self, logits: Tensor, targets: Tensor, distances: Tensor) -> Tensor:
        """The loss, all three in the computing dtype."""


class BoundaryLoss(DistanceLoss):
    """The mean over pixels of (distance to the lesion's boundary) x (probability of the wrong class), in pixels.

    Kervadec et al. 2019 (arXiv:1812.07032) count D outside the lesion and -(D - 1) inside, times p, without regard to
    the truth. Here the same is counted from its value at the truth, a constant: the gradient is the published one, and
    the loss is >= 0 and 0 at the truth. The lesion's outermost pixels have the weight 0, as published, so the paper
    adds a region loss: the choice ``dice_boundary``. An empty mask weighs each false alarm by half the image's side.
    """

    def weigh(self, logits: Tensor, targets: Tensor, distances: Tensor) -> Tensor:
        return ((distances - targets) * torch.sigmoid(-margins(logits, targets))).mean()


class HausdorffLoss(DistanceLoss):
    """Squared errors weighted by powers of distance (Karimi & Salcudean 2019, arXiv:1904.10030), in pixels ** alpha.

    The mean of ``(p - y)^2 (D^alpha + P^alpha)``, with P the distances of the thresholded prediction; large for errors
    far from both boundaries, as the Hausdorff distance is. P is taken for 0 where a prediction is all lesion or all
    background. An empty mask has D of half the image's side. P must be computed in every step: on a CPU by SciPy.

    Args:
        alpha: > 0; the paper's is 2.

    Raises:
        UserError: alpha is out of range.
    """

    def __init__(self, alpha: float = 2.0) -> None:
        super().__init__()
        require(alpha > 0 and math.isfinite(alpha), f"alpha must be a number above 0, not {alpha}.")
        self.alpha = alpha

    def weigh(self, logits: Tensor, targets: Tensor, distances: Tensor) -> Tensor:
        predicted = distance_maps(logits.detach() > 0, no_boundary_value=0.0).to(logits.dtype)
        errors = (torch.sigmoid(logits) - targets).square()
        return (errors * (distances**self.alpha + predicted**self.alpha)).mean()

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class DistanceBCELoss(DistanceLoss):
    """Cross-entropy in which pixels near the lesion's boundary count up to twice (Caliva et al. 2019, MIDL).

    The mean of ``(1 + W) bce``. Within each class of an image, W falls from 1 at the boundary to 0 at the pixel that is
    deepest in it (the inverted distances, normalised as Ma et al. 2021 do). An empty mask counts as with ``bce``.
    """

    def weigh(self, logits: Tensor, targets: Tensor, distances: Tensor) -> Tensor:
        weights = 1 + _closeness(distances, targets) + _closeness(distances, 1 - targets)
        return F.binary_cross_entropy_with_logits(logits, targets, weight=weights)


def _closeness(distances: Tensor, region: Tensor) -> Tensor:
    """From 1 at the boundary to 0 at the deepest pixel of a region; 0 outside, and where all are alike."""
    depth = (distances * region).amax((1, 2, 3), keepdim=True)
    inverted = (depth - distances) * region
    return inverted / inverted.amax((1, 2, 3), keepdim=True).clamp_min(1e-3)  # less than any two distances differ
