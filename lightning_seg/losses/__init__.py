"""The losses under study: from logits ``(N, 1, H, W)`` and targets {0, 1} of the same shape to a scalar.

Contract of every loss here:

* logits are floating point. Half-precision logits are computed in float32, under autocast too; float64 stays float64.
  Logits of +-1e4 give finite values and gradients.
* targets hold 0 and 1 only, in any dtype; float32 costs no conversion. The values are not checked (reading them
  would make the host wait for the device). A shape other than that of the logits raises ``UserError``.
* the result is a scalar >= 0 in the computing dtype, at its smallest where the prediction is the truth (but for
  ``NACLLoss``, which wants it less sure). Empty and full masks have a value and a gradient that leads to them.
* those that weigh by distance take the masks' distances as a third argument, and compute them without.
"""

from lightning_seg.losses.calibration import NACLLoss
from lightning_seg.losses.compound import BalancedSum, WeightedSum
from lightning_seg.losses.dice import (
    GeneralizedDiceLoss,
    LogCoshDiceLoss,
    PenaltyGeneralizedDiceLoss,
    SquaredDiceLoss,
)
from lightning_seg.losses.distance import BoundaryLoss, DistanceBCELoss, HausdorffLoss
from lightning_seg.losses.erosion import HausdorffErosionLoss
from lightning_seg.losses.exp_log import ExpLogLoss
from lightning_seg.losses.lovasz import LovaszLoss
from lightning_seg.losses.pixel import BalancedBCELoss, BCELoss, FocalLoss, PolyBCELoss, TopKLoss, WeightedBCELoss
from lightning_seg.losses.rates import MCCLoss, SensitivitySpecificityLoss
from lightning_seg.losses.region import DiceLoss, IoULoss
from lightning_seg.losses.skeleton import CenterlineDiceLoss
from lightning_seg.losses.tversky import AsymmetricLoss, FocalTverskyLoss, TverskyLoss
from lightning_seg.losses.unified_focal import UnifiedFocalLoss

__all__ = [
    "AsymmetricLoss",
    "BCELoss",
    "BalancedBCELoss",
    "BalancedSum",
    "BoundaryLoss",
    "CenterlineDiceLoss",
    "DiceLoss",
    "DistanceBCELoss",
    "ExpLogLoss",
    "FocalLoss",
    "FocalTverskyLoss",
    "GeneralizedDiceLoss",
    "HausdorffErosionLoss",
    "HausdorffLoss",
    "IoULoss",
    "LogCoshDiceLoss",
    "LovaszLoss",
    "MCCLoss",
    "NACLLoss",
    "PenaltyGeneralizedDiceLoss",
    "PolyBCELoss",
    "SensitivitySpecificityLoss",
    "SquaredDiceLoss",
    "TopKLoss",
    "TverskyLoss",
    "UnifiedFocalLoss",
    "WeightedBCELoss",
    "WeightedSum",
]
