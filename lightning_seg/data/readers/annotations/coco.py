"""COCO: one JSON file of many images, with polygons and run-length encoded masks."""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_seg.data.readers.annotations.base import (
    AnnotationError,
    ImageShapes,
    corners,
    member,
    no_outline,
    pair_of_ints,
)
from lightning_seg.data.shapes import Polygon, Runs, Shape


def is_it(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("images"), list)
        and isinstance(content.get("annotations"), list)
    )


def read(content: Any) -> list[ImageShapes]:
    """The shapes of each image in ``images``.

    Raises:
        AnnotationError: the file does not hold what COCO's do.
    """
    names = {}
    for category in content.get("categories", []):
        names[member(category, "id", int, "a category")] = str(member(category, "name", str, "a category"))
    shapes: dict[Any, list[Shape]] = defaultdict(list)
    for annotation in content["annotations"]:
        image = member(annotation, "image_id", object, "an annotation")
        category = annotation.get("category_id")
        label = names.get(category, str(category))
        shapes[image] += _shapes(annotation.get("segmentation"), label, f"image {image}")
    return [
        ImageShapes(
            member(image, "file_name", str, "an image"),
            tuple(shapes.get(member(image, "id", object, "an image"), ())),
            pair_of_ints((image.get("width"), image.get("height"))),
        )
        for image in content["images"]
    ]


def _shapes(segmentation: Any, label: str, image: str) -> list[Shape]:
    if not segmentation:
        raise no_outline("box", image)
    if isinstance(segmentation, list):
        return [Polygon(label, corners(points)) for points in segmentation]
    size, counts = member(segmentation, "size", list, "a mask"), member(segmentation, "counts", (str, list), "a mask")
    shape = pair_of_ints(size[::-1])
    if shape is None:
        raise AnnotationError(f"a mask of {image} has no size")
    return [Runs(label, decode_counts(counts), shape, by_columns=True)]


def decode_counts(counts: str | list[int]) -> NDArray[np.int64]:
    """Lengths of runs, int64, from a list or from COCO's compressed string.

    In the string each length, from the third on as the difference to the last but one, is written in groups of five
    bits, the lowest first, a character a group: 48 added, bit 5 set where more follow, bit 4 of the last the sign.

    Raises:
        AnnotationError: it is neither.
    """
    if isinstance(counts, list):
        if not all(isinstance(count, int) for count in counts):
            raise AnnotationError("the runs of a mask are no whole numbers")
        return np.array(counts, dtype=np.int64)
    lengths: list[int] = []
    value = shift = 0
    for character in counts:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise AnnotationError("the runs of a mask are damaged")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift or any(not 0 <= length < 1 << 40 for length in lengths):
        raise AnnotationError("the runs of a mask are damaged")
    return np.array(lengths, dtype=np.int64)
