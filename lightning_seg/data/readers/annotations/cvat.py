"""CVAT for images: one XML file of many images."""

import math
import re
from xml.etree import ElementTree

import numpy as np

from lightning_seg.data.readers.annotations.base import AnnotationError, ImageShapes, corners, no_outline
from lightning_seg.data.shapes import Ellipse, Polygon, Runs, Shape

_OUTLINES = ("polygon", "mask", "ellipse")
_OTHERS = ("box", "polyline", "points", "cuboid", "skeleton")


def parse(text: str) -> ElementTree.Element | None:
    """The root of CVAT's XML; ``None`` for another file.

    A document that declares entities is none: CVAT writes none, and they can unfold to any size.
    """
    if re.search(r"<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        return None
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    return root if root.tag == "annotations" and root.find("image") is not None else None


def read(root: ElementTree.Element) -> list[ImageShapes]:
    """The shapes of each image.

    Raises:
        AnnotationError: the file does not hold what CVAT's do.
    """
    found = []
    for image in root.iter("image"):
        name = image.get("name")
        if not name:
            raise AnnotationError("an image has no name")
        shapes = []
        for element in image:
            if element.tag in _OTHERS:
                raise no_outline(element.tag, name)
            if element.tag in _OUTLINES:
                shapes.append(_shape(element))
        try:
            size = (int(image.get("width", "")), int(image.get("height", "")))
        except ValueError:
            size = None
        found.append(ImageShapes(name, tuple(shapes), size))
    return found


def _shape(element: ElementTree.Element) -> Shape:
    label = element.get("label", "")
    try:
        if element.tag == "polygon":
            pairs = [pair.split(",") for pair in element.get("points", "").split(";") if pair]
            return Polygon(label, corners([[float(value) for value in pair] for pair in pairs]))
        if element.tag == "ellipse":
            x, y, rx, ry = (float(element.get(key, "")) for key in ("cx", "cy", "rx", "ry"))
            if not all(math.isfinite(value) for value in (x, y, rx, ry)):
                raise ValueError
            return Ellipse(label, (x, y), (rx, ry))
        left, top, width, height = (int(float(element.get(key, ""))) for key in ("left", "top", "width", "height"))
        lengths = np.array([int(length) for length in element.get("rle", "").split(",")], dtype=np.int64)
        return Runs(label, lengths, (width, height), by_columns=False, corner=(left, top))
    except (ValueError, OverflowError):
        raise AnnotationError(f"a {element.tag} has coordinates that are no numbers") from None
