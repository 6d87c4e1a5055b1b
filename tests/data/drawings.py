"""One drawing in all the forms in which people keep masks."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.data.make_layouts import lesion, save

SIDES = (48, 40)  # width and height
IDS = ("a", "b", "c")
Write = Callable[[Path, dict[str, NDArray[np.bool_]]], object]


def drawn() -> dict[str, NDArray[np.bool_]]:
    """The masks by id; one has two parts and a hole, one is empty."""
    masks = {name: lesion(number, *SIDES)[1] for number, name in enumerate(IDS)}
    masks["b"][30:35, 30:40] = True
    masks["b"][14:16, 14:17] = False
    masks["c"][:] = False
    return masks


def images(root: Path) -> None:
    for number, name in enumerate(IDS):
        save(lesion(number, *SIDES)[0], root / "images" / f"{name}.png")


def each(write: Callable[[NDArray[np.bool_], Path], object], suffix: str = ".png") -> Write:
    """A form with a mask file for each image."""

    def write_all(root: Path, masks: dict[str, NDArray[np.bool_]]) -> None:
        (root / "masks").mkdir()
        for name, mask in masks.items():
            write(mask, root / "masks" / f"{name}{suffix}")

    return write_all


def values(low: float, high: float, dtype: type = np.uint8) -> Callable[[NDArray[np.bool_], Path], object]:
    return lambda mask, path: Image.fromarray(np.where(mask, high, low).astype(dtype)).save(path)


def palette(mask: NDArray[np.bool_], path: Path) -> None:
    image = Image.fromarray(mask.astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(path)


def alpha(colour: int) -> Callable[[NDArray[np.bool_], Path], object]:
    """The lesion in the alpha channel of an image of one colour."""

    def write(mask: NDArray[np.bool_], path: Path) -> None:
        grey = np.full_like(mask, colour, dtype=np.uint8)
        Image.fromarray(np.dstack([grey, grey, grey, mask * np.uint8(255)])).save(path)

    return write


def grey_alpha(mask: NDArray[np.bool_], path: Path) -> None:
    Image.merge("LA", [Image.new("L", SIDES, 255), Image.fromarray(mask * np.uint8(255))]).save(path)


def transparent_palette(*colour: int) -> Callable[[NDArray[np.bool_], Path], object]:
    """A palette of one colour, of which one index is transparent."""

    def write(mask: NDArray[np.bool_], path: Path) -> None:
        image = Image.fromarray(mask.astype(np.uint8), mode="P")
        image.putpalette([*colour, *colour])
        image.save(path, transparency=0)

    return write


def red(mask: NDArray[np.bool_], path: Path) -> None:
    Image.fromarray(np.dstack([mask * np.uint8(255), mask * np.uint8(0), mask * np.uint8(0)])).save(path)


def one_bit(mask: NDArray[np.bool_], path: Path) -> None:
    Image.fromarray(mask).convert("1").save(path)


def jpeg(mask: NDArray[np.bool_], path: Path) -> None:
    Image.fromarray(mask * np.uint8(255)).save(path, quality=100)


def rectangles(mask: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """The corners of a rectangle for each run of each row: together they cover exactly the mask."""
    found = []
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        found += [[(l, y), (r, y), (r, y + 1), (l, y + 1)] for l, r in edges.reshape(-1, 2).tolist()]  # noqa: E741
    return found


def runs(flat: NDArray[np.bool_]) -> list[int]:
    """The lengths of runs in turn outside and inside."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(int), [0]])))
    if not len(edges):
        return [flat.size]
    edges = edges if edges[-1] == flat.size else np.append(edges, flat.size)
    return np.diff(np.concatenate([[0], edges])).tolist()


def compressed(counts: list[int]) -> str:
    """COCO's string of runs."""
    text = ""
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            code, value = value & 31, value >> 5
            more = value != (-1 if code & 16 else 0)
            text += chr(48 + code + 32 * more)
    return text


def coco(segment: Callable[[NDArray[np.bool_]], object]) -> Write:
    def write(root: Path, masks: dict[str, NDArray[np.bool_]]) -> None:
        width, height = SIDES
        listed = [
            {"id": number, "file_name": f"{name}.png", "width": width, "height": height}
            for number, name in enumerate(masks)
        ]
        annotations = [
            {"id": number, "image_id": number, "category_id": 7, "segmentation": segment(mask)}
            for number, mask in enumerate(masks.values())
            if mask.any()
        ]
        content = {"images": listed, "annotations": annotations, "categories": [{"id": 7, "name": "lesion"}]}
        (root / "instances.json").write_text(json.dumps(content))

    return write


def coco_polygons(mask: NDArray[np.bool_]) -> object:
    return [[value for corner in corners for value in corner] for corners in rectangles(mask)]


def coco_runs(mask: NDArray[np.bool_]) -> object:
    return {"size": list(mask.shape), "counts": runs(mask.T.ravel())}


def coco_compressed(mask: NDArray[np.bool_]) -> object:
    return {"size": list(mask.shape), "counts": compressed(runs(mask.T.ravel()))}


def labelme(kind: str) -> Write:
    def write(root: Path, masks: dict[str, NDArray[np.bool_]]) -> None:
        for name, mask in masks.items():
            if kind == "mask":
                buffer = io.BytesIO()
                Image.fromarray(mask).save(buffer, "PNG")
                shapes = [
                    {
                        "label": "lesion",
                        "shape_type": "mask",
                        "points": [[0, 0], [47, 39]],
                        "mask": base64.b64encode(buffer.getvalue()).decode(),
                    }
                ]
            else:
                shapes = [
                    {"label": "lesion", "shape_type": "polygon", "points": corners} for corners in rectangles(mask)
                ]
            content = {"shapes": shapes, "imagePath": f"..\\images\\{name}.png"}
            content |= {"imageWidth": SIDES[0], "imageHeight": SIDES[1]}
            (root / "images" / f"{name}.json").write_text(json.dumps(content))

    return write


def cvat(kind: str) -> Write:
    def write(root: Path, masks: dict[str, NDArray[np.bool_]]) -> None:
        lines = ["<?xml version='1.0'?>", "<annotations><version>1.1</version>"]
        for number, (name, mask) in enumerate(masks.items()):
            lines.append(f'<image id="{number}" name="{name}.png" width="{SIDES[0]}" height="{SIDES[1]}">')
            if kind == "mask" and mask.any():
                inner = mask[1:, 1:]
                lines.append(
                    f'<mask label="lesion" rle="{", ".join(map(str, runs(inner.ravel())))}" left="1" top="1" '
                    f'width="{inner.shape[1]}" height="{inner.shape[0]}" z_order="0"/>'
                )
            for corners in rectangles(mask) if kind == "polygon" else []:
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in corners)
                lines.append(f'<polygon label="lesion" points="{points}" z_order="0"/>')
            lines.append("</image>")
        (root / "annotations.xml").write_text("\n".join([*lines, "</annotations>"]))

    return write


def yolo(root: Path, masks: dict[str, NDArray[np.bool_]]) -> None:
    (root / "labels").mkdir()
    for name, mask in masks.items():
        lines = [
            "0 " + " ".join(f"{x / SIDES[0]:.8f} {y / SIDES[1]:.8f}" for x, y in corners)
            for corners in rectangles(mask)
        ]
        (root / "labels" / f"{name}.txt").write_text("\n".join(lines))


def via(project: bool) -> Write:
    def write(root: Path, masks: dict[str, NDArray[np.bool_]]) -> None:
        entries = {}
        for name, mask in masks.items():
            regions = [
                {
                    "shape_attributes": {
                        "name": "polygon",
                        "all_points_x": [x for x, _ in corners],
                        "all_points_y": [y for _, y in corners],
                    },
                    "region_attributes": {"class": "lesion"},
                }
                for corners in rectangles(mask)
            ]
            listed = regions if project else {str(number): region for number, region in enumerate(regions)}
            entries[f"{name}.png123"] = {"filename": f"{name}.png", "size": 123, "regions": listed}
        content = {"_via_settings": {}, "_via_img_metadata": entries} if project else entries
        (root / "via.json").write_text(json.dumps(content))

    return write


# Forms that read without being told anything, and give the same pixels.
FORMS: dict[str, Write] = {
    "0 and 255": each(values(0, 255)),
    "0 and 1": each(values(0, 1)),
    "0 and 2": each(values(0, 2)),
    "1 bit": each(one_bit),
    "JPEG": each(jpeg, ".jpg"),
    "16 bits, 0 and 1": each(values(0, 1, np.uint16)),
    "16 bits, 0 and 255": each(values(0, 255, np.uint16)),
    "16 bits, 0 and 65535": each(values(0, 65535, np.uint16)),
    "float, 0 and 1": each(values(0, 1, np.float32), ".tif"),
    "float, 0 and 255": each(values(0, 255, np.float32), ".tif"),
    "palette": each(palette),
    "GIF": each(values(0, 255), ".gif"),
    "PPM": each(values(0, 255), ".pgm"),
    "red": each(red),
    "alpha over white": each(alpha(255)),
    "alpha over black": each(alpha(0)),
    "alpha over white, grey": each(grey_alpha),
    "white palette with transparency": each(transparent_palette(255, 255, 255)),
    "red palette with transparency": each(transparent_palette(255, 0, 0)),
}
ANNOTATIONS: dict[str, Write] = {
    "COCO polygons": coco(coco_polygons),
    "COCO runs": coco(coco_runs),
    "COCO compressed runs": coco(coco_compressed),
    "LabelMe polygons": labelme("polygon"),
    "LabelMe masks": labelme("mask"),
    "CVAT polygons": cvat("polygon"),
    "CVAT masks": cvat("mask"),
    "YOLO": yolo,
    "VIA project": via(True),
    "VIA 1 annotations": via(False),
}
