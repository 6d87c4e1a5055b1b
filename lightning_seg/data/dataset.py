"""What a dataset is: a sorted list of image-mask pairs and the rule that reads them."""

import logging
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_seg.catalogue import DATASETS
from lightning_seg.data.exclude import excluded_ids
from lightning_seg.data.images import (
    IMAGE_SUFFIXES,
    MASK_THRESHOLD,
    BadFileError,
    Picture,
    great_images_alone,
    open_image,
    open_mask,
)
from lightning_seg.data.naming import normalised
from lightning_seg.data.shapes import Shape
from lightning_seg.data.window import Window
from lightning_seg.errors import UserError
from lightning_seg.once import is_news
from lightning_seg.terminal import tracked
from lightning_seg.wording import counted

__all__ = ["IMAGE_SUFFIXES", "MASK_THRESHOLD", "FileDataset", "LesionDataset", "Problem", "Sample", "raise_problems"]

log = logging.getLogger(__name__)


class LesionDataset(ABC):
    """Images with one binary lesion mask each, in sorted-id order.

    Attributes:
        name: the dataset's name in results and caches.
        near_duplicate_bits: images whose difference hashes differ in at most this many of 256 bits show the same thing.
            20 was checked by eye on ISIC-2017 (all 17 pairs up to it are the same lesion, from 21 on most are not) and
            Kvasir-SEG (all 4).
        groups_copies: images that are mirrored, turned or cropped copies (:mod:`lightning_seg.data.copies`) belong
            together as well. The published datasets' groups were made without.
    """

    name: str
    near_duplicate_bits: int = 20
    groups_copies: bool = False

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

    def reading(self) -> str | None:
        """How pixels are read, in words, where that was not given beforehand: which mask values are lesion, ...

        Raises:
            UserError: it cannot be told.
        """
        return None

    def picture(self, index: int) -> Image.Image:
        """The RGB image at ``index``, in about its own size: for looking at and comparing."""
        return Image.fromarray(self.read(index, 224)[0])

    def alone(self, index: int) -> AbstractContextManager[None]:
        """Where the pair at ``index`` is worked on in its own size: great ones are so by one thread at a time."""
        return nullcontext()

    def groups(self) -> list[str] | None:
        """For each of :meth:`ids`, the group (sequence, patient, ...) whose images must not be divided.

        ``None``: the dataset does not know; near duplicates are then looked for.
        """
        return None

    def folder_groups(self) -> list[str] | None:
        """For each of :meth:`ids`, the folder that it lies in, if images lie in several; else ``None``."""
        return None

    def by_folders(self) -> dict[str, list[str]] | None:
        """The split that the folders' names tell: ids under ``train``, ``test`` and maybe ``val``; or ``None``."""
        return None

    def official(self) -> dict[str, list[str]] | None:
        """The publisher's split: ids under ``train``, ``test`` and maybe ``val``; ``None`` if there is none."""
        return None


@dataclass(frozen=True)
class Sample:
    """The files of one pair; a mask in several files is their union.

    Attributes:
        id: its name, unique in the dataset.
        image: its image.
        masks: the files that hold its mask, or the annotations of which ``shapes`` are.
        shapes: the outlines that annotations give instead of masks.
    """

    id: str
    image: Path
    masks: tuple[Path, ...]
    shapes: tuple[Shape, ...] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Problem:
    """A file that cannot be used.

    Attributes:
        path: which.
        reason: why, in words; files of one reason share a line.
        detail: said instead where the file has a line of its own.
    """

    path: Path
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        try:
            return f"{self.path}: {self.detail or self.reason}".encode().decode()
        except UnicodeEncodeError:
            return f"{os.fsencode(self.path)!r}: {self.detail or self.reason}"


class BadPairError(UserError):
    """A pair of which files cannot be used.

    Attributes:
        problems: one for each such file.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


class FileDataset(LesionDataset):
    """A dataset of image files under ``root``; subclasses say which files belong together.

    Args:
        root: the folder of the dataset.
        name: the dataset's name in results and caches.
        exclude: images that are left out, see :mod:`lightning_seg.data.exclude`.

    Attributes:
        samples: the pairs, in sorted-id order.
        problems: files that :meth:`find` could make nothing of, one line each; they end in the dataset's error.
        full_count: pairs of the published dataset; fewer or more are warned of.
        published_as: the name under which its defects are listed, see :mod:`lightning_seg.data.exclude`.
        reduce_jpeg: decode JPEGs at a reduced size where that is exact enough (see :func:`open_image`).
        window: how images of more than 8 bits become 8-bit; ``None`` refuses them.
    """

    full_count: int | None = None
    published_as: str | None = None
    reduce_jpeg: bool = False
    window: Window | None = None
    unlabelled_hint: str = ""  # what an image without mask may be taken for

    def __init__(self, root: str | Path, name: str, exclude: str | Sequence[str] | None = None) -> None:
        self.root = Path(root).expanduser()
        self.name = name
        self.problems: list[Problem] = []
        if not _is_utf8(self.root):
            raise UserError(f"Dataset {name!r}: the path {os.fsencode(self.root)!r} is no UTF-8; rename its folders.")
        if not self.root.is_dir():
            raise UserError(f"Dataset {name!r}: the folder {self.root} does not exist; {_remedy(name)}.")
        self.samples = self.find()
        self.samples = self._checked(self.samples)
        if self.full_count not in (None, len(self.samples)) and is_news("part", name, self.root, len(self.samples)):
            _warn_of_part(name, self.root, len(self.samples), self.full_count)
        self._leave_out(excluded_ids(exclude, name, self.published_as))

    def _leave_out(self, names: set[str]) -> None:
        kept = [sample for sample in self.samples if normalised(sample.id) not in names]
        if names and len(kept) == len(self.samples):
            raise UserError(f"Dataset {self.name!r}: dataset.exclude names none of its images, but {min(names)!r}, ...")
        if not kept:
            raise UserError(f"Dataset {self.name!r}: dataset.exclude leaves none of its images.")
        self.samples = kept

    @abstractmethod
    def find(self) -> list[Sample]:
        """All pairs under ``root``, in any order; a pair without its mask has ``masks=()``."""

    def _checked(self, samples: list[Sample]) -> list[Sample]:
        """The samples in sorted-id order, or one error that names everything wrong with them and their files."""
        if not samples:
            raise UserError(
                f"Dataset {self.name!r}: there are no images in {self.root}, at least not where this dataset has them."
            )
        problems: list[Problem | str] = [
            Problem(sample.image, f"no mask belongs to it{self.unlabelled_hint}")
            for sample in samples
            if not sample.masks and sample.shapes is None
        ]
        repeated = {name for name, count in Counter(sample.id for sample in samples).items() if count > 1}
        problems += [
            Problem(sample.image, f"its id {sample.id!r} occurs twice") for sample in samples if sample.id in repeated
        ]
        problems += self.problems
        files = [path for sample in samples for path in (sample.image, *sample.masks)]
        if unnamed := [Problem(path, "its name is no UTF-8; rename it") for path in files if not _is_utf8(path)]:
            raise_problems(self, [*problems, *unnamed])
        if problems:  # bad files would otherwise be the next error
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                checked = pool.map(self._problems_of, samples)
                for lines in tracked(checked, f"Checking {self.name}", len(samples)):
                    problems += lines
        raise_problems(self, problems)
        return sorted(samples, key=lambda sample: sample.id)

    def _problems_of(self, sample: Sample) -> list["Problem | str"]:
        try:
            with _alone(sample):
                return [*self._open(sample, 224)[2]]
        except UserError as error:  # of the dataset, such as which mask values are lesion
            return [str(error)]

    def ids(self) -> list[str]:
        return [sample.id for sample in self.samples]

    def signature(self) -> list[list[Any]]:
        """Name, bytes and modification time of every file, relative to ``root``."""
        files = [path for sample in self.samples for path in (sample.image, *sample.masks)]
        stats = ((path, path.stat()) for path in files)
        return [[str(path.relative_to(self.root)), stat.st_size, stat.st_mtime_ns] for path, stat in stats]

    def read(self, index: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        with self.alone(index):
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
            BadPairError: files cannot be read, or a mask is not of its image's size; all are named.
        """
        image, masks, problems = self._open(self.samples[index], size)
        if image is None or problems:
            raise BadPairError(problems)
        return image, masks

    def _open(self, sample: Sample, size: int) -> tuple[Picture | None, list[Image.Image], list["Problem"]]:
        """The image and its masks as far as they can be used, and a line for each file that cannot."""
        # Files of masks first: a deep one takes its size twice while it is read, and a great photo would lie beside it.
        found = [] if sample.shapes is not None else [self._try_mask(sample, path, None) for path in sample.masks]
        image, masks, problems = None, [], []
        try:
            image = open_image(sample.image, size if self.reduce_jpeg else None, self.window)
        except BadFileError as error:
            problems.append(Problem(error.path, error.reason))
        if sample.shapes is not None:
            path = (*sample.masks, sample.image)[0]
            found = [self._try_mask(sample, path, image.size if image else None)]
        for path, mask in found:
            if isinstance(mask, BadFileError):
                problems.append(Problem(mask.path, mask.reason))
                continue
            if image is not None and mask.size != image.size:
                sizes = [f"{width}x{height}" for width, height in (mask.size, image.size)]
                detail = f"the mask is {sizes[0]} but its image {sample.image.name} is {sizes[1]}"
                problems.append(Problem(path, "the mask is not of its image's size", detail))
            masks.append(mask.image)
        return image, masks, problems

    def _try_mask(
        self, sample: Sample, path: Path, size: tuple[int, int] | None
    ) -> tuple[Path, Picture | BadFileError]:
        try:
            return path, self.open_mask(sample, path, size)
        except BadFileError as error:
            return path, error

    def open_mask(self, sample: Sample, path: Path, size: tuple[int, int] | None) -> Picture:
        """One of a sample's masks in 8-bit grey; the lesion is where it is at least ``MASK_THRESHOLD``.

        Args:
            sample: whose mask.
            path: which of its masks.
            size: width and height of the image that shapes are drawn on, if it can be read; else None.

        Raises:
            BadFileError: the file cannot be used.
        """
        return open_mask(path)

    def picture(self, index: int) -> Image.Image:
        return open_image(self.samples[index].image, 224 if self.reduce_jpeg else None, self.window).image

    def alone(self, index: int) -> AbstractContextManager[None]:
        return _alone(self.samples[index])


def _alone(sample: Sample) -> AbstractContextManager[None]:
    return great_images_alone(sample.image, *(sample.masks if sample.shapes is None else ()))


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


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def problems_of(error: UserError) -> list[Problem | str]:
    """What is wrong with a pair, file by file where that is known."""
    return [*error.problems] if isinstance(error, BadPairError) else [str(error)]


def raise_problems(dataset: LesionDataset, problems: Iterable[Problem | str]) -> None:
    """Raise one error that lists every problem of a dataset, or none if there are none."""
    problems = list(dict.fromkeys(problems))  # files of an id that occurs twice are looked at twice
    if problems:
        where = f" in {dataset.root}" if isinstance(dataset, FileDataset) else ""
        lines = summarised(problems)
        more = [f"... and {len(lines) - 50} more"] if len(lines) > 50 else []
        raise UserError(
            f"Dataset {dataset.name!r} has {counted(len(problems), 'bad file')}{where}, to be put right or removed:\n  "
            + "\n  ".join(lines[:50] + more)
        )


def summarised(problems: Iterable[Problem | str]) -> list[str]:
    """A line for each problem; more than three files of one kind share a line, which counts them and names three."""
    of_reason: dict[str, list[Problem | str]] = {}
    for problem in problems:
        of_reason.setdefault(problem.reason if isinstance(problem, Problem) else problem, []).append(problem)
    lines = []
    for reason, alike in of_reason.items():
        files = [str(problem.path) for problem in alike if isinstance(problem, Problem)]
        if len(files) > 3:
            lines.append(f"{len(files)} files, such as {', '.join(files[:3])}: {reason}")
        else:
            lines += map(str, alike)
    return lines
