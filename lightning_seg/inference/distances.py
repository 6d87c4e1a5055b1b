"""How far two outlines are apart, in pixels."""

import math

import numpy as np
from numpy.typing import NDArray

from lightning_seg.metrics.hd95 import hd95
from lightning_seg.metrics.masks import Masks
from lightning_seg.metrics.nsd import TOLERANCE, nsd

DISTANCES = ("nsd", "hd95")


def units(side: int | None) -> dict[str, str]:
    """What the figures of :func:`outline_distances` mean, in words.

    Args:
        side: in pixels of the square masks; ``None`` if each has a size of its own.
    """
    pixels = "" if side is None else f", {TOLERANCE * math.hypot(side, side):.1f} px"
    return {
        "nsd": f"share within {100 * TOLERANCE:g} % of the diagonal{pixels}",
        "hd95": "px of each image" if side is None else f"px at {side} x {side}",
    }


def outline_distances(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, float]:
    """:func:`lightning_seg.metrics.nsd.nsd` and :func:`lightning_seg.metrics.hd95.hd95` of two masks ``(H, W)``.

    HD95 is in pixels of these masks.
    """
    masks = Masks(predicted, truth)
    return {"nsd": nsd(masks), "hd95": hd95(masks) * masks.diagonal}
