"""What the losses make of logits and targets before their formulae begin."""

from typing import Literal

import torch
from torch import Tensor

from lightning_seg.errors import UserError

Reduction = Literal["image", "batch"]


def require(valid: bool, sentence: str) -> None:
    """Raise ``UserError`` with this sentence where a parameter is not valid."""
    if not valid:
        raise UserError(sentence)


def dims_of(reduction: Reduction) -> tuple[int, ...]:
    """The dimensions of ``(N, 1, H, W)`` that are summed over: one image's, or with ``batch`` all of them.

    Raises:
        UserError: there is no such reduction.
    """
    require(reduction in ("image", "batch"), f"reduction must be image or batch, not {reduction!r}.")
    return (1, 2, 3) if reduction == "image" else (0, 1, 2, 3)


def to_computing_dtype(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the dtype of the logits, but at least float32: soft counts of 224 x 224 pixels overflow float16.

    Raises:
        UserError: the shapes differ. They would broadcast, and silently compare every image with every other.
    """
    if logits.shape != targets.shape:
        raise UserError(
            f"A loss got logits of shape {tuple(logits.shape)} and targets of shape {tuple(targets.shape)}: "
            "both must be (N, 1, H, W), so check what the model returns."
        )
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.to(dtype), targets.to(dtype)


def margins(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits signed so that positive means right: x where the target is 1, -x where it is 0.

    With p = sigmoid(x), sigmoid(margin) is the probability given to the true class and sigmoid(-margin) that
    given to the wrong one. Both keep their precision near 0, where 1 - p would round it away.
    """
    return (2 * targets - 1) * logits


def power(base: Tensor, exponent: float) -> Tensor:
    """``base ** exponent`` for bases >= 0 and any exponent > 0, with a finite slope at 0.

    Below an exponent of 1 the slope there is infinite, and times the 0 of a saturated sigmoid no number. Smaller bases
    than the dtype's least normal number are taken for it, without a slope.
    """
    return base.clamp_min(torch.finfo(base.dtype).tiny) ** exponent
