"""Finding a published dataset's files in whatever folder it was unpacked into."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lightning_seg.data.dataset import Problem, Sample
from lightning_seg.errors import UserError

_PUBLISHED_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})  # other files are extras


def image_files(root: Path) -> list[Path]:
    """Every image file under ``root`` at any depth, sorted, but hidden ones and macOS's ``__MACOSX`` copies."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        found += [Path(folder, name) for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in _PUBLISHED_SUFFIXES)


def find_folder(root: Path, accept: Callable[[Path], bool], wanted: str, depth: int = 3) -> Path:
    """The one folder nearest to ``root``, itself or up to ``depth`` levels below it, that ``accept`` takes.

    Raises:
        UserError: no folder is accepted, or several at the same depth.
    """
    level = [root]
    for _ in range(depth + 1):
        accepted = [folder for folder in level if accept(folder)]
        if len(accepted) > 1:
            names = ", ".join(str(folder) for folder in accepted)
            raise UserError(f"{root}: several folders hold {wanted} ({names}); set dataset.root to one of them.")
        if accepted:
            return accepted[0]
        level = [path for folder in level for path in sorted(folder.iterdir()) if _is_ordinary(path)]
    raise UserError(f"{root}: there is no {wanted} in it; set dataset.root to the dataset's folder.")


def _is_ordinary(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".", "__MACOSX"))


def by_stem(paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Each path under its file name without the suffix."""
    return ((path.stem, path) for path in paths)


def by_pattern(paths: Iterable[Path], pattern: re.Pattern[str]) -> Iterator[tuple[str, Path]]:
    """Each path whose whole name matches, under the pattern's first group."""
    return ((match[1], path) for path in paths if (match := pattern.fullmatch(path.name)))


def pair(
    images: Iterable[tuple[str, Path]], masks: Iterable[tuple[str, Path]], problems: list[Problem]
) -> list[Sample]:
    """Join images and masks of the same key; masks that belong to no image are added to ``problems``."""
    masks_of: dict[str, list[Path]] = defaultdict(list)
    for key, path in masks:
        masks_of[key].append(path)
    samples = [Sample(key, path, tuple(masks_of.get(key, ()))) for key, path in images]
    for key in masks_of.keys() - {sample.id for sample in samples}:
        problems += [Problem(path, "no image belongs to this mask") for path in masks_of[key]]
    return samples
