"""Normalised surface distance, also "boundary Dice" (Nikolov et al. 2021, arXiv:1809.04430)."""

import numpy as np

from lightning_seg.metrics.masks import Masks

TOLERANCE, STRICT = 0.01, 0.005
"""Of the image's diagonal: 3.2 and 1.6 pixels at 224 x 224."""


def nsd(masks: Masks, tolerance: float = TOLERANCE) -> float:
    """Share, from 0 to 1, of both outlines that lies within ``tolerance`` x the image's diagonal of the other.

    Both masks empty: 1. One of them empty: 0.
    """
    if masks.empty is not None:
        return masks.empty
    both = np.concatenate(masks.distances)
    return float(np.mean(both <= tolerance * masks.diagonal))


def strict_nsd(masks: Masks) -> float:
    """:func:`nsd` at half the tolerance."""
    return nsd(masks, STRICT)
