"""What the readers of annotations share."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_seg.data.shapes import Shape

_FARTHEST = 2.0**31  # pixels from an image's corner, beyond which no corner of a polygon lies


class ImageShapes(NamedTuple):
    """What a file says of one image.

    Attributes:
        image: the image's name or path as written; ``None`` for the image of the file's own stem.
        shapes: its outlines; empty if it is named without any.
        size: width and height that the image has according to the file, if it says so.
    """

    image: str | None
    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None


class AnnotationError(Exception):
    """A file of annotations that cannot be used; the sentence says why."""


def corners(points: Any) -> NDArray[np.float64]:
    """The corners of a polygon as float ``(N, 2)``, from a flat list or from pairs.

    Raises:
        AnnotationError: they are fewer than three, or no numbers.
    """
    try:
        array = np.asarray(points, dtype=np.float64)
        array = array.reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        raise AnnotationError("a polygon's corners are no pairs of numbers") from None
    if len(array) < 3 or not (abs(array) < _FARTHEST).all():
        raise AnnotationError("a polygon has fewer than three corners, or corners that are no numbers of pixels")
    return array


def member(node: Any, key: str, kind: type | tuple[type, ...], what: str) -> Any:
    """``node[key]``, if it is there and of this kind.

    Raises:
        AnnotationError: it is not.
    """
    if isinstance(node, Mapping) and isinstance(value := node.get(key), kind):
        return value
    raise AnnotationError(f"{what} has no {key!r}, or not of the usual kind")


def no_outline(kind: str, image: str) -> AnnotationError:
    """The error for what does not outline anything."""
    return AnnotationError(f"{image} is annotated with a {kind}, which outlines no lesion; draw polygons or masks")


def pair_of_ints(values: Sequence[Any]) -> tuple[int, int] | None:
    """Width and height, if they are given as whole numbers."""
    whole = all(isinstance(value, int) and value > 0 for value in values)
    return (values[0], values[1]) if whole and len(values) == 2 else None
