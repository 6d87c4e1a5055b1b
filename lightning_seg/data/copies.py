"""Finding copies of images that were mirrored, turned, rescaled, re-encoded, made brighter, cropped or letter-boxed.

Difference hashes (:mod:`lightning_seg.data.duplicates`) find images that are stored anew and scans of one lesion; a
mirrored copy has another hash. Here images are compared in two steps, both on band-passed grey, which neither
brightness nor contrast changes, and by correlation:

1. Each image, and each without a uniform border, at 16 x 16 pixels, with six windows of each other image (whole, and
   a little cropped) in all eight orientations. Only what comes near goes on.
2. At 32 x 32 pixels, the one shifted over the other at several scales.

``scripts/measure_copies.py`` measures how many copies are found and how many unrelated images are taken for copies.
On 360 images of the six datasets, of each of 24 kinds of copies at least 99 % are found (of those that have lost a
tenth on each of their four sides, two thirds); of 63,000 pairs of unrelated images, 4 are taken for copies.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from lightning_seg.data.dataset import LesionDataset
from lightning_seg.files import write_atomic

VERSION = 1  # of the kept pairs; raise it when other pairs would be found
NEAR, ALIKE = 0.85, 0.9  # least correlations of the two steps
KIN_NEAR, KIN_ALIKE = 0.7, 0.8  # of images whose names are kin, such as case_01 and case_01_2
_COARSE, _FINE = 16, 32  # sides in pixels
_LOOKED_AT = 192  # pixels of the longer side of what is compared
_UNIFORM = 0.04  # of the range of grey: a row or column within it is border
_WINDOWS = (  # what is cropped: left, top, right, bottom
    (0.0, 0.0, 0.0, 0.0),
    (0.05, 0.05, 0.05, 0.05),
    (0.08, 0.0, 0.0, 0.0),
    (0.0, 0.08, 0.0, 0.0),
    (0.0, 0.0, 0.08, 0.0),
    (0.0, 0.0, 0.0, 0.08),
)
_SCALES = (32, 30, 28)  # sides at which one image is shifted over the other's 32
_BLOCK = 16  # images compared with all others at a time
_KIN = re.compile(r"(.+?)[_\- ](?:\(?\d{1,3}\)?|copy|flip\w*|rot\w*|aug\w*|mirror\w*)$", re.IGNORECASE)

Array = NDArray[np.float32]


class Copy(NamedTuple):
    """Two images of a dataset of which one is a copy of the other, or both of a third.

    Attributes:
        first, second: their positions; ``first < second``.
        likeness: their correlation where they are aligned best, 0 to 1.
        orientation: how the one has to be turned to match: 0 to 3 quarter turns, with 4 added if mirrored before.
    """

    first: int
    second: int
    likeness: float
    orientation: int

    @property
    def words(self) -> str:
        """The orientation in words."""
        turned = self.orientation % 4
        parts = ["mirrored"] * (self.orientation > 3) + [f"turned by {90 * turned} degrees"] * (turned > 0)
        return " and ".join(parts) or "as is"


class Prints(NamedTuple):
    """What is compared of N images, each as a whole and without its border.

    Attributes:
        windows: step 1, of unit length, float32 ``(N, 2, 6, 16, 16)``.
        fine: step 2, float32 ``(N, 2, 32, 32)``.
    """

    windows: Array
    fine: Array


def find_copies(dataset: LesionDataset, cache_dir: str | Path | None = None) -> list[Copy]:
    """All copies in a dataset, in order of their positions.

    Args:
        dataset: whose images are compared.
        cache_dir: where the pairs are kept for the next call, as long as the dataset's signature stays the same.
    """
    if cache_dir is None:
        return copies_among(prints_of(dataset), dataset.ids())
    facts = json.dumps([VERSION, type(dataset).__qualname__, dataset.ids(), dataset.signature()])
    fingerprint = hashlib.sha256(facts.encode()).hexdigest()[:16]
    path = Path(cache_dir).expanduser() / f"{dataset.name}-{fingerprint}.copies.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(copies_among(prints_of(dataset), dataset.ids()))
        write_atomic(path, lambda temporary: temporary.write_text(text))
    return [Copy(*pair) for pair in json.loads(path.read_text())]


def prints_of(dataset: LesionDataset) -> Prints:
    """What is compared of each image of a dataset."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes and resizes without the GIL
        found = list(pool.map(lambda index: image_print(dataset.picture(index)), range(len(dataset.ids()))))
    return Prints(np.stack([one.windows for one in found]), np.stack([one.fine for one in found]))


def image_print(image: Image.Image) -> Prints:
    """What is compared of one image: the arrays of :class:`Prints` without their first axis."""
    image = image.convert("L")
    image.thumbnail((_LOOKED_AT, _LOOKED_AT))
    whole = np.asarray(image, dtype=np.float32)
    forms = (whole, _without_border(whole))
    windows = [[_unit(_band(_cropped(form, window), _COARSE, 0.7, 3)) for window in _WINDOWS] for form in forms]
    return Prints(np.array(windows, dtype=np.float32), np.array([_band(form, _FINE, 1, 4) for form in forms]))


def copies_among(prints: Prints, ids: list[str]) -> list[Copy]:
    """The copies among images, in order of their positions.

    Args:
        prints: of N images.
        ids: their N names: those that are kin need not be as alike.
    """
    kin = _kin(ids)
    best: dict[tuple[int, int], tuple[float, int, int, int, int, int]] = {}
    for near, image, other, form, orientation, other_form in _near(prints.windows, KIN_NEAR if kin else NEAR):
        pair = (min(image, other), max(image, other))
        if (near > NEAR or pair in kin) and near > best.get(pair, (0.0,))[0]:
            best[pair] = (near, image, other, form, orientation, other_form)
    found = []
    for pair, (near, image, other, form, orientation, other_form) in sorted(best.items()):
        turned = _turned(prints.fine[image, form], orientation)
        likeness = _likeness(turned, prints.fine[other, other_form])
        if (near > NEAR and likeness > ALIKE) or (pair in kin and likeness > KIN_ALIKE):
            found.append(Copy(*pair, round(likeness, 4), orientation))
    return found


def _kin(ids: list[str]) -> set[tuple[int, int]]:
    """The pairs of images whose names say that one comes from the other, or both from a third."""
    families: dict[str, list[int]] = {}
    known = set(ids)
    for position, name in enumerate(ids):
        match = _KIN.match(name)
        # Of "case_01" alone, the number says nothing; of "case_01_2" it counts what comes from "case_01".
        is_kin = match is not None and (match[1] in known or match[1][-1].isdigit())
        families.setdefault(match[1] if match is not None and is_kin else name, []).append(position)
    return {
        (first, second)
        for members in families.values()
        for index, first in enumerate(members)
        for second in members[index + 1 :]
    }


def _near(windows: Array, least: float) -> Iterator[tuple[float, int, int, int, int, int]]:
    """Step 1: likeness, image, other image, form, orientation and the other's form, of all pairs above ``least``."""
    count = len(windows)
    queries = windows[:, :, 0].reshape(2 * count, -1)
    for start in range(0, count, _BLOCK):
        block = windows[start : start + _BLOCK]
        keys = np.stack([_turned(block, orientation) for orientation in range(8)], axis=3)  # (B, 2, 6, 8, 16, 16)
        likeness = keys.reshape(-1, queries.shape[1]) @ queries.T
        likeness = likeness.reshape(len(block), -1, count, 2).transpose(0, 2, 1, 3).reshape(len(block), count, -1)
        for row, other in np.argwhere(likeness.max(axis=2) > least):
            if start + row != other:
                best = int(likeness[row, other].argmax())
                key, other_form = divmod(best, 2)
                form, orientation = key // (len(_WINDOWS) * 8), key % 8
                yield float(likeness[row, other, best]), int(start + row), int(other), form, orientation, other_form


def _turned(images: Array, orientation: int) -> Array:
    """The last two axes in one of the eight orientations, see :class:`Copy`."""
    return np.rot90(images[..., ::-1] if orientation > 3 else images, orientation % 4, axes=(-2, -1))


def _likeness(first: Array, second: Array) -> float:
    """Step 2: the best correlation of the one, at several scales, with any part of its size of the other."""
    return max(
        max(_shifted(first, _resized(second, height, width)), _shifted(second, _resized(first, height, width)))
        for height in _SCALES
        for width in _SCALES
    )


def _shifted(image: Array, template: Array) -> float:
    parts = sliding_window_view(image, template.shape).reshape(-1, template.size)
    parts = parts - parts.mean(axis=1, keepdims=True)
    lengths = np.maximum(np.linalg.norm(parts, axis=1), 1e-3)
    return float((parts @ _unit(template).ravel() / lengths).max())


def _without_border(grey: Array) -> Array:
    """The image without the rows and columns at its sides that are of one grey, but at least half of it."""
    tolerance = _UNIFORM * (grey.max() - grey.min() + 1e-6)
    top, bottom = _ends(np.ptp(grey, axis=1) > tolerance)
    left, right = _ends(np.ptp(grey[top:bottom], axis=0) > tolerance)
    return grey[top:bottom, left:right]


def _ends(varied: NDArray[np.bool_]) -> tuple[int, int]:
    found = np.flatnonzero(varied)
    if not len(found) or found[-1] + 1 - found[0] < len(varied) / 2:
        return 0, len(varied)
    return int(found[0]), int(found[-1]) + 1


def _cropped(grey: Array, window: tuple[float, float, float, float]) -> Array:
    height, width = grey.shape
    left, top, right, bottom = window
    rows = slice(round(height * top), height - round(height * bottom))
    return grey[rows, round(width * left) : width - round(width * right)]


def _band(grey: Array, side: int, fine: float, coarse: float) -> Array:
    """The image at ``side`` pixels without what is finer than ``fine`` and coarser than ``coarse`` pixels."""
    small = _resized(grey, side, side, Image.Resampling.BOX if min(grey.shape) >= side else Image.Resampling.BILINEAR)
    return (gaussian_filter(small, fine) - gaussian_filter(small, coarse)).astype(np.float32)


def _resized(grey: Array, height: int, width: int, method: Image.Resampling = Image.Resampling.BILINEAR) -> Array:
    return np.asarray(Image.fromarray(np.ascontiguousarray(grey)).resize((width, height), method), dtype=np.float32)


def _unit(image: Array) -> Array:
    """The image with mean 0 and length 1; zero where it is of one grey."""
    centred = image - image.mean()
    length = np.linalg.norm(centred)
    return centred / length if length > 1e-3 else np.zeros_like(centred)
