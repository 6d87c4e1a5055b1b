"""The user's own images and masks, in any arrangement."""

import functools
import glob
import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from lightning_seg.data.dataset import IMAGE_SUFFIXES, FileDataset, Problem, Sample
from lightning_seg.data.images import BadFileError, Picture
from lightning_seg.data.layers import Seen, look, open_layers
from lightning_seg.data.lesion import Rule, decide, parse_lesion, with_values
from lightning_seg.data.naming import IMAGE_FOLDERS, MASK_FOLDERS, MASK_SUFFIX, is_hidden, normalised
from lightning_seg.data.readers import walk
from lightning_seg.data.readers.annotations.find import SUFFIXES as ANNOTATION_SUFFIXES
from lightning_seg.data.readers.annotations.find import Annotated, find_annotations
from lightning_seg.data.shapes import Shape
from lightning_seg.data.window import parse_window
from lightning_seg.errors import UserError
from lightning_seg.files import read_json
from lightning_seg.once import is_news
from lightning_seg.wording import counted

log = logging.getLogger(__name__)

UNLABELLED = ("error", "empty", "skip")
_MOST_DRAWN = 1 << 32  # pixels of all outlines on one image, some seconds; thousands of lesions have fewer


class Folder(FileDataset):
    """Images with masks or annotations, in two folders, side by side, or in folders of subsets or patients.

    Where ``root`` itself or its folder of images holds pictures, these are the images. A mask carries its image's stem,
    with or without a suffix such as ``_mask``, ``_segmentation`` or ``_label``; several masks of one image (``_mask``,
    ``_mask_1``) are united. Else all folders below are looked through, see :mod:`lightning_seg.data.readers.walk`.
    Where no image has a mask, annotations are looked for, see :mod:`lightning_seg.data.readers.annotations`.

    Args:
        root: the folder that holds both.
        name: the dataset's name in results and caches.
        images: the images' folder inside ``root``; by default ``images`` or a common variant, else ``root`` itself.
        masks: the masks' folder likewise, or a file of annotations.
        lesion: which mask values or classes are lesion, see :mod:`lightning_seg.data.lesion`.
        window: how images of more than 8 bits become 8-bit, see :mod:`lightning_seg.data.window`.
        unlabelled: what an image without mask or annotation is: an ``error``, an image of no lesion (``empty``), or
            none of the dataset's (``skip``).
        exclude: images that are left out, see :mod:`lightning_seg.data.exclude`.
    """

    groups_copies = True
    unlabelled_hint = "; dataset.unlabelled=empty takes such images as without lesion, skip leaves them out"

    def __init__(
        self,
        root: str | Path,
        name: str,
        images: str | None = None,
        masks: str | None = None,
        lesion: str | float | Sequence[str | float] = "auto",
        window: str | Sequence[float] | None = None,
        unlabelled: str = "error",
        exclude: str | Sequence[str] | None = None,
    ) -> None:
        self.choice = parse_lesion(lesion)
        self.window = parse_window(window)
        if unlabelled not in UNLABELLED:
            raise UserError(f"dataset.unlabelled={unlabelled} is not valid: it must be one of {', '.join(UNLABELLED)}.")
        self.folders = (images, masks)
        self.unlabelled = unlabelled
        self.files: dict[str, walk.File] = {}
        self.remarks: list[str] = []
        self.notes: list[str] = []
        self._annotated_sizes: dict[str, tuple[int, int]] = {}
        self._labels: str | None = None
        self._lock = Lock()
        self._rule: Rule | UserError | None = None
        super().__init__(root, name, exclude)
        for remark in self.remarks:
            _tell_once(self.name, self.root, remark)

    def find(self) -> list[Sample]:
        samples = self._pairs()
        annotations = self._annotation_files()
        if annotations and not any(sample.masks for sample in samples):
            samples = self._annotated(samples, annotations)
        self.problems += walk.broken_links(self._all_files)
        used = {path for sample in samples for path in (sample.image, *sample.masks)}
        used |= {problem.path for problem in self.problems}
        if not samples and not self.problems:
            raise UserError(
                f"Dataset {self.name!r}: there are no images in {self.root}; {walk.contents(self._all_files)}."
            )
        samples = self._without_unlabelled(samples)
        left_out, self.notes = walk.passed_over(self.root, self._all_files, used)
        self.remarks += left_out
        return samples

    @functools.cached_property
    def _all_files(self) -> list[Path]:
        return walk.visible_files(self.root)

    def _pairs(self) -> list[Sample]:
        """All images, with their masks if there are any."""
        named_images, named_masks = self.folders
        if named_masks is not None and self._file(named_masks):
            named_masks = None
        deep = [name for name in (named_images, named_masks) if name is not None and not (self.root / name).is_dir()]
        if not deep:
            image_folder = self._usual(named_images, IMAGE_FOLDERS)
            mask_folder = self._usual(named_masks, MASK_FOLDERS)
            samples = self._two_folders(image_folder, mask_folder)
            if named_images is not None or any(sample.masks for sample in samples):
                return samples
        flat, flat_problems = samples if not deep else [], [*self.problems]
        self.problems.clear()
        for name, kind in zip(self.folders, ("images", "masks"), strict=True):
            if name in deep and not any(path.is_dir() for path in self.root.rglob(glob.escape(name))):
                raise UserError(f"Dataset {self.name!r}: dataset.{kind}={name} is not a folder in {self.root}.")
        samples, files = walk.find_pairs(self.root, named_masks, named_images, self.problems)
        if flat and not any(sample.masks for sample in samples):
            self.problems[:] = flat_problems
            return flat
        self.files = files
        return samples

    def _usual(self, named: str | None, usual: tuple[str, ...]) -> Path:
        if named is not None:
            return self.root / named
        present = {path.name.lower(): path for path in self.root.iterdir() if path.is_dir()}
        return next((present[name] for name in usual if name in present), self.root)

    def _two_folders(self, image_folder: Path, mask_folder: Path) -> list[Sample]:
        images = [path for path in _pictures(image_folder) if image_folder != mask_folder or not _is_mask(path)]
        masks: dict[str, list[Path]] = {normalised(path.stem): [] for path in images}
        orphans = []
        for path in _pictures(mask_folder):
            if image_folder == mask_folder and not _is_mask(path):
                continue
            # An image may itself be called "x_label": the full stem counts first.
            stem = normalised(path.stem)
            stem = stem if stem in masks else MASK_SUFFIX.sub("", stem)
            if stem in masks:
                masks[stem].append(path)
            else:
                orphans.append(path)
        self.problems += [Problem(path, f"no image of the same name is in {image_folder}") for path in orphans]
        return [Sample(stem := normalised(path.stem), path, tuple(masks[stem])) for path in images]

    def _file(self, name: str) -> Path | None:
        """The file of annotations that ``dataset.masks`` names, if it is one."""
        return next((path for path in (self.root / name, Path(name).expanduser()) if path.is_file()), None)

    def _annotation_files(self) -> list[Path]:
        if self.folders[1] is not None and (file := self._file(self.folders[1])):
            return [file]
        return [path for path in self._all_files if path.suffix.lower() in ANNOTATION_SUFFIXES]

    def _annotated(self, samples: list[Sample], files: list[Path]) -> list[Sample]:
        """The samples with the shapes that annotations give them."""
        required = self.folders[1] is not None
        found = find_annotations(files, [sample.image for sample in samples], self.problems, required)
        if not any(annotated.shapes for annotated in found.values()):
            return samples
        chosen = self._chosen_labels(found)
        annotated = []
        for sample in samples:
            known = found.get(sample.image)
            if known is None or not (known.shapes or known.empty):
                annotated.append(sample)
                continue
            shapes = tuple(shape for shape in known.shapes if shape.label in chosen)
            annotated.append(Sample(sample.id, sample.image, (known.file,), shapes))
            if known.size is not None:
                self._annotated_sizes[sample.id] = known.size
        return annotated

    def _chosen_labels(self, found: dict[Path, Annotated]) -> set[str]:
        """The classes that are lesion.

        Raises:
            UserError: there are several and none was chosen, or the chosen one does not occur.
        """
        count = Counter(shape.label for annotated in found.values() for shape in annotated.shapes)
        listed = ", ".join(f"{label!r} ({number})" for label, number in count.most_common(8))
        wanted = set(self.choice.labels) | {f"{number:g}" for number in self.choice.numbers}
        if self.choice.kind == "nonzero" or (self.choice.kind == "auto" and len(count) == 1):
            wanted = set(count)
        elif self.choice.kind == "auto":
            first = count.most_common(1)[0][0]
            raise UserError(
                f"Dataset {self.name!r}: the annotations have the classes {listed}: which are lesion? Say so, for "
                f"instance with \"dataset.lesion='{first}'\", or dataset.lesion=nonzero for all."
            )
        if not wanted & count.keys():
            raise UserError(
                f"Dataset {self.name!r}: dataset.lesion={self.choice.text} is no class of the annotations; they have "
                f"{listed}."
            )
        named = sorted(wanted & count.keys())
        lesion = " or ".join(named[:8]) + (f" or {counted(len(named) - 8, 'other')}" if len(named) > 8 else "")
        self._labels = f"Lesion is what the annotations outline as {lesion!r} (classes and outlines: {listed})"
        return wanted

    def _without_unlabelled(self, samples: list[Sample]) -> list[Sample]:
        bare = [sample for sample in samples if not sample.masks]
        if not bare or self.unlabelled == "error":
            return samples
        if self.unlabelled == "skip":
            self.remarks.append(
                f"left out: {counted(len(bare), 'image')} without mask, as dataset.unlabelled=skip says"
            )
            return [sample for sample in samples if sample.masks]
        self.remarks.append(
            f"without lesion: {counted(len(bare), 'image')} without mask, as dataset.unlabelled=empty says"
        )
        return [sample if sample.masks else Sample(sample.id, sample.image, (), ()) for sample in samples]

    def signature(self) -> list[list[Any]]:
        """As of all files; the choices that change pixels are added where they are not the usual ones."""
        chosen: list[list[Any]] = [] if self.choice.kind == "auto" else [["lesion", self.choice.text]]
        chosen += [] if self.window is None else [["window", *self.window]]
        return [*super().signature(), *chosen]

    def by_folders(self) -> dict[str, list[str]] | None:
        subsets: dict[str, list[str]] = {}
        for name in self.ids():
            if name not in self.files or not (subset := self.files[name].subset):
                return None
            subsets.setdefault(subset, []).append(name)
        if subsets.keys() == {"train", "val"}:
            subsets["test"] = subsets.pop("val")
        return subsets if subsets.keys() >= {"train", "test"} else None

    def folder_groups(self) -> list[str] | None:
        folders = ["/".join(self.files[name].place) if name in self.files else "" for name in self.ids()]
        return folders if len(set(folders)) > 1 else None

    def reading(self) -> str:
        words = self._labels or self.rule().words
        window = f"; of images of more than 8 bits, {self.window}" if self.window else ""
        return f"{words}{window}."

    def rule(self) -> Rule:
        """Which mask values are lesion, decided once from all masks.

        Raises:
            UserError: the masks leave it open.
        """
        with self._lock:
            if self._rule is None:
                names = self._label_names()
                try:
                    self._rule = decide(with_values(self.choice, names), self._look_at_masks())
                except UserError as error:
                    called = ", ".join(f"{value} {label}" for label, value in names.items())
                    remark = f" (dataset.json calls them {called})" if called else ""
                    self._rule = UserError(f"Dataset {self.name!r}: {error}{remark}")
        if isinstance(self._rule, UserError):
            raise self._rule
        return self._rule

    def _label_names(self) -> dict[str, int]:
        """What nnU-Net's ``dataset.json`` calls the mask values, if there is one."""
        file = min((path for path in self._all_files if path.name == "dataset.json"), key=_depth, default=None)
        try:
            content: Any = {"labels": {}} if file is None else read_json(file)
            labels = content["labels"]
            pairs = [(name, value) if isinstance(value, int) else (value, int(name)) for name, value in labels.items()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return {str(name): value for name, value in pairs}

    def _look_at_masks(self) -> list[Seen]:
        """All masks in figures, but those that cannot be read: who reads them is told."""

        def seen(path: Path) -> Seen | None:
            try:
                return look(path)
            except BadFileError:
                return None

        masks = [path for sample in self.samples for path in sample.masks if sample.shapes is None]
        with ThreadPoolExecutor() as pool:
            return [each for each in pool.map(seen, masks) if each is not None]

    def open_mask(self, sample: Sample, path: Path, size: tuple[int, int] | None) -> Picture:
        if sample.shapes is not None:
            return self._drawn(sample, path, sample.shapes, size)
        layers = open_layers(path)
        try:
            rule = self.rule()
            if rule.keeps_greys and layers.kind == "grey" and layers.values.dtype == np.uint8:
                rule.lesion(layers)  # which refuses a mask of which nothing reaches the threshold
                mask = Image.fromarray(layers.values)
            else:
                mask = Image.fromarray(rule.lesion(layers).view(np.uint8) * 255)
        except ValueError as error:
            raise BadFileError(path, str(error)) from error
        return Picture(mask, mask.size)

    def _drawn(self, sample: Sample, path: Path, shapes: tuple[Shape, ...], size: tuple[int, int] | None) -> Picture:
        if size is None:
            raise BadFileError(path, "its image cannot be read, so nothing can be drawn on it")
        said = self._annotated_sizes.get(sample.id, size)
        if said != size:
            raise BadFileError(
                path,
                f"the annotations are of an image of {said[0]}x{said[1]}, but {sample.image.name} is "
                f"{size[0]}x{size[1]}",
            )
        lesion = np.zeros((size[1], size[0]), dtype=bool)
        drawn = 0
        for shape in shapes:
            try:
                drawn += shape.draw(lesion)
            except ValueError as error:
                raise BadFileError(path, f"{error} ({sample.image.name})") from error
            if drawn > _MOST_DRAWN:
                raise BadFileError(path, f"its {len(shapes):,} outlines cover {sample.image.name} time and again")
        return Picture(Image.fromarray(lesion.astype(np.uint8) * 255), size)


def _depth(path: Path) -> int:
    return len(path.parts)


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path.name) and path.is_file()
    )


def _is_mask(path: Path) -> bool:
    return MASK_SUFFIX.search(path.stem) is not None


def _tell_once(name: str, root: Path, remark: str) -> None:
    if is_news("folder", name, root, remark):
        log.warning("Dataset %r: %s (%s).", name, remark, root)
