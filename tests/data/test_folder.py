"""Anybody's images and masks."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_seg.data import Folder
from lightning_seg.errors import UserError


def picture(path: Path, white: slice | None = None, size: int = 12) -> None:
    """A grey picture, or a mask whose rows ``white`` are white."""
    pixels = np.zeros((size, size), dtype=np.uint8)
    if white is None:
        pixels[:] = 90
    else:
        pixels[white] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def ids(root: Path, **options: str) -> list[str]:
    return Folder(root, "mine", **options).ids()


@pytest.mark.parametrize("images", ["images", "image", "imgs", "IMG"])
@pytest.mark.parametrize("masks", ["masks", "labels", "GT", "ground truth", "Segmentation"])
def test_usual_names_of_folders(tmp_path: Path, images: str, masks: str) -> None:
    for stem in "ba":
        picture(tmp_path / images / f"{stem}.jpg")
        picture(tmp_path / masks / f"{stem}.png", slice(0, 6))
    assert ids(tmp_path) == ["a", "b"]


def test_folders_of_other_names(tmp_path: Path) -> None:
    picture(tmp_path / "skin/a.png")
    picture(tmp_path / "truth/a.png", slice(0, 6))
    assert ids(tmp_path, images="skin", masks="truth") == ["a"]
    with pytest.raises(UserError, match=r"dataset\.masks=nope is not a folder"):
        ids(tmp_path, images="skin", masks="nope")


@pytest.mark.parametrize("suffix", ["_mask", "_segmentation", "_label", "_Segmentation", "-gt", " mask", "_seg"])
@pytest.mark.parametrize("together", [True, False])
def test_suffixes_of_masks(tmp_path: Path, suffix: str, together: bool) -> None:
    for stem in ("a", "b_1"):
        picture(tmp_path / ("" if together else "images") / f"{stem}.png")
        picture(tmp_path / ("" if together else "masks") / f"{stem}{suffix}.png", slice(0, 6))
    (tmp_path / "notes.txt").write_text("no picture")
    assert ids(tmp_path) == ["a", "b_1"]


def test_several_masks_are_united(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "a_mask.png", slice(0, 3))
    picture(tmp_path / "a_mask_1.png", slice(6, 9))
    image, mask = Folder(tmp_path, "mine").read(0, 12)
    assert image.shape == (12, 12, 3) and (image == 90).all()
    assert mask.any(axis=1).nonzero()[0].tolist() == [0, 1, 2, 6, 7, 8]


def test_an_image_may_be_called_like_a_mask(tmp_path: Path) -> None:
    picture(tmp_path / "images/skin_label.png")
    picture(tmp_path / "masks/skin_label.png", slice(0, 3))
    assert ids(tmp_path) == ["skin_label"]


def test_order_of_the_file_system_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stem in ("b", "B", "a10", "a9", "é"):
        picture(tmp_path / f"images/{stem}.png")
        picture(tmp_path / f"masks/{stem}_mask.png", slice(0, 3))
    before = Folder(tmp_path, "mine")
    listed = Path.iterdir

    def backwards(path: Path) -> Iterable[Path]:
        return sorted(listed(path), reverse=True)

    monkeypatch.setattr(Path, "iterdir", backwards)
    after = Folder(tmp_path, "mine")
    assert after.ids() == before.ids() == sorted(before.ids())
    assert after.samples == before.samples and after.signature() == before.signature()


def test_every_missing_mask_and_repeated_id_is_listed(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "c.jpg", "d.png"):
        picture(tmp_path / "images" / name)
    for stem in "bc":
        picture(tmp_path / f"masks/{stem}.png", slice(0, 3))
    with pytest.raises(UserError) as caught:
        Folder(tmp_path, "mine")
    message = str(caught.value)
    for part in ("a.png: no mask", "d.png: no mask", "c.png: its id 'c' occurs twice", "c.jpg: its id 'c' occurs"):
        assert part in message
    assert "b.png" not in message


def test_all_kinds_of_mistakes_are_in_one_error(tmp_path: Path) -> None:
    for name in ("missing", "twice", "cut", "size", "both", "good"):
        picture(tmp_path / f"images/{name}.png")
        picture(tmp_path / f"masks/{name}.png", slice(0, 3))
    (tmp_path / "masks/missing.png").unlink()
    picture(tmp_path / "images/twice.jpg")
    cut = (tmp_path / "images/cut.png").read_bytes()
    (tmp_path / "images/cut.png").write_bytes(cut[: len(cut) // 2])
    picture(tmp_path / "masks/size.png", slice(0, 3), size=9)
    for kind in ("images", "masks"):
        (tmp_path / kind / "both.png").write_text("no picture")
    for orphan in ("orphan", "other"):
        picture(tmp_path / f"masks/{orphan}.png", slice(0, 3))
    with pytest.raises(UserError) as caught:
        Folder(tmp_path, "mine")
    first, *lines = str(caught.value).splitlines()
    assert first == f"Dataset 'mine' has 9 bad files in {tmp_path}, to be put right or removed:"
    bad = {line.strip().removeprefix(f"{tmp_path}/").split(": ")[0]: line for line in lines}
    expected = {
        "images/missing.png": "no mask belongs to it",
        "images/twice.png": "its id 'twice' occurs twice",
        "images/twice.jpg": "its id 'twice' occurs twice",
        "images/cut.png": "cannot be read as an image",
        "images/both.png": "cannot be read as an image",
        "masks/both.png": "cannot be read as an image",
        "masks/size.png": "the mask is 9x9 but its image size.png is 12x12",
        "masks/orphan.png": "no image of the same name",
        "masks/other.png": "no image of the same name",
    }
    assert len(lines) == 9 and bad.keys() == expected.keys()
    assert all(sentence in bad[name] for name, sentence in expected.items())


def test_image_and_mask_of_one_pair_are_both_named(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "a.png").write_text("no picture")
    with pytest.raises(UserError, match=r"images/a\.png: .*; .*masks/a\.png: "):
        Folder(tmp_path, "mine").read(0, 12)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda root: None, "does not exist"),
        (lambda root: root.mkdir(), "there are no images"),
        (lambda root: (root / "images").mkdir(parents=True), "there are no images"),
        (lambda root: picture(root / "masks/a.png", slice(0, 3)), "there are no images"),
        (
            lambda root: [picture(root / "images/a.png"), picture(root / "masks/b.png", slice(0, 3))],
            "no image of the same name",
        ),
    ],
)
def test_unusable_folders(tmp_path: Path, make, expected: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "root")
    with pytest.raises(UserError, match=expected):
        Folder(tmp_path / "root", "mine")
