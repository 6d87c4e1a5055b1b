"""Data as plain images and masks; and images that are left out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lightning_seg.cli.app import app
from lightning_seg.data import Busi, Folder, Kvasir, Wound
from lightning_seg.data.exclude import published_defects
from lightning_seg.errors import UserError
from tests.data import drawings
from tests.data import make_layouts as layouts
from tests.data.test_folder import picture


def convert(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, UserError)
    return result.output if result.exception is None else str(result.exception)


@pytest.mark.parametrize("form", ["palette", "alpha over white", "16 bits, 0 and 1", "COCO polygons", "YOLO"])
def test_round_trips_are_exact(form: str, tmp_path: Path) -> None:
    drawings.images(tmp_path / "set")
    (drawings.FORMS | drawings.ANNOTATIONS)[form](tmp_path / "set", drawings.drawn())
    said = convert(tmp_path / "set", tmp_path / "out", "dataset.unlabelled=empty")
    assert "3 images and masks" in said and "esion" in said
    for number, (name, mask) in enumerate(drawings.drawn().items()):
        with Image.open(tmp_path / f"out/masks/{name}.png") as image:
            assert image.mode == "L" and np.array_equal(np.asarray(image), mask * np.uint8(255))
        with Image.open(tmp_path / f"out/images/{name}.png") as image:
            assert np.array_equal(np.asarray(image), layouts.lesion(number, *drawings.SIDES)[0])
    assert Folder(tmp_path / "out", "mine").ids() == ["a", "b", "c"]


def test_subsets_are_kept_and_nothing_is_replaced(tmp_path: Path) -> None:
    for subset in ("train", "test"):
        picture(tmp_path / "set" / subset / "1.png")
        picture(tmp_path / "set" / subset / "1_mask.png", slice(0, 3))
    convert(tmp_path / "set", tmp_path / "out")
    dataset = Folder(tmp_path / "out", "mine")
    assert dataset.by_folders() == {"train": ["train_1" if "train_1" in dataset.ids() else "train_train_1"],
                                    "test": [dataset.ids()[0]]}  # fmt: skip
    assert "exists already; name a new folder" in convert(tmp_path / "set", tmp_path / "out")


def test_bad_files_leave_nothing(tmp_path: Path) -> None:
    layouts.kvasir(tmp_path / "set")
    next((tmp_path / "set/Kvasir-SEG/images").iterdir()).write_bytes(b"no image")
    assert "1 bad file" in convert(tmp_path / "set/Kvasir-SEG", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


class TestExclude:
    def test_published_defects_are_ids_of_the_published_sets(self, tmp_path: Path) -> None:
        counts = {name: len(published_defects(name)) for name in ("isic", "wound", "breast_benign", "breast_malignant")}
        assert counts == {"isic": 2, "wound": 25, "breast_benign": 215, "breast_malignant": 46}
        assert "0284" in published_defects("wound") and "0121" not in published_defects("wound")
        layouts.busi(tmp_path / "busi")
        assert Busi(tmp_path / "busi", "malignant").ids() == [f"malignant ({number})" for number in range(1, 5)]
        kept = Busi(tmp_path / "busi", "malignant", exclude="published_defects")
        assert kept.ids() == [f"malignant ({number})" for number in range(1, 4)]
        assert kept.signature() != Busi(tmp_path / "busi", "malignant").signature()

    def test_lists_and_files(self, tmp_path: Path) -> None:
        layouts.wound(tmp_path / "wound")
        (tmp_path / "bad.txt").write_text("0011\n\n0022\n")
        assert Wound(tmp_path / "wound", exclude=["0011", "0022"]).ids()[0] == "0033"
        assert Wound(tmp_path / "wound", exclude=str(tmp_path / "bad.txt")).ids()[0] == "0033"

    @pytest.mark.parametrize(
        ("exclude", "sentence"),
        [
            ("published_defects", "no defects are listed for dataset 'kvasir'"),
            ("nowhere.txt", "dataset.exclude=nowhere.txt cannot be read"),
            (["unknown"], "names none of its images"),
        ],
    )
    def test_what_cannot_be_left_out(self, exclude: str, sentence: str, tmp_path: Path) -> None:
        layouts.kvasir(tmp_path)
        with pytest.raises(UserError, match=sentence):
            Kvasir(tmp_path, exclude=exclude)
        with pytest.raises(UserError, match="leaves none of its images"):
            Kvasir(tmp_path, exclude=Kvasir(tmp_path).ids())
