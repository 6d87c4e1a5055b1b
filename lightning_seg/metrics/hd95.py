"""The 95th percentile of the Hausdorff distance (Huttenlocher et al., IEEE TPAMI 15, 1993)."""

import numpy as np

from lightning_seg.metrics.masks import Masks


def hd95(masks: Masks) -> float:
    """How far the outlines are apart, but for the farthest 5 % of each, as a share of the image's diagonal, 0 to 1.

    The larger of the two directed percentiles, interpolated linearly. Both masks empty: 0. One of them empty: 1, the
    diagonal itself, which is the worst there is.
    """
    if masks.empty is not None:
        return 1 - masks.empty
    return max(float(np.quantile(directed, 0.95)) for directed in masks.distances) / masks.diagonal
