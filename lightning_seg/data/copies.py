"""Finding copies of images that were mirrored, turned, rescaled, re-encoded, made brighter, cropped or letter-boxed.

Difference hashes (:mod:`lightning_seg.data.duplicates`) find images that are stored anew and scans of one lesion; a
mirrored copy has another hash. Here images are compared in three steps, all on band-passed grey, which neither
brightness nor contrast changes, and by correlation:

1. Each image, and each without a uniform border, at 16 x 16 pixels, with seven windows of each other image (whole, and
   a little cropped) in all eight orientations. Only what comes near goes on.
2. At 32 x 32 pixels, the one with the part of the other that it fits best, which is found from the window onwards.
3. At 64 x 64 pixels and in fine detail, about the part of the second step: lesions of one shape on plain skin agree
   until then, copies also here.

``scripts/measure_copies.py`` measures how many copies are found and how many unrelated images are taken for copies;
``benchmarks/README.md`` has its figures for the six published datasets.
"""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_seg.data.dataset import LesionDataset
from lightning_seg.data.kept import kept_path
from lightning_seg.errors import UnreadableError
from lightning_seg.files import read_json, write_json
from lightning_seg.rules import is_number, is_whole
from lightning_seg.terminal import tracked

log = logging.getLogger(__name__)

VERSION = 2  # of the kept pairs; raise it when other pairs would be found
LEAST = (0.85, 0.9, 0.82)  # correlations of the three steps
LEAST_OF_KIN = (0.7, 0.85, 0.75)  # the same of images whose names are kin, such as case_01 and case_01_2
_GAIN = 0.05  # what the search of step 2 adds for a copy, at most: it begins at one of the windows
_LOOKED_AT = 192  # pixels of the longer side of what is compared
_KEPT = 128  # side in pixels of what steps 2 and 3 look at
_MOST_CROPPED = 0.18  # of a side
_UNIFORM = 0.04  # of the range of grey: a row or column within it is border
_WINDOWS = (  # what is cropped: left, top, right, bottom
    (0.0, 0.0, 0.0, 0.0),
    (0.05, 0.05, 0.05, 0.05),
    (0.1, 0.1, 0.1, 0.1),
    (0.08, 0.0, 0.0, 0.0),
    (0.0, 0.08, 0.0, 0.0),
    (0.0, 0.0, 0.08, 0.0),
    (0.0, 0.0, 0.0, 0.08),
)
# How a part is changed in the search for the one that fits best: a side, two opposite sides alike, or all four.
_CHANGES = np.array(
    [
        *(sign * side for sign in (1, -1) for side in np.eye(4)),
        *([1, 0, -1, 0], [-1, 0, 1, 0], [0, 1, 0, -1], [0, -1, 0, 1], [1, 1, 1, 1], [-1, -1, -1, -1]),
    ]
)
_MOST_CHANGES = 4  # of each width
_BLOCK = 16  # images compared with all others at a time
_KIN = re.compile(r"(.+?)[_\- ](?:\(?\d{1,3}\)?|copy|flip\w*|rot\w*|aug\w*|mirror\w*)$", re.IGNORECASE)

Array = NDArray[np.float32]
Inset = NDArray[np.float64]  # what is cropped: left, top, right, bottom


class _Band(NamedTuple):
    """A step's look at images: at ``side`` pixels, what is between ``fine`` and ``coarse`` pixels in size."""

    side: int
    fine: float
    coarse: float


_NEAR, _FITTED, _DETAIL = _Band(16, 0.7, 3), _Band(32, 1, 4), _Band(64, 0.7, 2)


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
        windows: step 1, of unit length, float32 ``(N, 2, 7, 16, 16)``.
        grey: steps 2 and 3, uint8 ``(N, 2, 128, 128)``.
    """

    windows: Array
    grey: NDArray[np.uint8]


class _Near(NamedTuple):
    """What step 1 takes for a copy.

    Attributes:
        likeness: the correlation.
        image, other: positions of an image and of one that may lie in it.
        form, other_form: 0 as a whole, 1 without the border.
        window: position in ``_WINDOWS`` of the part of the image.
        orientation: of the image, see :class:`Copy`.
    """

    likeness: float
    image: int
    other: int
    form: int
    other_form: int
    window: int
    orientation: int

    @property
    def pair(self) -> tuple[int, int]:
        """Both positions in order."""
        return min(self.image, self.other), max(self.image, self.other)


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
    if (kept := _kept(path, len(dataset.ids()))) is not None:
        return kept
    copies = copies_among(prints_of(dataset), dataset.ids())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, copies)
    return copies


def find_shared(first: LesionDataset, second: LesionDataset, cache_dir: str | Path | None = None) -> list[Copy]:
    """The images of two datasets of which one is a copy of the other, in order of their positions in each.

    Args:
        first, second: whose images are compared.
        cache_dir: as for :func:`find_copies`.
    """
    facts = [VERSION, "shared", *((type(each).__qualname__, each.ids(), each.signature()) for each in (first, second))]
    path = kept_path(first, cache_dir, facts, f"-{second.name}.copies.json") if cache_dir is not None else None
    before = len(first.ids())
    found = _kept(path, before + len(second.ids())) if path is not None else None
    if found is None:
        prints = [prints_of(each) for each in (first, second)]
        together = Prints(*(np.concatenate(parts) for parts in zip(*prints, strict=True)))
        found = copies_among(together, [*first.ids(), *second.ids()], before)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, found)
    return [copy._replace(second=copy.second - before) for copy in found if copy.first < before <= copy.second]


def _kept(path: Path, count: int) -> list[Copy] | None:
    """The pairs in a file, or ``None`` where there is none that can be used."""
    try:
        return _checked(read_json(path), count)
    except FileNotFoundError:
        return None
    except UnreadableError as error:
        log.warning("%s is damaged (%s), and is made again.", path, error)
        return None


def _checked(value: object, count: int) -> list[Copy]:
    """What is kept of the copies among ``count`` images.

    Raises:
        UnreadableError: it is not what this module writes.
    """
    if not isinstance(value, list) or not all(isinstance(each, list) and len(each) == 4 for each in value):
        raise UnreadableError("it is no list of pairs")
    pairs = [Copy(*each) for each in value]
    for first, second, likeness, orientation in pairs:
        known = all(map(is_whole, (first, second, orientation))) and is_number(likeness)
        if not known or not first < second < count or orientation > 7:
            raise UnreadableError("it holds no pairs of these images")
    return pairs


def prints_of(dataset: LesionDataset) -> Prints:
    """What is compared of each image of a dataset."""

    def printed(index: int) -> Prints:
        with dataset.alone(index):
            return image_print(dataset.picture(index))

    count = len(dataset.ids())
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes and resizes without the GIL
        prints = pool.map(printed, range(count))
        return together(list(tracked(prints, f"Looking for copies in {dataset.name}", count)))


def together(prints: Sequence[Prints]) -> Prints:
    """The prints of several images as one."""
    return Prints(*(np.stack(parts) for parts in zip(*prints, strict=True)))


def image_print(image: Image.Image) -> Prints:
    """What is compared of one image: the arrays of :class:`Prints` without their first axis."""
    image = image.convert("L")
    image.thumbnail((_LOOKED_AT, _LOOKED_AT))
    whole = np.asarray(image)
    forms = (whole, _without_border(whole))
    windows = [[_bands([_cropped(form, window)], _NEAR) for window in _WINDOWS] for form in forms]
    grey = [np.asarray(_resized(Image.fromarray(form), _KEPT)) for form in forms]
    return Prints(np.array(windows, dtype=np.float32).reshape(2, len(_WINDOWS), _NEAR.side, _NEAR.side), np.array(grey))


def copies_among(prints: Prints, ids: list[str], before: int | None = None) -> list[Copy]:
    """The copies among images, in order of their positions.

    Args:
        prints: of N images.
        ids: their N names: those that are kin need not be as alike.
        before: how many of them are of a first dataset; only they and the rest are compared, whose names are not kin.
    """
    kin = _kin(ids) if before is None else set()
    best: dict[tuple[int, int], _Near] = {}
    for near in _near(prints.windows, (LEAST_OF_KIN if kin else LEAST)[0]):
        if before is not None and (near.image < before) == (near.other < before):
            continue
        if (near.likeness > LEAST[0] or near.pair in kin) and near > best.get(near.pair, (0.0,)):
            best[near.pair] = near
    found = []
    for pair, near in sorted(best.items()):
        likeness = _likeness(prints.grey, near, LEAST_OF_KIN if pair in kin else LEAST)
        if likeness is not None:
            found.append(Copy(*pair, round(likeness, 4), near.orientation))
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


def _near(windows: Array, least: float) -> Iterator[_Near]:
    """Step 1: all pairs above ``least``."""
    count = len(windows)
    queries = windows[:, :, 0].reshape(2 * count, -1)
    for start in tracked(range(0, count, _BLOCK), "Comparing each image with all others", -(-count // _BLOCK)):
        block = windows[start : start + _BLOCK]
        keys = np.stack([_turned(block, orientation) for orientation in range(8)], axis=3)  # (B, 2, 7, 8, 16, 16)
        likeness = keys.reshape(-1, queries.shape[1]) @ queries.T
        likeness = likeness.reshape(len(block), -1, count, 2).transpose(0, 2, 1, 3).reshape(len(block), count, -1)
        for row, other in np.argwhere(likeness.max(axis=2) > least):
            if start + row != other:
                best = int(likeness[row, other].argmax())
                key, other_form = divmod(best, 2)
                form, window, orientation = np.unravel_index(key, (2, len(_WINDOWS), 8))
                found = (start + row, other, form, other_form, window, orientation)
                yield _Near(float(likeness[row, other, best]), *map(int, found))


def _turned(images: Array, orientation: int) -> Array:
    """The last two axes in one of the eight orientations, see :class:`Copy`."""
    return np.rot90(images[..., ::-1] if orientation > 3 else images, orientation % 4, axes=(-2, -1))


def _turned_inset(inset: Sequence[float], orientation: int) -> Inset:
    """What is cropped of an image that is turned: see :func:`_turned`."""
    left, top, right, bottom = inset
    if orientation > 3:
        left, right = right, left
    return np.roll([left, top, right, bottom], -(orientation % 4))


def _likeness(grey: NDArray[np.uint8], near: _Near, least: tuple[float, float, float]) -> float | None:
    """Steps 2 and 3: the correlation in fine detail, or ``None`` if one is not above ``least``."""
    image = Image.fromarray(np.ascontiguousarray(_turned(grey[near.image, near.form], near.orientation)))
    other = Image.fromarray(grey[near.other, near.other_form])
    inset = _turned_inset(_WINDOWS[near.window], near.orientation)
    ways = ((image, other, inset), (other, image, np.zeros(4)))
    if max(_fit(*way, _FITTED)[0] for way in ways) <= least[1] - _GAIN:
        return None
    fitted = [(*_fit(whole, part, start, _FITTED, (1 / 32,)), whole, part) for whole, part, start in ways]
    likeness, inset, whole, part = max(fitted, key=itemgetter(0))
    if likeness <= least[1]:
        return None
    likeness, _ = _fit(whole, part, inset, _DETAIL, (1 / 64, 1 / 128, 1 / 256))
    return likeness if likeness > least[2] else None


def _fit(
    whole: Image.Image, part: Image.Image, inset: Inset, band: _Band, widths: Sequence[float] = ()
) -> tuple[float, Inset]:
    """Where an image correlates best with another: the correlation, and what is cropped of the other.

    Args:
        whole: of which a part is looked for, 128 x 128.
        part: which it shall fit, 128 x 128.
        inset: where the search begins.
        band: what is compared.
        widths: of the changes that are tried, one after the other, in sides of the image.
    """
    wanted = _bands([part], band)[0]
    best = float(_bands([_inside(whole, inset, band)], band)[0] @ wanted)
    for width in widths:
        for _ in range(_MOST_CHANGES):
            tried = np.clip(inset + width * _CHANGES, 0, _MOST_CROPPED)
            likeness = _bands([_inside(whole, each, band) for each in tried], band) @ wanted
            if likeness.max() <= best + 1e-4:
                break
            best, inset = float(likeness.max()), tried[likeness.argmax()]
    return best, inset


def _inside(image: Image.Image, inset: Inset, band: _Band) -> Image.Image:
    """The image without what is cropped, as small as the band needs."""
    left, top, right, bottom = inset * _KEPT
    box = (left, top, _KEPT - right, _KEPT - bottom)
    return image.resize((band.side, band.side), Image.Resampling.BILINEAR, box=box)


def _without_border(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image without the rows and columns at its sides that are of one grey, but at least half of it."""
    tolerance = _UNIFORM * (float(grey.max()) - float(grey.min()) + 1e-6)
    top, bottom = _ends(np.ptp(grey, axis=1) > tolerance)
    left, right = _ends(np.ptp(grey[top:bottom], axis=0) > tolerance)
    return grey[top:bottom, left:right]


def _ends(varied: NDArray[np.bool_]) -> tuple[int, int]:
    found = np.flatnonzero(varied)
    if not len(found) or found[-1] + 1 - found[0] < len(varied) / 2:
        return 0, len(varied)
    return int(found[0]), int(found[-1]) + 1


def _cropped(grey: NDArray[np.uint8], window: tuple[float, float, float, float]) -> Image.Image:
    height, width = grey.shape
    left, top, right, bottom = window
    rows = slice(round(height * top), height - round(height * bottom))
    return Image.fromarray(grey[rows, round(width * left) : width - round(width * right)])


def _bands(images: Sequence[Image.Image], band: _Band) -> Array:
    """What a band holds of N images, with mean 0 and length 1; zero where it is of one grey; ``(N, side * side)``."""
    fine, coarse = _smoothing(band.side, band.fine), _smoothing(band.side, band.coarse)
    grey = np.stack([np.asarray(_resized(image, band.side), dtype=np.float32) for image in images])
    found = (fine @ grey @ fine.T - coarse @ grey @ coarse.T).reshape(len(images), -1)
    found -= found.mean(axis=1, keepdims=True)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.where(length > 1e-3, found / np.maximum(length, 1e-3), 0)


@cache
def _smoothing(side: int, sigma: float) -> Array:
    """The matrix that smooths the rows of an image of ``side`` pixels, as a Gaussian filter does."""
    from scipy.ndimage import gaussian_filter1d  # here: who only splits by groups would wait for it

    return gaussian_filter1d(np.eye(side), sigma, axis=0).astype(np.float32)


def _resized(image: Image.Image, side: int) -> Image.Image:
    method = Image.Resampling.BOX if min(image.size) >= side else Image.Resampling.BILINEAR
    return image if image.size == (side, side) else image.resize((side, side), method)
