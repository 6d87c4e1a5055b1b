"""Annotations from anywhere: whatever they hold ends in a sentence, and takes no more than the image itself."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lightning_seg.data import Folder
from lightning_seg.data.cache import open_cache
from lightning_seg.data.readers.annotations import labelme
from lightning_seg.data.shapes import Ellipse, Polygon, Runs
from lightning_seg.errors import UserError

SIDE = 32
WRAPPED = [2**62, 2**62, 2**62, 2**62, SIDE * SIDE]  # whose sum in 64 bits is that of the last alone


def dataset(folder: Path, name: str, content: str) -> Folder:
    Image.fromarray(np.full((SIDE, SIDE, 3), 90, dtype=np.uint8)).save(folder / "a.png")
    (folder / name).write_text(content)
    return Folder(folder, "received")


def coco(**changes: Any) -> dict[str, Any]:
    annotation = {"image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]], **changes}
    image = {"id": 1, "file_name": "a.png", "width": SIDE, "height": SIDE}
    return {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "lesion"}]}


def label_me(**changes: Any) -> dict[str, Any]:
    shape = {"label": "lesion", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon", **changes}
    return {"imagePath": "a.png", "imageWidth": SIDE, "imageHeight": SIDE, "shapes": [shape]}


def via(**changes: Any) -> dict[str, Any]:
    circle = {"name": "circle", "cx": 5, "cy": 5, "r": 3, **changes}
    return {"a": {"filename": "a.png", "regions": [{"shape_attributes": circle, "region_attributes": {"x": "lesion"}}]}}


def png(side: int) -> str:
    file = io.BytesIO()
    Image.new("1", (side, side), 1).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


ODD = {
    "runs beyond 64 bits": coco(segmentation={"size": [SIDE, SIDE], "counts": [10**30]}),
    "runs whose sum starts again": coco(segmentation={"size": [SIDE, SIDE], "counts": WRAPPED}),
    "corners beyond floats": coco(segmentation=[[10**400] * 6]),
    "a category that is a list": coco(category_id=[1]),
    "an image that is an object": coco(image_id={"a": 1}),
    "categories that are none": {**coco(), "categories": None},
    "an image's id that is a list": {**coco(), "images": [{"id": [1], "file_name": "a.png"}]},
    "a mask at a word": label_me(shape_type="mask", points=[["x", 1]], mask=png(1)),
    "a mask at infinity": label_me(shape_type="mask", points=[[float("inf"), 1]], mask=png(1)),
    "a mask larger than its image": label_me(shape_type="mask", points=[[0, 0]], mask=png(SIDE + 1)),
    "half a mask": label_me(shape_type="mask", points=[[0, 0]], mask=png(4)[:60]),
    "half a character": label_me(label="\ud800"),
    "a class of megabytes": label_me(label="x" * 5_000_000),
    "corners further than any image": label_me(points=[[1e308, 1e308], [-1e308, 1], [3, -1e308]]),
    "a circle beyond floats": via(cx=10**400),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_annotations_end_in_a_sentence(what: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"notes\.json: "):
        dataset(tmp_path, "notes.json", json.dumps(ODD[what])).load(0, SIDE)


def test_cvats_runs_are_no_longer_than_their_mask(tmp_path: Path) -> None:
    runs = ",".join(map(str, WRAPPED))
    mask = f'<mask label="lesion" left="0" top="0" width="{SIDE}" height="{SIDE}" rle="{runs}"/>'
    content = f'<annotations><image name="a.png" width="{SIDE}" height="{SIDE}">{mask}</image></annotations>'
    with pytest.raises(UserError, match="do not add up"):
        dataset(tmp_path, "notes.xml", content).load(0, SIDE)


def test_no_memory_is_written_beyond_a_mask() -> None:
    shape = Runs("lesion", np.array(WRAPPED, dtype=np.int64), (SIDE, SIDE), by_columns=True)
    with pytest.raises(ValueError, match="do not add up"):
        shape.pixels(SIDE, SIDE)


def test_masks_are_decoded_one_at_a_time() -> None:
    """A few kilobytes may be of a hundred million pixels, and a file may hold hundreds."""
    content = {"shapes": [{"label": "x", "points": [[0, 0]], "shape_type": "mask", "mask": png(8000)}] * 3}
    (image,) = labelme.read(content)
    assert all(len(shape.png) < 10**5 for shape in image.shapes)  # type: ignore[attr-defined]


def test_many_classes_make_no_long_sentence(tmp_path: Path) -> None:
    shapes = [label_me(label=f"{number}" * 40)["shapes"][0] for number in range(1000, 1500)]
    content = json.dumps({**label_me(), "shapes": shapes})
    Image.fromarray(np.full((SIDE, SIDE, 3), 90, dtype=np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(content)
    cache = open_cache(Folder(tmp_path, "received", lesion="nonzero"), SIDE, tmp_path / "cache")
    assert len(cache.reading or "") < 5000


def test_a_small_outline_on_a_great_image_takes_its_own_room(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):  # the same pixels as the plain rule's, inside, across and outside of the image
        points = generator.uniform(-8, 24, (5, 2)).round(1)
        expected = np.zeros((16, 16), dtype=bool)
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
            for row in range(16):
                if (y0 <= row + 0.5) != (y1 <= row + 0.5):
                    x = x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
                    expected[row] ^= np.arange(16) + 0.5 >= x
        np.testing.assert_array_equal(Polygon("x", points).pixels(16, 16), expected)
    made: list[tuple[int, ...]] = []
    zeros = np.zeros
    monkeypatch.setattr(np, "zeros", lambda shape, dtype: (made.append(shape), zeros(shape, dtype=dtype))[1])
    Polygon("x", np.array([[5.0, 5.0], [9.0, 5.0], [9.0, 9.0]])).pixels(2000, 3000)
    assert sum(int(np.prod(shape)) for shape in made) < 2000 * 3000 + 100


def test_thousands_of_outlines_touch_what_they_cover_alone() -> None:
    canvas = np.zeros((2000, 3000), dtype=bool)
    for shape in (
        Polygon("x", np.array([[5.0, 5.0], [9.0, 5.0], [9.0, 9.0]])),
        Ellipse("x", (4.0, 4.0), (2.0, 2.0)),
        Runs("x", np.array([2, 2]), (2, 2), by_columns=False, corner=(7, 7)),
    ):
        assert shape.draw(canvas) <= 36
    assert 0 < canvas.sum() < 40


def test_an_outline_of_a_million_corners_is_worked_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not edge by edge, which takes minutes."""
    generator = np.random.default_rng(0)
    points = generator.uniform(-8, 40, (500, 2))
    expected = Polygon("x", points).pixels(SIDE, SIDE)
    calls: list[int] = []
    repeat = np.repeat
    monkeypatch.setattr(np, "repeat", lambda *given: (calls.append(1), repeat(*given))[1])
    np.testing.assert_array_equal(Polygon("x", points).pixels(SIDE, SIDE), expected)
    assert len(calls) == 2
    monkeypatch.setattr("lightning_seg.data.shapes._BLOCK", 100)
    np.testing.assert_array_equal(Polygon("x", points).pixels(SIDE, SIDE), expected)


def test_outlines_that_would_be_drawn_for_hours_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zigzag = [[x % 32, 0 if x % 2 else 32] for x in range(200)]
    monkeypatch.setattr("lightning_seg.data.shapes._MOST_CROSSINGS", 6000)
    with pytest.raises(UserError, match="of 200 corners crosses the image's rows 6,400 times"):
        dataset(tmp_path, "notes.json", json.dumps(label_me(points=zigzag))).load(0, SIDE)
    monkeypatch.setattr("lightning_seg.data.readers.folder._MOST_DRAWN", 5 * SIDE * SIDE)
    whole = label_me(points=[[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]])
    with pytest.raises(UserError, match=r"its 20 outlines cover a\.png time and again"):
        dataset(tmp_path, "notes.json", json.dumps(whole | {"shapes": whole["shapes"] * 20})).load(0, SIDE)
