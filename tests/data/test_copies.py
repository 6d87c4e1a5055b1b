"""Copies of images, however they were turned, and names that are kin."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from lightning_seg.data import Folder
from lightning_seg.data.copies import _kin, _turned, find_copies
from lightning_seg.data.groups import image_groups
from lightning_seg.data.inspect import inspect_dataset
from lightning_seg.data.readers.synthetic import Synthetic
from lightning_seg.data.split import Fractions
from tests.data.make_layouts import save


def photo(index: int, size: int = 96) -> tuple[Image.Image, np.ndarray]:
    pixels, mask = Synthetic(count=40, seed=7).read(index, size)
    return Image.fromarray(pixels), mask


def recoded(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


CHANGES = {
    "mirrored": ImageOps.mirror,
    "flipped": ImageOps.flip,
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "transposed": lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    "smaller": lambda image: image.resize((60, 60)),
    "recoded": recoded,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "cropped": lambda image: image.crop((5, 5, 91, 91)),
    "cropped_much": lambda image: image.crop((11, 11, 84, 84)),  # by 12 % on each side
    "cropped_and_mirrored": lambda image: recoded(ImageOps.mirror(image.crop((10, 10, 86, 86)))),
    "boxed": lambda image: ImageOps.expand(image, (0, 16), "black"),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("copies")
    for index, (name, change) in enumerate(CHANGES.items()):
        image, _ = photo(index)
        for stem, picture in ((f"{name}", image), (f"{name}-made", change(image))):
            save(np.asarray(picture.convert("RGB")), root / "images" / f"{stem}.png")
            save(np.zeros(picture.size[::-1], dtype=bool), root / "masks" / f"{stem}.png")
    for index in range(20, 32):
        save(np.asarray(photo(index)[0]), root / "images" / f"other{index}.png")
        save(np.zeros((96, 96), dtype=bool), root / "masks" / f"other{index}.png")
    return Folder(root, "mine")


def test_every_copy_is_found_and_nothing_else(dataset: Folder, tmp_path: Path) -> None:
    copies = find_copies(dataset, tmp_path)
    ids = dataset.ids()
    assert {(ids[copy.first], ids[copy.second]) for copy in copies} == {(name, f"{name}-made") for name in CHANGES}
    words = {ids[copy.first]: copy.words for copy in copies}
    assert words["mirrored"] == "mirrored" and words["smaller"] == "as is" and "turned by" in words["turned"]
    kept = next(tmp_path.glob("mine-*.copies.json"))
    stamp = kept.stat().st_mtime_ns
    assert find_copies(dataset, tmp_path) == copies and kept.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("content", ["[[0, 1", "7", "[" * 100_000, "[[0]]"])
def test_pairs_that_were_damaged_are_found_again(dataset: Folder, tmp_path: Path, content: str) -> None:
    copies = find_copies(dataset, tmp_path)
    (kept,) = tmp_path.glob("*.copies.json")
    kept.write_text(content)
    assert find_copies(dataset, tmp_path) == copies
    assert kept.read_text() != content


def test_copies_stay_together_and_are_told(dataset: Folder, tmp_path: Path) -> None:
    groups = dict(zip(dataset.ids(), image_groups(dataset, cache_dir=tmp_path), strict=True))
    assert all(groups[name] == groups[f"{name}-made"] for name in CHANGES)
    assert len(set(groups.values())) == len(CHANGES) + 12
    found = inspect_dataset(dataset, Fractions(0.6, 0.2, 0.2), 42, range(1), cache_dir=tmp_path)
    assert ("mirrored", "mirrored-made", "mirrored") in found.copies
    assert found.siblings["grouped"] == [0]


def test_the_eight_orientations_are_different_and_complete() -> None:
    image = np.arange(9, dtype=np.float32).reshape(3, 3)
    turned = {_turned(image, orientation).tobytes() for orientation in range(8)}
    assert len(turned) == 8 and image.T.copy().tobytes() in turned


def test_names_that_are_kin() -> None:
    ids = [
        "case_0001",
        "case_0001_1",
        "case_0001_2",
        "case_0002",
        "x (1)",
        "x (2)",
        "lesion",
        "lesion_flip",
        "7_1",
        "7_2",
    ]
    assert {(ids[a], ids[b]) for a, b in _kin(ids)} == {
        ("case_0001", "case_0001_1"), ("case_0001", "case_0001_2"), ("case_0001_1", "case_0001_2"),
        ("lesion", "lesion_flip"), ("7_1", "7_2"),
    }  # fmt: skip


def test_an_image_of_one_grey_is_no_copy_of_another(tmp_path: Path) -> None:
    for name, grey in (("a", 10), ("b", 200)):
        save(np.full((40, 40), grey, np.uint8), tmp_path / "images" / f"{name}.png")
        save(np.zeros((40, 40), dtype=bool), tmp_path / "masks" / f"{name}.png")
    assert find_copies(Folder(tmp_path, "mine")) == []
