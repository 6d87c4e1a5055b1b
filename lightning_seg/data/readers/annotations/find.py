"""Finding files of annotations and what they say of which image."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from lightning_seg.data.dataset import Problem
from lightning_seg.data.naming import normalised
from lightning_seg.data.readers.annotations import coco, cvat, labelme, via, yolo
from lightning_seg.data.readers.annotations.base import AnnotationError, ImageShapes
from lightning_seg.data.shapes import Shape
from lightning_seg.errors import UnreadableError
from lightning_seg.files import open_plain
from lightning_seg.wording import counted

SUFFIXES = (".json", ".xml", ".txt")
MAX_BYTES = 2**30  # of one file of annotations
_LONGEST_LABEL = 200  # characters of a class's name, which goes into records


class Annotated(NamedTuple):
    """What is known of one image.

    Attributes:
        file: the annotations that name it.
        shapes: its outlines; empty if it is named without any.
        size: width and height that it has according to the file, if it says so.
        empty: the file itself says that there is nothing to outline.
    """

    file: Path
    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None
    empty: bool


def find_annotations(
    files: Iterable[Path], images: Iterable[Path], problems: list[Problem], required: bool = False
) -> dict[Path, Annotated]:
    """What files of annotations say of images.

    A file's images are those of the name that it writes, of the path if several have that name; or, of formats with a
    file for each image, the one of the file's own stem.

    Args:
        files: which may be annotations; others among them are passed over.
        images: all images.
        problems: files that cannot be used, and images that are named and not there, are added.
        required: each file must be annotations.
    """
    by_name, by_stem = defaultdict(list), defaultdict(list)
    for path in images:
        by_name[normalised(path.name)].append(path)
        by_stem[normalised(path.stem)].append(path)
    found: dict[Path, Annotated] = {}
    for file in files:
        try:
            entries = _read(file)
        except AnnotationError as error:
            problems.append(Problem(file, f"cannot be used as annotations: {error}"))
            continue
        if entries is None:
            if required:
                problems.append(Problem(file, "is none of COCO, LabelMe, CVAT, YOLO and VIA"))
            continue
        absent = []
        for entry in entries:
            image = _image_of(entry, file, by_name, by_stem)
            if image is None and len(entries) == 1:  # LabelMe's, of an image that has since been renamed
                image = _image_of(entry._replace(image=None), file, by_name, by_stem)
            if image is None:
                absent += [entry.image] if entry.image is not None else []
                continue
            former = found[image].shapes if image in found else ()
            found[image] = Annotated(file, former + entry.shapes, entry.size, entry.image is None)
        if absent:
            named = f"names {counted(len(absent), 'image')} not there or not to be told apart, such as {absent[0]!r}"
            problems.append(Problem(file, named))
    return found


def _read(file: Path) -> list[ImageShapes] | None:
    """What a file says of images, or ``None`` if it is of no known kind."""
    try:
        with open_plain(file, MAX_BYTES, follow=True) as opened:
            text = opened.read().decode("utf-8-sig")
        if file.suffix.lower() == ".xml":
            root = cvat.parse(text)
            return None if root is None else _understood(cvat.read, root)
        if file.suffix.lower() == ".txt":
            return _understood(yolo.read, text) if yolo.is_it(text) else None
        content = json.loads(text)
    except (OSError, UnreadableError, ValueError, RecursionError) as error:
        if file.suffix.lower() == ".txt":
            return None
        raise AnnotationError(f"it cannot be read ({error})") from error
    readers: list[tuple[Callable[[Any], bool], Callable[[Any], list[ImageShapes]]]] = [
        (coco.is_it, coco.read),
        (labelme.is_it, labelme.read),
        (via.is_it, via.read),
    ]
    return next((_understood(read, content) for is_it, read in readers if is_it(content)), None)


def _understood(read: Callable[[Any], list[ImageShapes]], content: Any) -> list[ImageShapes]:
    """What a reader makes of a file's content, which may be anything.

    Raises:
        AnnotationError: it stumbles, or a class has a name that cannot be recorded.
    """
    try:
        entries = read(content)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise AnnotationError(f"it does not hold what such files do ({type(error).__name__}: {error})") from error
    for label in {shape.label for entry in entries for shape in entry.shapes}:
        if len(label) > _LONGEST_LABEL or any(0xD800 <= ord(sign) < 0xE000 for sign in label):
            raise AnnotationError(f"the name of the class {label[:40]!r} is too long or no text")
    return entries


def _image_of(
    entry: ImageShapes, file: Path, by_name: dict[str, list[Path]], by_stem: dict[str, list[Path]]
) -> Path | None:
    if entry.image is None:
        candidates = by_stem[normalised(file.stem)]
    else:
        written = PurePosixPath(normalised(entry.image.replace("\\", "/")))
        candidates = by_name[written.name]
        if len(candidates) > 1:
            ends = [path for path in candidates if normalised(path.as_posix()).endswith("/" + written.as_posix())]
            candidates = ends or candidates
    if len(candidates) > 1:  # train/a.png and test/a.png: the one beside the file
        near = [path for path in candidates if path.parent == file.parent]
        near = near or [path for path in candidates if path.parent.parent == file.parent]
        near = near or [path for path in candidates if _twin(path, file)]
        candidates = near
    return candidates[0] if len(candidates) == 1 else None


def _twin(image: Path, file: Path) -> bool:
    """Whether an image and its file lie in folders that correspond, such as train/images and train/labels."""
    apart = [pair for pair in zip(image.parent.parts, file.parent.parts, strict=False) if pair[0] != pair[1]]
    return len(image.parts) == len(file.parts) and len(apart) == 1
