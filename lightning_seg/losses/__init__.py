"""The losses under study: from logits ``(N, 1, H, W)`` and targets {0, 1} of the same shape to a scalar.

Contract of every loss here:

* logits are floating point. Half-precision logits are computed in float32, under autocast too; float64 stays float64.
  Logits of +-1e4 give finite values and gradients.
* targets hold 0 and 1 only, in any dtype; float32 costs no conversion. The values are not checked (reading them
  would make the host wait for the device). A shape other than that of the logits raises ``UserError``.
* the result is a scalar >= 0 in the computing dtype, at its smallest where the prediction is the truth.
"""

from lightning_seg.losses.compound import WeightedSum
from lightning_seg.losses.pixel import BCELoss, FocalLoss
from lightning_seg.losses.region import DiceLoss, IoULoss

__all__ = ["BCELoss", "DiceLoss", "FocalLoss", "IoULoss", "WeightedSum"]
