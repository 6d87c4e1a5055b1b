"""Which image files are meant, what they are called, and what the network sees of them."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_seg.data.images import IMAGE_SUFFIXES, open_image
from lightning_seg.data.naming import MASK_SUFFIX, is_hidden
from lightning_seg.errors import UserError
from lightning_seg.inference.trained import Preparation, to_square

_LONGEST_NAME = 255  # bytes, in every usual file system
SMALLEST_SIDE = 16  # pixels; there is nothing to see in fewer
PREVIEW_SIDE = 1024  # pixels of an overlay's longer side


@dataclass(frozen=True)
class Photo:
    """An image as the network and as a person sees it.

    Attributes:
        size: width and height of the upright source in pixels.
        pixels: what the network gets, RGB, uint8 ``(size, size, 3)``.
        preview: the source, at most ``PREVIEW_SIDE`` pixels a side.
    """

    size: tuple[int, int]
    pixels: NDArray[np.uint8]
    preview: Image.Image


def find_images(inputs: Iterable[str]) -> tuple[list[Path], list[str]]:
    """The image files that files, folders and globs stand for, sorted, each once.

    Of a folder its own images are taken, not those of the folders in it, and not masks: a file such as ``x_mask.png``
    beside an ``x`` of any image format.

    Returns:
        The files, and a sentence for each input that gives none.
    """
    files: set[Path] = set()
    problems = []
    for name in inputs:
        path = Path(name).expanduser()
        if path.is_dir():
            found = _images_of(path)
            if not found:
                problems.append(f"{path}: there are no images in this folder; '{path}/**/*' also takes those below it")
        elif path.exists():
            found = [path]
        elif glob.has_magic(name):
            matches = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
            found = [match for match in matches if _is_image(match)]
            if not found:
                problems.append(f"{name}: no image matches this pattern")
        else:
            found = []
            problems.append(f"{path}: does not exist")
        files.update(Path(os.path.abspath(image)) for image in found)  # noqa: PTH100 - absolute() would keep ".."
    return sorted(files), problems


def _images_of(folder: Path) -> list[Path]:
    images = [path for path in folder.iterdir() if _is_image(path)]
    stems = {path.stem for path in images}
    return [path for path in images if MASK_SUFFIX.sub("", path.stem) not in stems - {path.stem}]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path.name) and path.is_file()


def name_images(paths: Sequence[Path]) -> list[str]:
    """A unique id for each of several absolute paths: the stem, or the path below what they share."""
    shared = os.path.commonpath([path.parent for path in paths]) if paths else ""
    below = [path.relative_to(shared) for path in paths]
    for names in ([path.stem for path in paths], [path.with_suffix("").as_posix() for path in below]):
        if max(Counter(names).values(), default=0) <= 1:
            return names
    return [path.as_posix() for path in below]


def is_file_name(name: str) -> bool:
    """Whether results can be called ``<name>.png``: every part is text, and none longer than file systems take."""
    try:
        return all(len(part.encode("utf-8")) <= _LONGEST_NAME for part in f"{name}.png".split("/"))
    except UnicodeEncodeError:
        return False


def read_photo(path: Path, preparation: Preparation) -> Photo:
    """Read an image by the rule of the datasets.

    Raises:
        UserError: it is unreadable, of a kind whose colours cannot be told, or too small.
    """
    picture = open_image(path, preparation.size if preparation.reduce_jpeg else None, preparation.window)
    if min(picture.size) < SMALLEST_SIDE:
        raise UserError(
            f"{path}: is {picture.size[0]}x{picture.size[1]}, too small to segment; {SMALLEST_SIDE} pixels a side are "
            "the least"
        )
    pixels = to_square(picture.image, preparation.size)
    preview = picture.image.copy()
    preview.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return Photo(picture.size, pixels, preview)
