"""The embedded dataset: skin-like images with irregular lesions, drawn from a seed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lightning_seg.data.dataset import LesionDataset
from lightning_seg.errors import UserError

Field = NDArray[np.float32]
_MOST = 1_000_000  # images


class Synthetic(LesionDataset):
    """Lesions of varied size and contrast with ragged, blurred borders, under hair and specular glints.

    What makes it hard is what makes real sets hard: lesions from 0.2 % to 40 % of the image, some hardly darker than
    the skin; harmless spots of nearly the same colour; a few images without any lesion. An image depends on
    (seed, index, size) alone.

    Args:
        count: number of images.
        seed: of all randomness.
        name: the dataset's name in results and caches.
    """

    def __init__(self, count: int = 240, seed: int = 0, name: str = "synthetic") -> None:
        if not 1 <= count <= _MOST:
            raise UserError(f"dataset.count={count} is not valid: it must be a whole number from 1 to {_MOST:,}.")
        self.count = count
        self.seed = seed
        self.name = name

    def ids(self) -> list[str]:
        return [f"synthetic_{index:04d}" for index in range(self.count)]

    def signature(self) -> dict[str, Any]:
        return {"count": self.count, "seed": self.seed}

    def groups(self) -> list[str]:
        return self.ids()  # drawn independently

    def read(self, index: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        rng = np.random.default_rng([self.seed, index])
        image = _skin(rng, size)
        mask = np.zeros((size, size), dtype=bool)
        for _ in range(rng.choice([0, 1, 2], p=[0.04, 0.84, 0.12])):
            depth = _blob(rng, size, radius=size * np.exp(rng.uniform(np.log(0.04), np.log(0.32))))
            # The border that an annotator draws lies somewhere in the blurred transition.
            softness = size * rng.uniform(0.006, 0.03)
            _stain(rng, image, depth, softness, contrast=rng.uniform(0.12, 0.5), tint=(0.55, 0.9, 0.85))
            mask |= depth > 0
        for _ in range(rng.integers(0, 4)):
            depth = _blob(rng, size, radius=size * rng.uniform(0.02, 0.07))
            depth[mask] = -size
            _stain(rng, image, depth, size * 0.01, contrast=rng.uniform(0.1, 0.3), tint=(0.8, 0.85, 0.6))
        image *= 1 - rng.uniform(0, 0.35) * _vignette(size)[..., None]
        picture = Image.fromarray((image.clip(0, 1) * 255).astype(np.uint8))
        picture = _glints(rng, _hair(rng, picture)).filter(ImageFilter.GaussianBlur(size / 400))
        noise = rng.normal(0, rng.uniform(2, 7), (size, size, 3))
        return (np.asarray(picture) + noise).clip(0, 255).astype(np.uint8), mask


def _clouds(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Smooth noise with ``cells`` bumps a side, roughly standard normal."""
    coarse = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _skin(rng: np.random.Generator, size: int) -> Field:
    """A skin tone with slow shading and fine texture, float ``(size, size, 3)`` around 0..1."""
    tone = np.array([0.86, 0.67, 0.56]) * rng.uniform(0.62, 1.08) + rng.normal(0, 0.025, 3)
    shading = 0.05 * _clouds(rng, size, 3) + 0.025 * _clouds(rng, size, 12) + 0.02 * _clouds(rng, size, 60)
    redness = np.stack([_clouds(rng, size, 5) * weight for weight in (0.02, -0.012, -0.01)], axis=-1)
    return (tone + shading[..., None] + redness).astype(np.float32)


def _blob(rng: np.random.Generator, size: int, radius: float) -> Field:
    """Depth inside an irregular outline in pixels, float ``(size, size)``: positive inside, negative outside."""
    centre = rng.uniform(0.15, 0.85, 2) * size
    y, x = np.mgrid[:size, :size].astype(np.float32) - centre[:, None, None].astype(np.float32)
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1, 1.7)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    angle = np.arctan2(across, along)
    outline = sum(
        rng.normal(0, 0.22 / order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi)) for order in range(2, 9)
    )
    ragged = 0.08 * _clouds(rng, size, 24)
    return (radius * (1 + outline + ragged) - np.hypot(along / stretch, across * stretch)).astype(np.float32)


def _stain(
    rng: np.random.Generator,
    image: Field,
    depth: Field,
    softness: float,
    contrast: float,
    tint: tuple[float, float, float],
) -> None:
    """Darken ``image`` in place where ``depth`` is positive, fading over ``softness`` pixels, unevenly inside."""
    cover = 1 / (1 + np.exp(-np.clip(depth / softness, -30, 30)))
    uneven = 1 + 0.35 * _clouds(rng, len(depth), 8) + 0.2 * _clouds(rng, len(depth), 30)
    image *= 1 - (cover * contrast * uneven)[..., None] * np.array(tint, dtype=np.float32)


def _vignette(size: int) -> Field:
    line = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    return np.clip(line[:, None] + line[None, :] - 0.5, 0, 1)


def _hair(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Dark curved lines across half of the pictures."""
    draw, size = ImageDraw.Draw(picture), picture.width
    for _ in range(rng.integers(3, 14) if rng.random() < 0.5 else 0):
        start, end = rng.uniform(0, size, 2), rng.uniform(0, size, 2)
        bend = (start + end) / 2 + rng.normal(0, size / 8, 2)
        t = np.linspace(0, 1, 24)[:, None]
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        shade = int(rng.uniform(15, 70))
        draw.line([tuple(point) for point in curve], fill=(shade, shade // 2, shade // 3), width=max(1, size // 150))
    return picture


def _glints(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Small specular highlights."""
    draw, size = ImageDraw.Draw(picture), picture.width
    for x, y in rng.uniform(0, size, (rng.integers(0, 9), 2)):
        width, height = rng.uniform(0.003, 0.015, 2) * size
        draw.ellipse((x - width, y - height, x + width, y + height), fill=(250, 246, 240))
    return picture
