"""What a dataset is: a sorted list of image-mask pairs and the rule that reads them."""

import logging
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.markup import escape
from rich.progress import track

from lightning_seg.catalogue import DATASETS
from lightning_seg.data.images import IMAGE_SUFFIXES, MASK_THRESHOLD, Picture, open_image, open_mask
from lightning_seg.errors import UserError
from lightning_seg.wording import printable

__all__ = ["IMAGE_SUFFIXES", "MASK_THRESHOLD", "FileDataset", "LesionDataset", "Sample", "raise_problems"]

log = logging.getLogger(__name__)


class LesionDataset(ABC):
    """Images with one binary lesion mask each, in sorted-id order.

    Attributes:
        name: the dataset's name in results and caches.
        near_duplicate_bits: images whose difference hashes differ in at most this many of 256 bits show the same thing.
            20 was checked by eye on ISIC-2017 (all 17 pairs up to it are the same lesion, from 21 on most are not) and
            Kvasir-SEG (all 4).
    """

    name: str
    near_duplicate_bits: int = 20

    @abstractmethod
    def ids(self) -> list[str]:
        """The unique ids of all pairs, sorted."""

    @abstractmethod
    def signature(self) -> Any:
        """JSON-serialisable facts that change whenever the pixels could: a cache is valid for one signature."""

    @abstractmethod
    def read(self, index: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read the pair at ``index`` of :meth:`ids`, resized to ``size`` x ``size``.

        Returns:
            The RGB image, uint8 ``(size, size, 3)``, and the mask, bool ``(size, size)``, true on the lesion.

        Raises:
            UserError: the pair cannot be read.
        """

    def picture(self, index: int) -> Image.Image:
        """The RGB image at ``index``, in about its own size: for looking at and comparing."""
        return Image.fromarray(self.read(index, 224)[0])

    def groups(self) -> list[str] | None:
        """For each of :meth:`ids`, the group (sequence, patient, ...) whose images must not be divided.

        ``None``: the dataset does not know; near duplicates are then looked for.
        """
        return None

    def official(self) -> dict[str, list[str]] | None:
        """The publisher's split: ids under ``train``, ``test`` and maybe ``val``; ``None`` if there is none."""
        return None


@dataclass(frozen=True)
class Sample:
    """The files of one pair; a mask in several files is their union."""

    id: str
    image: Path
    masks: tuple[Path, ...]


class FileDataset(LesionDataset):
    """A dataset of image files under ``root``; subclasses say which files belong together.

    Args:
        root: the folder of the dataset.
        name: the dataset's name in results and caches.

    Attributes:
        samples: the pairs, in sorted-id order.
        problems: files that :meth:`find` could make nothing of, one line each; they end in the dataset's error.
        full_count: pairs of the published dataset; fewer or more are warned of.
        reduce_jpeg: decode JPEGs at a reduced size where that is exact enough (see :func:`open_image`).
    """

    full_count: int | None = None
    reduce_jpeg: bool = False

    def __init__(self, root: str | Path, name: str) -> None:
        self.root = Path(root).expanduser()
        self.name = name
        self.problems: list[str] = []
        if not self.root.is_dir():
            raise UserError(f"Dataset {name!r}: the folder {self.root} does not exist; {_remedy(name)}.")
        self.samples = self._checked(self.find())
        if self.full_count is not None and len(self.samples) != self.full_count:
            _warn_of_part(name, self.root, len(self.samples), self.full_count)

    @abstractmethod
    def find(self) -> list[Sample]:
        """All pairs under ``root``, in any order; a pair without its mask has ``masks=()``."""

    def _checked(self, samples: list[Sample]) -> list[Sample]:
        """The samples in sorted-id order, or one error that names everything wrong with them and their files."""
        if not samples:
            raise UserError(f"Dataset {self.name!r}: there are no images in {self.root}.")
        problems = [f"{sample.image}: no mask belongs to it" for sample in samples if not sample.masks]
        repeated = {name for name, count in Counter(sample.id for sample in samples).items() if count > 1}
        problems += [
            f"{sample.image}: its id {sample.id!r} occurs twice" for sample in samples if sample.id in repeated
        ]
        problems += self.problems
        if problems:  # bad files would otherwise be the next error
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                checked = pool.map(lambda sample: self._open(sample, 224)[2], samples)
                for lines in track(checked, escape(printable(f"Checking {self.name}")), len(samples), transient=True):
                    problems += lines
        raise_problems(self, problems)
        return sorted(samples, key=lambda sample: sample.id)

    def ids(self) -> list[str]:
        return [sample.id for sample in self.samples]

    def signature(self) -> list[list[Any]]:
        """Name, bytes and modification time of every file, relative to ``root``."""
        files = [path for sample in self.samples for path in (sample.image, *sample.masks)]
        stats = ((path, path.stat()) for path in files)
        return [[str(path.relative_to(self.root)), stat.st_size, stat.st_mtime_ns] for path, stat in stats]

    def read(self, index: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        image, masks = self.load(index, size)
        lesion = np.zeros((size, size), dtype=bool)
        for mask in masks:
            lesion |= np.asarray(mask.resize((size, size), Image.Resampling.NEAREST)) >= MASK_THRESHOLD
        return np.asarray(image.image.resize((size, size), Image.Resampling.BILINEAR)), lesion

    def load(self, index: int, size: int) -> tuple[Picture, list[Image.Image]]:
        """The image and its masks in 8-bit grey, before thresholding, all in their own size.

        Args:
            index: of :meth:`ids`.
            size: the side in pixels that the image must suffice for.

        Raises:
            UserError: files cannot be read, or a mask is not of its image's size; all are named.
        """
        image, masks, problems = self._open(self.samples[index], size)
        if image is None or problems:
            raise UserError("; ".join(problems))
        return image, masks

    def _open(self, sample: Sample, size: int) -> tuple[Picture | None, list[Image.Image], list[str]]:
        """The image and its masks as far as they can be used, and a line for each file that cannot."""
        image, masks, problems = None, [], []
        try:
            image = open_image(sample.image, size if self.reduce_jpeg else None)
        except UserError as error:
            problems.append(str(error))
        for path in sample.masks:
            try:
                mask = open_mask(path)
            except UserError as error:
                problems.append(str(error))
                continue
            if image is not None and mask.size != image.size:
                problems.append(
                    f"{path}: the mask is {mask.size[0]}x{mask.size[1]} but its image {sample.image.name} is "
                    f"{image.size[0]}x{image.size[1]}"
                )
            masks.append(mask.image)
        return image, masks, problems

    def picture(self, index: int) -> Image.Image:
        return open_image(self.samples[index].image, 224 if self.reduce_jpeg else None).image


@cache  # once a process, not once a run
def _warn_of_part(name: str, root: Path, count: int, full_count: int) -> None:
    log.warning(
        "Dataset %r: %s holds %d of the published %d images; results will not compare with others'.",
        name,
        root,
        count,
        full_count,
    )


def _remedy(name: str) -> str:
    if name in DATASETS:
        return f"run 'lightning-seg prepare {name}' (or set dataset.root to where its files lie)"
    return "set dataset.root to where its files lie"


def raise_problems(dataset: LesionDataset, problems: Iterable[str]) -> None:
    """Raise one error that lists every problem of a dataset, or none if there are none."""
    problems = list(dict.fromkeys(problems))  # files of an id that occurs twice are looked at twice
    if problems:
        where = f" in {dataset.root}" if isinstance(dataset, FileDataset) else ""
        count, more = len(problems), [f"... and {len(problems) - 50} more"] if len(problems) > 50 else []
        raise UserError(
            f"Dataset {dataset.name!r} has {count} bad file(s){where}; put them right or remove them:\n  "
            + "\n  ".join(problems[:50] + more)
        )
