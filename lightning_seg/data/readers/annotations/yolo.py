"""YOLO: a text file for each image, a line for each polygon, coordinates as shares of the image's sides."""

from lightning_seg.data.readers.annotations.base import AnnotationError, ImageShapes, corners, no_outline
from lightning_seg.data.shapes import Polygon, Shape


def is_it(text: str) -> bool:
    """Whether the first line with words is a class number and at least four coordinates; an empty file is, too."""
    line = next((line.split() for line in text.splitlines() if line.strip()), None)
    if line is None:
        return True
    return len(line) >= 5 and line[0].isdecimal() and all(_is_number(word) for word in line[1:])


def read(text: str) -> list[ImageShapes]:
    """The shapes of the image of the file's name; an empty file says that it has none.

    Raises:
        AnnotationError: a line is no polygon.
    """
    shapes: list[Shape] = []
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) == 5:
            raise no_outline("box", "its image")
        if len(words) % 2 == 0 or not all(_is_number(word) for word in words):
            raise AnnotationError(f"the line {line[:40]!r} is no polygon")
        shapes.append(Polygon(words[0], corners([float(word) for word in words[1:]]), relative=True))
    return [ImageShapes(None, tuple(shapes))]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
