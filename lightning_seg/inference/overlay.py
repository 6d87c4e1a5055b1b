"""A prediction drawn onto its image."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

INK = (0, 200, 255)  # cyan: no lesion, skin or mucosa has it
VEIL = 0.15  # how strongly the lesion's inside is tinted
LINE = 350  # an outline's width is the longer side over this, in pixels


def draw_overlay(image: Image.Image, probability: NDArray[np.float32], threshold: float = 0.5) -> NDArray[np.uint8]:
    """The image with its predicted lesion tinted and outlined.

    Args:
        image: RGB, of any size.
        probability: float32 ``(size, size)``.
        threshold: above which it is lesion.

    Returns:
        RGB, uint8 ``(height, width, 3)``.
    """
    at_image = np.asarray(Image.fromarray(probability).resize(image.size, Image.Resampling.BILINEAR))
    mask = at_image > threshold
    thickness = max(1, round(max(image.size) / LINE))
    outline = mask & ~ndimage.binary_erosion(mask, iterations=thickness)  # along the image's border as well
    pixels = np.array(image, dtype=np.float32)
    pixels[mask] += VEIL * (np.array(INK, dtype=np.float32) - pixels[mask])
    pixels[outline] = INK
    return pixels.round().astype(np.uint8)
