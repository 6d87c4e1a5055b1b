"""How far two outlines are apart, by MONAI (the extra ``monai``)."""

import math
import warnings
from functools import cache
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_seg.errors import UserError

DISTANCES = ("nsd", "hd95")
TOLERANCE = 0.01  # of the diagonal: 3.2 pixels at 224 x 224


@cache
def load_monai() -> ModuleType:
    """``monai.metrics``.

    Raises:
        UserError: MONAI is not installed.
    """
    try:
        from monai import metrics
    except ImportError as error:
        raise UserError(
            "NSD and HD95 need the package MONAI: pip install 'lightning-seg[monai]', or leave them out with "
            "--no-distances."
        ) from error
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"monai\.")  # of an argument that it gives itself
    return metrics


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


def outline_distances(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], tolerance: float = TOLERANCE
) -> dict[str, float]:
    """Normalised surface distance and the 95th percentile of the Hausdorff distance of two masks ``(H, W)``.

    NSD (also "boundary Dice", Nikolov et al. 2021, arXiv:1809.04430) is the share, from 0 to 1, of both outlines that
    lies within ``tolerance`` x the image's diagonal of the other. HD95 is in pixels of these masks.

    Both masks empty: NSD 1, HD95 0. One of them empty: NSD 0 and the worst HD95 there is, the diagonal.
    """
    diagonal = math.hypot(*truth.shape)
    if not predicted.any() and not truth.any():
        return {"nsd": 1.0, "hd95": 0.0}
    if not predicted.any() or not truth.any():
        return {"nsd": 0.0, "hd95": diagonal}
    metrics = load_monai()
    a, b = (torch.from_numpy(mask)[None, None] for mask in (predicted, truth))
    nsd = metrics.compute_surface_dice(a, b, class_thresholds=[tolerance * diagonal], include_background=True)
    hd95 = metrics.compute_hausdorff_distance(a, b, percentile=95, include_background=True)
    return {"nsd": nsd.item(), "hd95": hd95.item()}
