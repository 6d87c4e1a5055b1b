"""Measuring a dataset, image by image."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_seg.data.contrast import lesion_contrast
from lightning_seg.data.copies import find_copies
from lightning_seg.data.dataset import FileDataset, LesionDataset, problems_of, summarised
from lightning_seg.data.duplicates import Pairs, dataset_hashes, similar_pairs
from lightning_seg.data.groups import image_groups
from lightning_seg.data.images import MASK_THRESHOLD
from lightning_seg.data.readers.folder import Folder
from lightning_seg.data.remarks import border_share, inverted
from lightning_seg.data.split import STRATEGIES, Fractions, make_split, siblings_in_training
from lightning_seg.errors import UserError
from lightning_seg.terminal import tracked
from lightning_seg.wording import counted

SIDE = 224  # pixels at which contrast is measured and pictures are shown


class Measured(NamedTuple):
    """One image.

    Attributes:
        size: width and height in pixels.
        area: the lesion's share of the image, 0 to 1.
        contrast: of the lesion with its surroundings at 224 x 224, see :func:`lesion_contrast`.
        values: how many mask pixels have each grey value before thresholding, int64 ``(256,)``.
        border: the lesion's share of the image's outermost pixels, 0 to 1.
    """

    size: tuple[int, int]
    area: float
    contrast: float
    values: NDArray[np.int64]
    border: float


@dataclass(frozen=True)
class Inspection:
    """What was found in a dataset.

    Attributes:
        dataset: the dataset.
        ids: of the readable images, sorted; the arrays below follow them.
        sizes: width and height in pixels, int64 ``(N, 2)``.
        areas: the lesions' shares of the images, 0 to 1, float ``(N,)``.
        contrasts: see :class:`Measured`, float ``(N,)``.
        values: mask pixels of each grey value before thresholding, int64 ``(256,)``.
        bad: one line for each image that cannot be read.
        bad_lines: the same, with one line for many files of the same mistake.
        reading: how pixels were read, in words; ``None`` where that is no question.
        remarks: sentences on what looks wrong, and on files that were passed over.
        exact: pairs of images of equal pixels, by their ids.
        near: the other pairs of near duplicates, by their ids, and how many of 256 bits of their hashes differ.
        copies: further pairs, one a mirrored, turned or cropped copy of the other, and in which orientation.
        groups: the group of each image, if all can be read.
        siblings: how many test images have a sibling in training: for each strategy, one count per repeat; or the
            reason why the strategy is not possible.
    """

    dataset: LesionDataset
    ids: list[str]
    sizes: NDArray[np.int64]
    areas: NDArray[np.float64]
    contrasts: NDArray[np.float64]
    values: NDArray[np.int64]
    bad: list[str]
    bad_lines: list[str]
    reading: str | None
    remarks: list[str]
    exact: list[tuple[str, str]]
    near: list[tuple[str, str, int]]
    copies: list[tuple[str, str, str]]
    groups: list[str]
    siblings: dict[str, list[int] | str]

    @property
    def empty(self) -> list[str]:
        """The ids of images without any lesion."""
        return [name for name, area in zip(self.ids, self.areas, strict=True) if area == 0]


def inspect_dataset(
    dataset: LesionDataset,
    fractions: Fractions,
    seed: int,
    repeats: Sequence[int],
    groups: str | Path | None = None,
    split: str = "random",
    cache_dir: str | Path | None = None,
) -> Inspection:
    """Read every image and mask and look for what a study should know.

    Args:
        dataset: what to look at; images that cannot be read are listed, not raised.
        fractions: of the splits whose siblings are counted.
        seed: of these splits.
        repeats: of these splits.
        groups: a CSV file of the images' groups, see :func:`lightning_seg.data.groups.image_groups`.
        split: the one that is meant; where it is a file, its siblings are counted beside those of all strategies.
        cache_dir: where perceptual hashes are kept.

    Raises:
        UserError: there is no image, not a single one can be read, or ``groups`` cannot be used.
    """
    ids = dataset.ids()
    if not ids:
        raise UserError(f"Dataset {dataset.name!r} has no images.")
    if groups is not None:
        image_groups(dataset, groups)  # a wrong file is told before all images are read
    reading = dataset.reading()
    measured, bad = _measure_all(dataset, ids)
    if not measured:
        none = f"none of its {counted(len(ids), 'image')} can be read"
        raise UserError(f"Dataset {dataset.name!r}: {none}; the first: {bad[0]}.")
    found = list(measured.values())
    alike = None if bad else _relations(dataset, fractions, seed, repeats, groups, split, cache_dir)
    return Inspection(
        dataset=dataset,
        ids=list(measured),
        sizes=np.array([one.size for one in found]),
        areas=np.array([one.area for one in found]),
        contrasts=np.array([one.contrast for one in found]),
        values=np.sum([one.values for one in found], axis=0),
        bad=[str(error) for error in bad],
        bad_lines=summarised(problem for error in bad for problem in problems_of(error)),
        reading=reading,
        remarks=_remarks(dataset, np.array([one.border for one in found])),
        exact=alike.exact if alike else [],
        near=alike.near if alike else [],
        copies=alike.copies if alike else [],
        groups=alike.groups if alike else [],
        siblings=alike.siblings if alike else {},
    )


class _Relations(NamedTuple):
    """Which images show the same thing, see :class:`Inspection`."""

    exact: list[tuple[str, str]]
    near: list[tuple[str, str, int]]
    copies: list[tuple[str, str, str]]
    groups: list[str]
    siblings: dict[str, list[int] | str]


def _relations(
    dataset: LesionDataset,
    fractions: Fractions,
    seed: int,
    repeats: Sequence[int],
    groups: str | Path | None,
    split: str,
    cache_dir: str | Path | None,
) -> _Relations:
    ids = dataset.ids()
    exact, near = _duplicates(dataset, similar_pairs(dataset_hashes(dataset, cache_dir), dataset.near_duplicate_bits))
    known = {(first, second) for first, second, *_ in [*exact, *near]}
    named = [(ids[copy.first], ids[copy.second], copy.words) for copy in find_copies(dataset, cache_dir)]
    owners = image_groups(dataset, groups, cache_dir)
    siblings: dict[str, list[int] | str] = {}
    for strategy in dict.fromkeys((*STRATEGIES, split)):
        published = {"official": dataset.official, "folders": dataset.by_folders}.get(strategy)
        if published is None or published() is not None:
            siblings[strategy] = _siblings(dataset, strategy, fractions, seed, repeats, owners, groups, cache_dir)
    return _Relations(exact, near, [copy for copy in named if copy[:2] not in known], owners, siblings)


def _measure_all(dataset: LesionDataset, ids: Sequence[str]) -> tuple[dict[str, Measured], list[UserError]]:
    """What was measured of each image by id, and the errors of those that cannot be read."""
    measured: dict[str, Measured] = {}
    bad: list[UserError] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda index: _measure(dataset, index), range(len(ids)))
        for name, result in zip(ids, tracked(results, f"Reading {dataset.name}", len(ids)), strict=True):
            if isinstance(result, UserError):
                bad.append(result)
            else:
                measured[name] = result
    return measured, bad


def _measure(dataset: LesionDataset, index: int) -> Measured | UserError:
    try:
        if not isinstance(dataset, FileDataset):
            image, mask = dataset.read(index, SIDE)
            values = np.bincount(mask.ravel().astype(np.uint8) * 255, minlength=256)
            contrast = lesion_contrast(image, mask)
            return Measured((SIDE, SIDE), float(mask.mean()), contrast, values, border_share(mask))
        with dataset.alone(index):
            picture, masks = dataset.load(index, SIDE)
            lesion = np.logical_or.reduce([np.asarray(mask) >= MASK_THRESHOLD for mask in masks])
            values = np.sum([mask.histogram() for mask in masks], axis=0)
            small = Image.fromarray(lesion).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            image = np.asarray(picture.image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
            contrast = lesion_contrast(image, np.asarray(small))
            return Measured(picture.size, float(lesion.mean()), contrast, values, border_share(lesion))
    except UserError as error:
        return error


def _remarks(dataset: LesionDataset, borders: NDArray[np.float64]) -> list[str]:
    """What looks wrong, and what was passed over."""
    found = inverted(borders)
    told = [*dataset.remarks, *dataset.notes] if isinstance(dataset, Folder) else []
    return [*told, *([] if found is None else [found])]


def _duplicates(dataset: LesionDataset, pairs: Pairs) -> tuple[list[tuple[str, str]], list[tuple[str, str, int]]]:
    ids = dataset.ids()
    exact, near = [], []
    for first, second, bits in sorted(zip(*(part.tolist() for part in pairs), strict=True), key=lambda pair: pair[2]):
        if bits == 0 and _same(dataset.picture(first), dataset.picture(second)):
            exact.append((ids[first], ids[second]))
        else:
            near.append((ids[first], ids[second], bits))
    return exact, near


def _same(first: Image.Image, second: Image.Image) -> bool:
    return first.size == second.size and first.tobytes() == second.tobytes()


def _siblings(
    dataset: LesionDataset,
    strategy: str,
    fractions: Fractions,
    seed: int,
    repeats: Sequence[int],
    owners: list[str],
    groups: str | Path | None,
    cache_dir: str | Path | None,
) -> list[int] | str:
    counts = []
    for repeat in repeats:
        try:
            split = make_split(strategy, dataset, fractions, seed, repeat, groups=groups, cache_dir=cache_dir)
        except UserError as error:
            return str(error)
        counts.append(siblings_in_training(split, owners))
    return counts
