"""LabelMe: a JSON file for each image."""

import base64
import binascii
import io
import math
from typing import Any

from PIL import Image

from lightning_seg.data.readers.annotations.base import (
    AnnotationError,
    ImageShapes,
    corners,
    member,
    no_outline,
    pair_of_ints,
)
from lightning_seg.data.shapes import Bitmap, Ellipse, Polygon, Shape


def is_it(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def read(content: Any) -> list[ImageShapes]:
    """The shapes of the file's image, whose name is taken from ``imagePath``.

    Raises:
        AnnotationError: the file does not hold what LabelMe's do.
    """
    path = content.get("imagePath")
    name = path.replace("\\", "/").rpartition("/")[2] if isinstance(path, str) and path else None
    shapes = tuple(_shape(shape, name or "its image") for shape in content["shapes"])
    return [ImageShapes(name, shapes, pair_of_ints((content.get("imageWidth"), content.get("imageHeight"))))]


def _shape(shape: Any, image: str) -> Shape:
    label, points = member(shape, "label", str, "a shape"), member(shape, "points", list, "a shape")
    kind = shape.get("shape_type") or "polygon"
    if kind == "polygon":
        return Polygon(label, corners(points))
    if kind == "circle" and len(points) == 2:
        centre, edge = corners([*points, points[0]])[:2]
        radius = math.dist(centre, edge)
        return Ellipse(label, (float(centre[0]), float(centre[1])), (radius, radius))
    if kind == "mask" and points:
        return Bitmap(label, _png(member(shape, "mask", str, "a mask")), (int(points[0][0]), int(points[0][1])))
    raise no_outline(kind, image)


def _png(text: str) -> bytes:
    try:
        png = base64.b64decode(text, validate=True)
        with Image.open(io.BytesIO(png), formats=["PNG"]):  # its header
            return png
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise AnnotationError(f"the image of a mask cannot be read ({error})") from error
