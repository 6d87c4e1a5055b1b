"""Finding copies of images that were mirrored, turned, rescaled, re-encoded, made brighter, cropped or letter-boxed.

Difference hashes (:mod:`lightning_seg.data.duplicates`) find images that are stored anew and scans of one lesion; a
mirrored copy has another hash. Here images are compared in three steps, all on band-passed grey, which neither
brightness nor contrast changes, and by correlation:

1. Each image, and each without a uniform border, at 16 x 16 pixels, with six windows of each other image (whole, and
   a little cropped) in all eight orientations. Only what comes near goes on.
2. At 32 x 32 pixels, the one shifted over the other at several scales.
3. At 64 x 64 pixels and in fine detail, about where the second step has put it: lesions of one shape on plain skin
   agree until then, copies also here.

``scripts/measure_copies.py`` measures how many copies are found and how many unrelated images are taken for copies.
On 360 images of the six datasets, of each of 24 kinds of copies at least 99 % are found (of those that have lost a
tenth on each of their four sides, 60 %); of 64,325 pairs of unrelated images, 1 is taken for copies.
"""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from lightning_seg.data.dataset import LesionDataset
from lightning_seg.data.kept import kept_path
from lightning_seg.errors import UnreadableError
from lightning_seg.files import read_json, write_json

log = logging.getLogger(__name__)

VERSION = 1  # of the kept pairs; raise it when other pairs would be found
LEAST = (0.85, 0.9, 0.7)  # correlations of the three steps
LEAST_OF_KIN = (0.7, 0.8, 0.5)  # the same of images whose names are kin, such as case_01 and case_01_2
_COARSE, _FINE, _DETAIL = 16, 32, 64  # sides in pixels
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
        likeness: their correlation in fine detail where they are aligned best, 0 to 1.
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
        detail: step 3, float32 ``(N, 2, 64, 64)``.
    """

    windows: Array
    fine: Array
    detail: Array


class _Alignment(NamedTuple):
    """How one of two images lies in the other.

    Attributes:
        likeness: their correlation there.
        swapped: it is the first that lies in the second.
        height, width: of the one, where the other has 32 x 32 pixels.
        top, left: of its corner.
    """

    likeness: float
    swapped: bool
    height: int
    width: int
    top: int
    left: int


def find_copies(dataset: LesionDataset, cache_dir: str | Path | None = None) -> list[Copy]:
    """All copies in a dataset, in order of their positions.

    Args:
        dataset: whose images are compared.
        cache_dir: where the pairs are kept for the next call, as long as the dataset's signature stays the same.
    """
    if cache_dir is None:
        return copies_among(prints_of(dataset), dataset.ids())
    facts = [VERSION, type(dataset).__qualname__, dataset.ids(), dataset.signature()]
    path = kept_path(dataset, cache_dir, facts, ".copies.json")
    try:
        return [Copy(*pair) for pair in read_json(path)]
    except FileNotFoundError:
        pass
    except (UnreadableError, TypeError) as error:
        log.warning("%s is damaged (%s), and is made again.", path, error)
    copies = copies_among(prints_of(dataset), dataset.ids())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, copies)
    return copies


def prints_of(dataset: LesionDataset) -> Prints:
    """What is compared of each image of a dataset."""

    def printed(index: int) -> Prints:
        with dataset.alone(index):
            return image_print(dataset.picture(index))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes and resizes without the GIL
        return together(list(pool.map(printed, range(len(dataset.ids())))))


def together(prints: Sequence[Prints]) -> Prints:
    """The prints of several images as one."""
    return Prints(*(np.stack(parts) for parts in zip(*prints, strict=True)))


def image_print(image: Image.Image) -> Prints:
    """What is compared of one image: the arrays of :class:`Prints` without their first axis."""
    image = image.convert("L")
    image.thumbnail((_LOOKED_AT, _LOOKED_AT))
    whole = np.asarray(image, dtype=np.float32)
    forms = (whole, _without_border(whole))
    windows = [[_unit(_band(_cropped(form, window), _COARSE, 0.7, 3)) for window in _WINDOWS] for form in forms]
    fine, detail = ([_band(form, *band) for form in forms] for band in ((_FINE, 1, 4), (_DETAIL, 0.7, 2)))
    return Prints(np.array(windows, dtype=np.float32), np.array(fine), np.array(detail))


def copies_among(prints: Prints, ids: list[str]) -> list[Copy]:
    """The copies among images, in order of their positions.

    Args:
        prints: of N images.
        ids: their N names: those that are kin need not be as alike.
    """
    kin = _kin(ids)
    best: dict[tuple[int, int], tuple[float, int, int, int, int, int]] = {}
    for near, image, other, form, orientation, other_form in _near(prints.windows, (LEAST_OF_KIN if kin else LEAST)[0]):
        pair = (min(image, other), max(image, other))
        if (near > LEAST[0] or pair in kin) and near > best.get(pair, (0.0,))[0]:
            best[pair] = (near, image, other, form, orientation, other_form)
    found = []
    for pair, (_, image, other, form, orientation, other_form) in sorted(best.items()):
        least = LEAST_OF_KIN if pair in kin else LEAST
        aligned = _align(_turned(prints.fine[image, form], orientation), prints.fine[other, other_form])
        if aligned.likeness <= least[1]:
            continue
        detail = _detail(_turned(prints.detail[image, form], orientation), prints.detail[other, other_form], aligned)
        if detail > least[2]:
            found.append(Copy(*pair, round(detail, 4), orientation))
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


def _align(first: Array, second: Array) -> _Alignment:
    """Step 2: where the one, at several scales, correlates best with a part of its size of the other."""
    found = []
    for swapped, image, template in ((False, first, second), (True, second, first)):
        for height in _SCALES:
            for width in _SCALES:
                correlations = _shifted(image, _resized(template, height, width))
                top, left = np.unravel_index(correlations.argmax(), correlations.shape)
                found.append(_Alignment(float(correlations.max()), swapped, height, width, int(top), int(left)))
    return max(found)


def _detail(first: Array, second: Array, aligned: _Alignment) -> float:
    """Step 3: the best correlation about the alignment, whose pixels are twice as large."""
    image, template = (second, first) if aligned.swapped else (first, second)
    best = 0.0
    for height in range(2 * aligned.height - 2, min(2 * aligned.height + 2, _DETAIL) + 1):
        for width in range(2 * aligned.width - 2, min(2 * aligned.width + 2, _DETAIL) + 1):
            rows = slice(max(0, 2 * aligned.top - 2), min(_DETAIL, 2 * aligned.top + 2 + height))
            columns = slice(max(0, 2 * aligned.left - 2), min(_DETAIL, 2 * aligned.left + 2 + width))
            best = max(best, float(_shifted(image[rows, columns], _resized(template, height, width)).max()))
    return best


def _shifted(image: Array, template: Array) -> Array:
    """The correlation of a template with each part of its size of an image, by the part's top and left."""
    parts = sliding_window_view(image, template.shape)
    flat = parts.reshape(-1, template.size)
    flat = flat - flat.mean(axis=1, keepdims=True)
    lengths = np.maximum(np.linalg.norm(flat, axis=1), 1e-3)
    return (flat @ _unit(template).ravel() / lengths).reshape(parts.shape[:2])


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
