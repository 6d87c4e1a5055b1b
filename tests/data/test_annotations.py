"""Annotations instead of masks; that each kind gives back a mask exactly is tested in test_lesion."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_seg.data import Folder
from lightning_seg.data.readers.annotations.coco import decode_counts
from lightning_seg.data.shapes import Ellipse, Polygon
from lightning_seg.errors import UserError
from tests.data import drawings
from tests.data.test_folder import picture


def test_polygons_hold_the_pixels_whose_centres_they_surround() -> None:
    square = Polygon("x", np.array([[1, 1], [4, 1], [4, 3], [1, 3]], dtype=float)).pixels(6, 5)
    assert square.sum() == 6 and square[1:3, 1:4].all()
    assert Polygon("x", np.array([[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]])).pixels(3, 3).sum() == 1
    assert Polygon("x", np.array([[-9, -9], [20, -9], [20, 20], [-9, 20]], dtype=float)).pixels(6, 5).all()
    triangle = Polygon("x", np.array([[0, 0], [8, 0], [0, 8]], dtype=float)).pixels(8, 8)
    assert triangle.sum(axis=1).tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
    around_a_hole = [[0, 0], [6, 0], [6, 6], [0, 6], [0, 0], [2, 2], [4, 2], [4, 4], [2, 4], [2, 2]]
    ring = Polygon("x", np.array(around_a_hole, dtype=float)).pixels(6, 6)
    assert ring.sum() == 32 and not ring[2:4, 2:4].any()
    assert Ellipse("x", (4, 4), (2, 1)).pixels(8, 8).sum() == pytest.approx(np.pi * 2, abs=2)
    assert Polygon("x", np.array([[0, 0], [0.5, 0], [0.5, 1], [0, 1]]), relative=True).pixels(8, 4).sum() == 16


def test_compressed_runs_of_coco() -> None:
    for lengths in ([5, 3, 40000, 17, 12, 1, 9], [0, 100], [31, 32, 15, 16, 1023, 1024]):
        assert decode_counts(drawings.compressed(lengths)).tolist() == lengths
    assert decode_counts("52203").tolist() == [5, 2, 2, 2, 5]  # from pycocotools: the third on is a difference


def content(**changes: Any) -> dict[str, Any]:
    square = [1, 1, 9, 1, 9, 9, 1, 9]
    whole = {
        "images": [{"id": 1, "file_name": "a.png", "width": 12, "height": 12}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [square]}],
        "categories": [{"id": 1, "name": "polyp"}, {"id": 2, "name": "tool"}],
    }
    return whole | changes


def write(root: Path, value: object) -> None:
    picture(root / "a.png")
    (root / "all.json").write_text(json.dumps(value))


def annotation(**changes: object) -> dict[str, object]:
    return content()["annotations"][0] | changes


WRONG = {
    "a box": (content(annotations=[annotation(segmentation=[])]), "annotated with a box, which outlines no lesion"),
    "two corners": (content(annotations=[annotation(segmentation=[[1, 1, 2, 2]])]), "fewer than three corners"),
    "words": (content(annotations=[annotation(segmentation=[["a", "b", "c", "d", "e", "f"]])]), "no pairs of numbers"),
    "not a number": (content(annotations=[annotation(segmentation=[[0, 0, 1, 1, float("nan"), 2]])]), "no numbers"),
    "too few runs": (
        content(annotations=[annotation(segmentation={"size": [12, 12], "counts": [3, 4]})]), "do not add up",
    ),
    "too many runs": (
        content(annotations=[annotation(segmentation={"size": [12, 12], "counts": [3, 10**12]})]), "do not add up",
    ),
    "another size of mask": (
        content(annotations=[annotation(segmentation={"size": [6, 24], "counts": [100, 44]})]), "is 24x6 but the image",
    ),
    "damaged runs": (content(annotations=[annotation(segmentation={"size": [12, 12], "counts": "~ "})]), "are damaged"),
    "no name": (content(images=[{"id": 1}]), "an image has no 'file_name'"),
    "another image": (content(images=[{"id": 1, "file_name": "b.png"}]), "names 1 image not there"),
    "another size": (content(images=[{"id": 1, "file_name": "a.png", "width": 9, "height": 12}]), "image of 9x12"),
    "a number for a list": (content(annotations=[7]), "an annotation has no 'image_id'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_files_that_cannot_be_used_are_named(kind: str, tmp_path: Path) -> None:
    value, sentence = WRONG[kind]
    write(tmp_path, value)
    with pytest.raises(UserError, match=sentence) as error:
        Folder(tmp_path, "mine", masks="all.json", unlabelled="empty").read(0, 12)
    assert "all.json" in str(error.value)


def test_damaged_json_and_xml_that_declares_entities(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "all.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"all\.json: cannot be used as annotations: it cannot be read"):
        Folder(tmp_path, "mine", masks="all.json")
    (tmp_path / "all.xml").write_text('<!DOCTYPE x [<!ENTITY a "b">]><annotations><image name="a.png"/></annotations>')
    with pytest.raises(UserError, match=r"all\.xml: is none of COCO, LabelMe, CVAT, YOLO and VIA"):
        Folder(tmp_path, "mine", masks="all.xml")


def test_several_classes_are_asked_for_and_chosen(tmp_path: Path) -> None:
    tool = annotation(id=2, category_id=2, segmentation=[[10, 10, 12, 10, 12, 12, 10, 12]])
    write(tmp_path, content(annotations=[annotation(), tool]))
    with pytest.raises(UserError, match=r"classes 'polyp' \(1\), 'tool' \(1\): which are lesion"):
        Folder(tmp_path, "mine")
    for lesion, pixels in {"polyp": 64, "tool": 4, "nonzero": 68}.items():
        dataset = Folder(tmp_path, "mine", lesion=lesion)
        assert dataset.read(0, 12)[1].sum() == pixels
        assert "Lesion is what the annotations outline as" in dataset.reading()
    both = Folder(tmp_path, "mine", lesion=["tool", "polyp"])
    assert both.read(0, 12)[1].sum() == 68
    with pytest.raises(UserError, match=r"dataset\.lesion=ulcer is no class of the annotations"):
        Folder(tmp_path, "mine", lesion="ulcer")
    assert len({str(Folder(tmp_path, "mine", lesion=each).signature()) for each in ("polyp", "tool")}) == 2


def test_an_image_without_annotation_is_an_error_unless_said_otherwise(tmp_path: Path) -> None:
    write(tmp_path, content(images=[*content()["images"], {"id": 2, "file_name": "b.png"}]))
    picture(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b\.png: no mask belongs to it; dataset\.unlabelled"):
        Folder(tmp_path, "mine")
    assert Folder(tmp_path, "mine", unlabelled="skip").ids() == ["a"]
    assert not Folder(tmp_path, "mine", unlabelled="empty").read(1, 12)[1].any()


def test_equal_names_in_two_subsets_belong_to_the_annotations_beside_them(tmp_path: Path) -> None:
    for subset, right in (("train", 9), ("test", 3)):
        picture(tmp_path / subset / "a.png")
        square = [1, 1, right, 1, right, 9, 1, 9]
        value = content(annotations=[annotation(segmentation=[square])])
        (tmp_path / subset / "_annotations.coco.json").write_text(json.dumps(value))
    dataset = Folder(tmp_path, "mine")
    areas = {name: int(dataset.read(index, 12)[1].sum()) for index, name in enumerate(dataset.ids())}
    assert areas == {"test_a": 16, "train_a": 64}
