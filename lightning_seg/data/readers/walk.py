"""Pairs of images and masks in folders below folders: by subset, by patient, as nnU-Net or other tools lay them out."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lightning_seg.data.dataset import Problem, Sample
from lightning_seg.data.images import IMAGE_SUFFIXES
from lightning_seg.data.naming import MASK_SUFFIX, core, is_hidden, is_mask_name, normalised, role_of
from lightning_seg.wording import counted

_CHANNEL = re.compile(r"_\d{4}$")  # of nnU-Net's images
_NNUNET = re.compile(r"images(Tr|Ts|Val)$")
_FIRST_WORD = re.compile(r"[^\W\d_]*[_\- ]?")
_DEEPEST = 8  # levels of folders
_MOST = 500_000  # files, after which no more are counted
_OWN = frozenset({".lightning-seg.json", "cells.json", "ids.json"})  # in folders of results, studies and caches
_OWN_ENDINGS = (".dhash.npy", ".copies.json")
# Formats of images that are not read: a folder of them is no mistake of the program's.
UNREAD = frozenset(
    {
        ".avif",
        ".bif",
        ".cr2",
        ".dcm",
        ".dicom",
        ".dng",
        ".ima",
        ".jp2",
        ".jxl",
        ".mat",
        ".mha",
        ".mhd",
        ".mrxs",
        ".ndpi",
    }
    | {".nef", ".nii", ".nii.gz", ".npy", ".npz", ".nrrd", ".pdf", ".psd", ".raw", ".svg", ".svs", ".vsi"}
)
CONVERT = "convert them to PNG or TIFF, of 8 bits or with dataset.window, a slice a file"


class File(NamedTuple):
    """A picture in some folder.

    Attributes:
        path: of the file.
        mask: whether it is a mask.
        place: the folders below the root but those that only tell images from masks.
        folder: the folder that tells so; empty if the file's own name does.
        subset: of a folder above, as ``train``.
    """

    path: Path
    mask: bool
    place: tuple[str, ...]
    folder: str
    subset: str

    @property
    def key(self) -> str:
        """What an image and its mask have in common in their names."""
        stem = normalised(self.path.stem)
        if self.mask:
            return MASK_SUFFIX.sub("", stem)
        return _CHANNEL.sub("", stem) if _NNUNET.search(self.folder) else stem


def walk(root: Path, masks: str | None = None, images: str | None = None, loose: bool = False) -> list[File]:
    """All pictures below ``root`` but hidden ones, with the role that their names give them.

    Args:
        root: where to look.
        masks: the name of the folders that hold the masks, if the user has said so; others that look so then do not.
        images: likewise.
        loose: see :func:`role_of`.
    """
    found = []
    for directory, folders, names in os.walk(root, followlinks=False):
        parts = Path(directory).relative_to(root).parts
        folders[:] = sorted(name for name in folders if not is_hidden(name) and len(parts) < _DEEPEST)
        kinds = [_kind(part, masks, images, loose) for part in parts]
        if "aside" in kinds:
            continue
        nearest = next((index for index in reversed(range(len(parts))) if kinds[index]), None)
        subset = next((subset for part in reversed(parts) if (subset := role_of(part).subset)), "")
        place = tuple(_without_role(part, kind) for part, kind in zip(parts, kinds, strict=True))
        stems = {Path(name).stem for name in names}
        for name in sorted(names):
            path = Path(directory, name)
            if is_hidden(name) or path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
                continue
            kind, folder = (kinds[nearest], parts[nearest]) if nearest is not None else ("", "")
            if kind != "mask" and MASK_SUFFIX.sub("", path.stem) in stems - {path.stem}:
                kind, folder = "mask", ""  # beside its image
            mask = kind == "mask" or (not kind and is_mask_name(path.stem))
            found.append(File(path, mask, tuple(filter(None, place)), folder, subset))
    return found


def _kind(part: str, masks: str | None, images: str | None, loose: bool) -> str:
    if part == masks:
        return "mask"
    if part == images:
        return "image"
    kind = role_of(part, loose).kind
    if (kind == "mask" and masks) or (kind == "image" and images):
        return "aside"
    return kind


def _without_role(part: str, kind: str) -> str:
    """A folder's name as far as image and mask share it: nothing, or its subset."""
    return role_of(part).subset if kind else part


def find_pairs(
    root: Path, masks: str | None, images: str | None, problems: list[Problem]
) -> tuple[list[Sample], dict[str, File]]:
    """All pairs below ``root``, by the reading of folders' names that leaves fewer pictures without a partner.

    If both leave as many, the loose one counts, which takes fewer folders of masks for images.

    ``Dataset_with_GT`` may hold both kinds, ``Training_GroundTruth`` the masks alone.

    Args:
        root, masks, images: see :func:`walk`.
        problems: what is wrong with the pictures is added.

    Returns:
        See :func:`pair_up`.
    """
    found = []
    for loose in (False, True):
        wrong: list[Problem] = []
        samples, files = pair_up(walk(root, masks, images, loose), wrong)
        left = len(wrong) + sum(not sample.masks for sample in samples)
        found.append((left, wrong, samples, files))
        if samples and not left:
            break
    _, wrong, samples, files = min(reversed(found), key=lambda each: (not each[2], each[0]))
    problems += wrong
    return samples, files


def pair_up(files: list[File], problems: list[Problem]) -> tuple[list[Sample], dict[str, File]]:
    """Join images and masks, and name the images.

    A mask belongs to the image of the same name in the same place; else to the only image there, as in folders of one
    patient with several masks; else to the one whose name differs only in words such as ``manual``; else to the one of
    its name anywhere; else, of all that are left, to the one whose name begins with another word (``image_7``,
    ``mask_7``).

    Returns:
        The samples, those without a mask as well, and the image of each id.
    """
    images, masks = [file for file in files if not file.mask], [file for file in files if file.mask]
    ids = _named(images, problems)
    exact, loose, alone, anywhere = (defaultdict(list) for _ in range(4))
    for file in images:
        exact[file.place, file.key].append(file)
        loose[file.place, core(file.path.stem)].append(file)
        alone[file.place].append(file)
        anywhere[file.key].append(file)
    owned: dict[Path, list[File]] = {file.path: [] for file in images}
    lost = []
    for mask in masks:
        stem = normalised(mask.path.stem)
        candidates = exact.get((mask.place, stem)) or exact.get((mask.place, mask.key))
        own = bool(mask.place) and not role_of(mask.place[-1]).subset  # a patient's or a case's folder
        if not candidates and own and len(alone.get(mask.place, ())) == 1:
            candidates = alone[mask.place]
        candidates = candidates or loose.get((mask.place, core(stem))) or anywhere.get(stem) or anywhere.get(mask.key)
        if candidates and len(candidates) == 1:
            owned[candidates[0].path].append(mask)
        elif candidates:
            problems.append(Problem(mask.path, "there are several images of its name, and none in the same place"))
        else:
            lost.append(mask)
    partners = _by_first_word([file for file in images if not owned[file.path]], lost)
    for mask in lost:
        if mask.path in partners:
            owned[partners[mask.path]].append(mask)
        else:
            problems.append(Problem(mask.path, "no image belongs to this mask"))
    samples = [Sample(ids[file.path], file.path, tuple(mask.path for mask in owned[file.path])) for file in images]
    problems += _several_folders(owned)
    return samples, {ids[file.path]: file for file in images}


def _by_first_word(images: list[File], masks: list[File]) -> dict[Path, Path]:
    """The image of each mask, if all images begin with one word, or none, and all masks with another one."""
    words = [{_FIRST_WORD.match(file.key)[0] for file in files} for files in (images, masks)]  # type: ignore[index]
    if any(len(found) != 1 for found in words):
        return {}
    (first,), (second,) = words
    for placed in (True, False):
        of_rest = {(file.place * placed, file.key.removeprefix(first)): file.path for file in images}
        rests = {file.path: (file.place * placed, file.key.removeprefix(second)) for file in masks}
        is_clear = len(of_rest) == len(images) and len(set(rests.values())) == len(masks)
        if is_clear and (found := {path: of_rest[rest] for path, rest in rests.items() if rest[1] and rest in of_rest}):
            return found
    return {}


def _named(images: list[File], problems: list[Problem]) -> dict[Path, str]:
    """An id for each image: the name, or with the folders above it where names repeat."""
    repeated = {key for key, count in Counter(file.key for file in images).items() if count > 1}
    if repeated and (channels := _channels(images)):
        problems += channels
        return {file.path: file.path.stem for file in images}
    return {file.path: "_".join((*map(normalised, file.place), file.key)) if repeated else file.key for file in images}


def broken_links(files: Sequence[Path]) -> list[Problem]:
    """A problem for each picture that is a link to nothing."""
    links = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES and path.is_symlink()]
    broken = [path for path in links if not path.exists()]
    return [Problem(path, "is a broken link", f"is a broken link, to {path.readlink()}") for path in broken]


def visible_files(root: Path) -> list[Path]:
    """All files below ``root``, sorted, but hidden ones and those that this program has written."""
    found = []
    for directory, folders, names in os.walk(root):
        depth = len(Path(directory).relative_to(root).parts)
        folders[:] = sorted(name for name in folders if not is_hidden(name) and depth < _DEEPEST)
        if depth and any(name in _OWN or name.endswith(_OWN_ENDINGS) for name in names):
            folders.clear()
            continue
        found += [Path(directory, name) for name in sorted(names) if not is_hidden(name)]
        if len(found) > _MOST:
            break
    return found


def ending(path: Path) -> str:
    """A file's ending in lower case, ``.nii.gz`` as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower() or "no ending"


def passed_over(root: Path, files: Sequence[Path], used: set[Path]) -> tuple[list[str], list[str]]:
    """What lies below ``root`` and is not used, in words: how many files of which endings, and why.

    Args:
        root: the folder, which the words leave out.
        files: all that lies in it.
        used: the files that are used.

    Returns:
        Of pictures, which may have been meant; and of other files.
    """
    pictures: list[Path] = []
    others: Counter[str] = Counter()
    for path in files:
        if path in used:
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES:
            pictures.append(path)
        else:
            others[ending(path)] += 1
    remarks = []
    if pictures:
        remarks.append(
            f"outside the folders that are read: {counted(len(pictures), 'picture')}, such as "
            f"{pictures[0].relative_to(root)}"
        )
    unread = {name: count for name, count in others.items() if name in UNREAD}
    if unread:
        remarks.append(f"{_counted(unread)} of a format that is not read; {CONVERT}")
    rest = {name: count for name, count in others.items() if name not in UNREAD}
    return remarks, [f"no images: {_counted(rest)}"] if rest else []


def contents(files: Sequence[Path]) -> str:
    """What a folder without images holds, in words, and what to do."""
    count = Counter(ending(path) for path in files)
    if not count:
        return "it is empty"
    remedy = f"; {CONVERT}" if count.keys() & UNREAD else ""
    return f"it holds {_counted(count)}{remedy}"


def _counted(counts: Mapping[str, int]) -> str:
    parts = [f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1])]
    files = "file" if sum(counts.values()) == 1 else "files"
    return f"{', '.join(parts[:6])}{' and others' if len(parts) > 6 else ''} {files}"


def _channels(images: list[File]) -> list[Problem]:
    """A problem for each image of nnU-Net that is one of several channels."""
    count = Counter((file.place, file.key) for file in images if _NNUNET.search(file.folder))
    return [
        Problem(file.path, "is one of several channels of its case; save the channels as one RGB image a case")
        for file in images
        if count[file.place, file.key] > 1
    ]


def _several_folders(owned: dict[Path, list[File]]) -> list[Problem]:
    """A problem for each image whose masks lie in folders of different names: they may mean different things."""
    problems = []
    for path, masks in owned.items():
        folders = sorted({mask.folder for mask in masks} - {""})
        if len(folders) > 1:
            names = " and ".join(folders)
            problems.append(Problem(path, f"has masks in {names}; choose one of them with dataset.masks={folders[0]}"))
    return problems
