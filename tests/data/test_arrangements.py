"""Arrangements of folders, and what lies in them besides pairs."""

import logging
import os
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_seg import once
from lightning_seg.data import Folder
from lightning_seg.data.cache import open_cache
from lightning_seg.data.groups import image_groups
from lightning_seg.data.split import Fractions, make_split
from lightning_seg.errors import UserError
from tests.data.test_folder import picture

SHARES = Fractions(0.6, 0.2, 0.2)
WHITE = slice(0, 3)


def pairs(root: Path, *names: tuple[str, str]) -> None:
    for image, mask in names:
        picture(root / image)
        picture(root / mask, WHITE)


LAYOUTS = {
    "nnU-Net": (
        [("imagesTr/case_001_0000.png", "labelsTr/case_001.png"),
         ("imagesTr/case_002_0000.png", "labelsTr/case_002.png"),
         ("imagesTs/case_003_0000.png", "labelsTs/case_003.png")],
        ["case_001", "case_002", "case_003"],
    ),
    "subsets, then kinds": (
        [("train/images/a.png", "train/masks/a.png"), ("test/images/b.png", "test/masks/b.png")], ["a", "b"],
    ),
    "kinds, then subsets": (
        [("images/train/a.png", "masks/train/a.png"), ("images/test/b.png", "masks/test/b.png")], ["a", "b"],
    ),
    "kinds and subsets in one name": (
        [("train_images/a.png", "train_masks/a.png"), ("test_images/b.png", "test_masks/b.png")], ["a", "b"],
    ),
    "subsets side by side": ([("train/a.png", "train/a_mask.png"), ("test/b.png", "test/b_mask.png")], ["a", "b"]),
    "names that repeat": (
        [("train/images/1.png", "train/masks/1.png"), ("test/images/1.png", "test/masks/1.png")], ["test_1", "train_1"],
    ),
    "PraNet": ([("image/a.png", "masks/a.png"), ("image/b.png", "masks/b.png")], ["a", "b"]),
    "patients": (
        [("p1/image.png", "p1/mask.png"), ("p2/image.png", "p2/mask.png")], ["p1_image", "p2_image"],
    ),
    "PH2": (
        [("IMD002/IMD002_Dermoscopic_Image/IMD002.bmp", "IMD002/IMD002_lesion/IMD002_lesion.bmp"),
         ("IMD003/IMD003_Dermoscopic_Image/IMD003.bmp", "IMD003/IMD003_lesion/IMD003_lesion.bmp")],
        ["IMD002", "IMD003"],
    ),
    "VOC": (
        [("VOC/JPEGImages/a.jpg", "VOC/SegmentationClass/a.png"),
         ("VOC/JPEGImages/b.jpg", "VOC/SegmentationClass/b.png")],
        ["a", "b"],
    ),
    "ISIC 2018": (
        [("ISIC2018_Task1-2_Training_Input/ISIC_1.jpg", "ISIC2018_Task1_Training_GroundTruth/ISIC_1_segmentation.png"),
         ("ISIC2018_Task1-2_Test_Input/ISIC_2.jpg", "ISIC2018_Task1_Test_GroundTruth/ISIC_2_segmentation.png")],
        ["ISIC_1", "ISIC_2"],
    ),
    "a dataset's folder that speaks of masks": (
        [("Set_with_GT/benign/x (1).png", "Set_with_GT/benign/x (1)_mask.png"),
         ("Set_with_GT/malignant/y (1).png", "Set_with_GT/malignant/y (1)_mask_1.png")],
        ["x (1)", "y (1)"],
    ),
    "ETIS": ([("ETIS/1.tif", "Ground Truth/p1.tif"), ("ETIS/12.tif", "Ground Truth/p12.tif")], ["1", "12"]),
    "another first word": (
        [("images/image_01.png", "masks/mask_01.png"), ("images/image_02.png", "masks/mask_02.png")],
        ["image_01", "image_02"],
    ),
    "another first word, side by side": ([("img1.png", "mask1.png"), ("img2.png", "mask2.png")], ["img1", "img2"]),
    "SUN-SEG": (
        [("Train/Frame/case1/a_1.jpg", "Train/GT/case1/a_1.png"),
         ("Train/Frame/case2/a_1.jpg", "Train/GT/case2/a_1.png")],
        ["Train_case1_a_1", "Train_case2_a_1"],
    ),
    "DRIVE": (
        [("training/images/21_training.tif", "training/1st_manual/21_manual1.gif"),
         ("test/images/01_test.tif", "test/1st_manual/01_manual1.gif")],
        ["01_test", "21_training"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, tmp_path: Path) -> None:
    names, expected = LAYOUTS[layout]
    pairs(tmp_path, *names)
    picture(tmp_path / "VOC/SegmentationObject/a.png", WHITE) if layout == "VOC" else None
    (tmp_path / "._a.png").write_bytes(b"\0")
    dataset = Folder(tmp_path, "mine")
    assert dataset.ids() == expected
    assert all(dataset.read(index, 12)[1].sum() == 36 for index in range(len(expected)))


def test_first_words_that_differ_among_masks_are_no_rule(tmp_path: Path) -> None:
    """``a1`` and ``b1`` may both be masks of ``1``, or of other images."""
    pairs(tmp_path, ("images/1.png", "masks/a1.png"), ("images/2.png", "masks/b2.png"))
    with pytest.raises(UserError, match="4 bad file"):
        Folder(tmp_path, "mine")


def test_the_folders_split_and_the_folders_groups(tmp_path: Path) -> None:
    for number in range(6):
        subset, patient = ("train", "test")[number > 3], f"p{number // 2}"
        pairs(tmp_path, (f"{subset}/{patient}/{number}.png", f"{subset}/{patient}/{number}_mask.png"))
    dataset = Folder(tmp_path, "mine")
    split = make_split("folders", dataset, SHARES, 42, 0)
    assert split.test.tolist() == [4, 5] and len(split.train) == 3 and len(split.val) == 1
    assert image_groups(dataset, "folders") == ["train/p0"] * 2 + ["train/p1"] * 2 + ["test/p2"] * 2
    with pytest.raises(UserError, match=r"data\.split=folders needs every image in a folder called train"):
        pairs(tmp_path, ("other/x.png", "other/x_mask.png"))
        make_split("folders", Folder(tmp_path, "mine"), SHARES, 42, 0)
    with pytest.raises(UserError, match=r"data\.groups=folders needs images in several folders"):
        pairs(tmp_path / "flat", ("images/x.png", "masks/x.png"))
        image_groups(Folder(tmp_path / "flat", "mine"), "folders")


def test_masks_of_two_kinds_are_not_united_but_asked_for(tmp_path: Path) -> None:
    pairs(tmp_path, ("train/images/1.png", "train/manual/1.png"), ("train/images/2.png", "train/manual/2.png"))
    for stem in "12":
        picture(tmp_path / f"train/mask/{stem}_mask.png", slice(0, 12))
    with pytest.raises(UserError, match=r"has masks in manual and mask; choose one of them with dataset\.masks=manual"):
        Folder(tmp_path, "mine")
    assert Folder(tmp_path, "mine", masks="manual").read(0, 12)[1].sum() == 36


def test_drives_field_of_view_is_not_taken_for_the_vessels(tmp_path: Path) -> None:
    for stem in ("21", "22"):
        pairs(tmp_path, (f"training/images/{stem}_training.tif", f"training/1st_manual/{stem}_manual1.gif"))
        picture(tmp_path / f"training/mask/{stem}_training_mask.gif", slice(0, 12))
    with pytest.raises(UserError, match=r"has masks in 1st_manual and mask; choose one of them with dataset\.masks"):
        Folder(tmp_path, "mine")
    assert Folder(tmp_path, "mine", masks="1st_manual").read(0, 12)[1].sum() == 36


def test_masks_of_any_name_in_a_folder_of_one_image_are_united(tmp_path: Path) -> None:
    pairs(tmp_path, ("train/x/images/x.png", "train/x/masks/1f.png"), ("train/y/images/y.png", "train/y/masks/2f.png"))
    picture(tmp_path / "train/x/masks/3f.png", slice(6, 9))
    assert [Folder(tmp_path, "mine").read(index, 12)[1].sum() for index in (0, 1)] == [72, 36]


def test_channels_of_nnunet_are_named(tmp_path: Path) -> None:
    pairs(tmp_path, ("imagesTr/a_0000.png", "labelsTr/a.png"), ("imagesTr/a_0001.png", "labelsTr/a.png"))
    with pytest.raises(UserError, match="one of several channels of its case"):
        Folder(tmp_path, "mine")


def test_nnunets_names_of_labels(tmp_path: Path) -> None:
    pairs(tmp_path, ("imagesTr/a_0000.png", "labelsTr/a.png"))
    labels = np.zeros((12, 12), np.uint8)
    labels[:3], labels[6:8] = 1, 2
    Image.fromarray(labels).save(tmp_path / "labelsTr/a.png")
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "kidney": 1, "tumour": 2}}')
    with pytest.raises(UserError, match=r"dataset\.json calls them 0 background, 1 kidney, 2 tumour"):
        Folder(tmp_path, "mine").reading()
    assert Folder(tmp_path, "mine", lesion="tumour").read(0, 12)[1].sum() == 24


@pytest.mark.parametrize("suffix", [".gif", ".jfif", ".ppm", ".JPE", ".bmp", ".webp"])
def test_endings_that_are_read(suffix: str, tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    with Image.open(tmp_path / "images/a.png") as image:
        image.save(tmp_path / "images" / f"b{suffix.lower()}", format="JPEG" if suffix.lower()[1] == "j" else None)
    (tmp_path / "images" / f"b{suffix.lower()}").rename(tmp_path / "images" / f"b{suffix}")
    for stem in "ab":
        picture(tmp_path / f"masks/{stem}.gif", WHITE)
    assert Folder(tmp_path, "mine").ids() == ["a", "b"]
    assert Folder(tmp_path, "mine").read(1, 12)[1].sum() == 36


class TestNoFileIsLeftOutSilently:
    @pytest.fixture(autouse=True)
    def told_anew(self) -> None:
        once._told.clear()

    def test_broken_links_are_named(self, tmp_path: Path) -> None:
        for stem in "abcde":
            pairs(tmp_path, (f"images/{stem}.png", f"masks/{stem}.png"))
        for stem in "cde":
            (tmp_path / f"images/{stem}.png").unlink()
            (tmp_path / f"images/{stem}.png").symlink_to("/nowhere/x.png")
            (tmp_path / f"masks/{stem}.png").unlink()
        with pytest.raises(UserError, match=r"c\.png: is a broken link, to /nowhere/x\.png"):
            Folder(tmp_path, "mine")

    def test_other_formats_are_counted_by_their_endings(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        pairs(tmp_path, ("images/a.png", "masks/a.png"))
        for name in ("images/b.dcm", "images/c.nii.gz", "images/d.nii.gz", "images/notes.txt", "images/.DS_Store"):
            (tmp_path / name).write_bytes(b"x")
        with caplog.at_level(logging.WARNING):
            dataset = Folder(tmp_path, "mine")
        assert "2 .nii.gz, 1 .dcm files of a format that is not read; convert them to PNG" in caplog.text
        assert dataset.notes == ["no images: 1 .txt file"] and ".txt" not in caplog.text

    def test_pictures_beside_the_folders(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        pairs(tmp_path, ("images/a.png", "masks/a.png"))
        picture(tmp_path / "images/more/b.png")
        with caplog.at_level(logging.WARNING):
            Folder(tmp_path, "mine")
        assert "outside the folders that are read: 1 picture, such as images/more/b.png" in caplog.text

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            (["a.dcm", "b.dcm", "c.txt"], "it holds 2 .dcm, 1 .txt files; convert them to PNG or TIFF"),
            (["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"], "it holds 2 .nii.gz files; convert"),
            ([], "it is empty"),
        ],
    )
    def test_a_folder_without_images_says_what_it_holds(self, names: list[str], said: str, tmp_path: Path) -> None:
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"x")
        with pytest.raises(UserError) as error:
            Folder(tmp_path, "mine")
        assert "there are no images" in str(error.value) and said in str(error.value)

    def test_many_files_of_one_mistake_are_one_line(self, tmp_path: Path) -> None:
        for number in range(12):
            pairs(tmp_path, (f"images/{number:02d}.png", f"masks/{number:02d}.png"))
            (tmp_path / f"images/{number:02d}.png").write_bytes(b"no image")
        (tmp_path / "masks/11.png").unlink()
        with pytest.raises(UserError) as error:
            Folder(tmp_path, "mine")
        _, *lines = str(error.value).splitlines()
        assert len(lines) == 2
        assert "12 files, such as" in lines[1] and lines[1].count(".png") == 3 and "of no known kind" in lines[1]

    def test_mistakes_that_differ_in_details_alone_are_one_line(self, tmp_path: Path) -> None:
        for number in range(6):
            pairs(tmp_path, (f"images/{number}.png", f"masks/{number}.png"))
            picture(tmp_path / f"masks/{number}.png", WHITE, size=9 + number % 2)
            (tmp_path / f"images/{number}x.png").symlink_to(f"/nowhere/{number}.png")
        with pytest.raises(UserError) as error:
            open_cache(Folder(tmp_path, "mine"), 16, tmp_path / "cache")
        _, *lines = str(error.value).splitlines()
        said = [(line.split(" files, such as ")[0].strip(), line.split(": ")[-1]) for line in lines]
        assert ("6", "is a broken link") in said and ("6", "the mask is not of its image's size") in said


def test_composed_and_decomposed_names_are_the_same(tmp_path: Path) -> None:
    apart, together = (unicodedata.normalize(form, "läsion") for form in ("NFD", "NFC"))
    pairs(tmp_path, (f"images/{apart}.png", f"masks/{together}_mask.png"), ("images/b.png", "masks/b.png"))
    dataset = Folder(tmp_path, "mine")
    assert dataset.ids() == ["b", together]
    (tmp_path / "groups.csv").write_text(f"id,group\nb,1\n{apart},2\n", encoding="utf-8")
    assert image_groups(dataset, tmp_path / "groups.csv") == ["1", "2"]


@pytest.mark.skipif(sys.platform == "darwin", reason="names are Unicode there")
def test_a_name_that_is_no_utf8_is_one_line(tmp_path: Path) -> None:
    pairs(tmp_path, ("images/a.png", "masks/a.png"))
    for kind in ("images", "masks"):
        (tmp_path / kind / "a.png").rename(tmp_path / kind / os.fsdecode(b"l\xe4sion.png"))
    with pytest.raises(UserError, match=r"l\\xe4sion\.png': its name is no UTF-8; rename it") as error:
        Folder(tmp_path, "mine")
    str(error.value).encode()


class TestUnlabelled:
    def test_it_is_an_error_that_names_the_choices(self, tmp_path: Path) -> None:
        pairs(tmp_path, ("images/a.png", "masks/a.png"))
        picture(tmp_path / "images/b.png")
        with pytest.raises(UserError, match=r"b\.png: no mask belongs to it; dataset\.unlabelled=empty"):
            Folder(tmp_path, "mine")
        assert Folder(tmp_path, "mine", unlabelled="skip").ids() == ["a"]
        dataset = Folder(tmp_path, "mine", unlabelled="empty")
        assert dataset.ids() == ["a", "b"] and not dataset.read(1, 12)[1].any()
        assert dataset.remarks == ["without lesion: 1 image without mask, as dataset.unlabelled=empty says"]
        with pytest.raises(UserError, match=r"dataset\.unlabelled=maybe is not valid"):
            Folder(tmp_path, "mine", unlabelled="maybe")


def test_the_old_ways_keep_their_signature(tmp_path: Path) -> None:
    """By which a cache of an earlier version is found."""
    pairs(tmp_path, ("images/a.png", "masks/a_mask.png"))
    expected = [
        [name, (tmp_path / name).stat().st_size, (tmp_path / name).stat().st_mtime_ns]
        for name in ("images/a.png", "masks/a_mask.png")
    ]
    assert Folder(tmp_path, "mine").signature() == expected
    assert np.array_equal(Folder(tmp_path, "mine").read(0, 12)[1].sum(axis=1), [12] * 3 + [0] * 9)
