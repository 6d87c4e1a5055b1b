"""How far each pixel is from the boundary between lesion and background."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt


def boundary_distances(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of each pixel to the nearest pixel of the other class.

    Args:
        mask: ``(H, W)``.

    Returns:
        float32 ``(H, W)``, in pixels, at least 1. A mask of one class has no boundary: it has :func:`no_boundary`
        everywhere.
    """
    if mask.all() or not mask.any():
        return np.full(mask.shape, no_boundary(*mask.shape), dtype=np.float32)
    return np.where(mask, distance_transform_edt(mask), distance_transform_edt(~mask)).astype(np.float32)


def no_boundary(height: int, width: int) -> float:
    """The distance that stands for "no boundary in the image", in pixels: half its side.

    Two points of a square are about as far apart on average (0.52 of its side), so that an image without a lesion
    weighs about as much in a distance loss as one with a lesion somewhere.
    """
    return max(1.0, math.sqrt(height * width) / 2)
