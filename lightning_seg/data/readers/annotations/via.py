"""VGG Image Annotator (VIA): one JSON file of many images."""

from typing import Any

from lightning_seg.data.readers.annotations.base import AnnotationError, ImageShapes, corners, member, no_outline
from lightning_seg.data.shapes import Ellipse, Polygon, Shape


def is_it(content: Any) -> bool:
    return bool(entries := _entries(content)) and all(
        isinstance(entry, dict) and "filename" in entry and "regions" in entry for entry in entries
    )


def read(content: Any) -> list[ImageShapes]:
    """The shapes of each image.

    Raises:
        AnnotationError: the file does not hold what VIA's do.
    """
    found = []
    for entry in _entries(content):
        name, regions = member(entry, "filename", str, "an image"), entry["regions"]
        listed = list(regions.values()) if isinstance(regions, dict) else regions  # VIA 1 has a mapping
        if not isinstance(listed, list):
            raise AnnotationError(f"the regions of {name} are no list")
        found.append(ImageShapes(name, tuple(_shape(region, name) for region in listed)))
    return found


def _entries(content: Any) -> list[Any]:
    """One for each image, from a project or from exported annotations."""
    if isinstance(content, dict):
        inner = content.get("_via_img_metadata", content)
        return list(inner.values()) if isinstance(inner, dict) else []
    return []


def _shape(region: Any, image: str) -> Shape:
    attributes = member(region, "shape_attributes", dict, f"a region of {image}")
    label, kind = _label(region.get("region_attributes")), attributes.get("name")
    if kind in ("polygon", "polyline"):
        x, y = (member(attributes, f"all_points_{axis}", list, "a polygon") for axis in "xy")
        if len(x) != len(y):
            raise AnnotationError(f"a polygon of {image} has more coordinates of one kind")
        return Polygon(label, corners(list(zip(x, y, strict=True))))
    if kind in ("circle", "ellipse"):
        keys = ("cx", "cy", "r", "r") if kind == "circle" else ("cx", "cy", "rx", "ry")
        x, y, rx, ry = (float(member(attributes, key, (int, float), f"a {kind}")) for key in keys)
        if attributes.get("theta"):
            raise AnnotationError(f"an ellipse of {image} is turned; draw a polygon instead")
        return Ellipse(label, (x, y), (rx, ry))
    raise no_outline(str(kind), image)


def _label(attributes: Any) -> str:
    """The first attribute's value, or the choices ticked in it."""
    if not isinstance(attributes, dict):
        return ""
    value = next(iter(attributes.values()), "")
    return ",".join(key for key, ticked in value.items() if ticked) if isinstance(value, dict) else str(value)
