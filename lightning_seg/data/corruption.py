"""Test images made worse: blurred, noisy, compressed, lighter or darker, of more or less contrast.

Five of the corruptions by which Hendrycks & Dietterich (ICLR 2019) measure robustness, each at three strengths. Lengths
are shares of the image's side, so that they look alike at any size. What is drawn follows from the seed of the study,
the kind, the strength and the image's id alone: all networks and losses see the same pictures, in every repeat.
"""

import hashlib
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_seg.seed import derive_seed

STRENGTHS = (1, 2, 3)

Pixels = NDArray[np.uint8]
_Draws = np.random.Generator


def _blur(image: Pixels, strength: int, _: _Draws) -> NDArray[np.floating]:
    from scipy.ndimage import gaussian_filter  # here: a report, which only names the kinds, would wait for it

    sigma = (0.005, 0.01, 0.02)[strength - 1] * image.shape[-1]
    return gaussian_filter(image.astype(np.float32), (0, sigma, sigma), mode="nearest")


def _noise(image: Pixels, strength: int, draws: _Draws) -> NDArray[np.floating]:
    return image + draws.normal(0, 255 * (0.04, 0.08, 0.16)[strength - 1], image.shape)


def _jpeg(image: Pixels, strength: int, _: _Draws) -> Pixels:
    stored = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(
        stored, "JPEG", quality=(25, 15, 7)[strength - 1]
    )
    return np.asarray(Image.open(stored)).transpose(2, 0, 1)


def _brightness(image: Pixels, strength: int, draws: _Draws) -> NDArray[np.floating]:
    """Lighter or darker, as is drawn."""
    return image + draws.choice([-1, 1]) * 255 * (0.1, 0.2, 0.3)[strength - 1]


def _contrast(image: Pixels, strength: int, draws: _Draws) -> NDArray[np.floating]:
    """Less or more, as is drawn, about the mean of each channel."""
    factor = (0.7, 0.5, 0.3)[strength - 1] ** draws.choice([-1, 1])
    mean = image.mean(axis=(1, 2), keepdims=True)
    return mean + factor * (image - mean)


_OF_KIND: dict[str, Callable[[Pixels, int, _Draws], NDArray]] = {
    "blur": _blur,
    "noise": _noise,
    "jpeg": _jpeg,
    "brightness": _brightness,
    "contrast": _contrast,
}
KINDS = tuple(_OF_KIND)


def corrupted(image: Pixels, kind: str, strength: int, seed: int, name: str) -> Pixels:
    """One image made worse.

    Args:
        image: RGB, uint8 ``(3, H, W)``.
        kind: of ``KINDS``.
        strength: of ``STRENGTHS``.
        seed: of the study.
        name: the image's id.

    Returns:
        uint8 ``(3, H, W)``.
    """
    key = hashlib.sha256(f"{kind}\n{name}".encode()).digest()
    draws = np.random.default_rng(derive_seed(seed, strength, int.from_bytes(key[:8], "little")))
    found = _OF_KIND[kind](image, strength, draws)
    return found if found.dtype == np.uint8 else np.rint(found).clip(0, 255).astype(np.uint8)
