"""How a lesion stands out from what is around it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

REACH = 10 / 224  # of the image's side: how far the surroundings of a lesion reach beyond it


def lesion_contrast(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Difference of mean grey between a lesion and its surroundings, in -1 to 1, positive if the lesion is brighter.

    Args:
        image: RGB, ``(size, size, 3)``.
        mask: true on the lesion, ``(size, size)``.

    Returns:
        The difference; NaN without a lesion or without surroundings.
    """
    from scipy.ndimage import maximum_filter  # here: who only opens a cache that is there would wait for it

    reach = max(1, round(REACH * len(mask)))
    around = maximum_filter(mask, size=2 * reach + 1) & ~mask
    if not mask.any() or not around.any():
        return float("nan")
    grey = np.asarray(Image.fromarray(image).convert("L"), dtype=np.float32) / 255
    return float(grey[mask].mean() - grey[around].mean())
