"""The six readers on generated copies of each layout and on real samples."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_seg.data.dataset import FileDataset
from lightning_seg.data.readers.busi import Busi
from lightning_seg.data.readers.clinicdb import ClinicDb
from lightning_seg.data.readers.folder import Folder
from lightning_seg.data.readers.isic import Isic
from lightning_seg.data.readers.kvasir import Kvasir
from lightning_seg.data.readers.wound import Wound
from lightning_seg.errors import UserError
from tests.data import make_layouts as layouts

SAMPLES = Path(__file__).parents[3] / "shared" / "data"


def benign(root: Path) -> Busi:
    return Busi(root, "benign")


def malignant(root: Path) -> Busi:
    return Busi(root, "malignant")


CASES: dict[str, tuple[Callable[[Path], FileDataset], Callable[[Path], layouts.Masks]]] = {
    "isic": (Isic, layouts.isic),
    "wound": (Wound, layouts.wound),
    "clinicdb": (ClinicDb, layouts.clinicdb),
    "clinicdb_png": (ClinicDb, layouts.clinicdb_png),
    "kvasir": (Kvasir, layouts.kvasir),
    "breast_benign": (benign, lambda root: layouts.busi(root)["benign"]),
    "breast_malignant": (malignant, lambda root: layouts.busi(root)["malignant"]),
    "breast_benign_folders": (benign, lambda root: layouts.busi_folders(root)["benign"]),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FileDataset, layouts.Masks]:
    reader, make = CASES[request.param]
    masks = make(tmp_path)
    layouts.junk(tmp_path)
    return reader(tmp_path), masks


def at_own_size(dataset: FileDataset, index: int) -> tuple[Image.Image, np.ndarray]:
    """Read at the image's own, larger side, so that nearest-neighbour resizing loses no mask pixel."""
    size = max(dataset.picture(index).size)
    image, mask = dataset.read(index, size)
    return Image.fromarray(image), mask


def test_every_layout_gives_its_true_masks(case: tuple[FileDataset, layouts.Masks]) -> None:
    dataset, truth = case
    assert dataset.ids() == sorted(truth)
    for index, name in enumerate(dataset.ids()):
        _, mask = at_own_size(dataset, index)
        expected = Image.fromarray(truth[name]).resize(mask.shape[::-1], Image.Resampling.NEAREST)
        assert np.array_equal(mask, np.asarray(expected)), name


def test_lesions_are_green_and_skin_is_red(case: tuple[FileDataset, layouts.Masks]) -> None:
    dataset, truth = case
    if dataset.name.startswith("breast"):
        pytest.skip("ultrasound has no colours")
    for index, name in enumerate(dataset.ids()):
        image, mask = dataset.read(index, 48)
        red, green, _ = image[~mask].mean(axis=0)
        assert red > 1.5 * green, name
        if truth[name].any():
            red, green, _ = image[mask].mean(axis=0)
            assert green > 1.5 * red, name


def test_a_part_of_a_dataset_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layouts.kvasir(tmp_path)
    with caplog.at_level(logging.WARNING):
        Kvasir(tmp_path)
    assert "5 of the published 1000 images" in caplog.text


@pytest.mark.parametrize("nested", ["", "a", "a/b"])
def test_the_root_may_lie_above_the_official_folder(nested: str, tmp_path: Path) -> None:
    for name, (reader, make) in CASES.items():
        make(tmp_path / name / nested)
        reader(tmp_path / name)


def test_the_root_may_be_the_innermost_folder(tmp_path: Path) -> None:
    layouts.clinicdb_png(tmp_path)
    png, tif = ClinicDb(tmp_path / "PNG"), ClinicDb(tmp_path / "TIF")
    for index in range(len(png.ids())):
        for left, right in zip(png.read(index, 40), tif.read(index, 40), strict=True):
            assert np.array_equal(left, right)
    layouts.wound(tmp_path / "w")
    Wound(tmp_path / "w" / "Foot Ulcer Segmentation Challenge")


def test_wound_takes_its_own_folder_of_the_repository(tmp_path: Path) -> None:
    layouts.wound(tmp_path)
    other = tmp_path / "Medetec_foot_ulcer_224" / "train"
    layouts.save(np.zeros((8, 8), bool), other / "labels" / "1.png")
    layouts.save(np.zeros((8, 8, 3), np.uint8), other / "images" / "1.png")
    assert len(Wound(tmp_path).ids()) == 8


def test_wound_can_drop_empty_masks(tmp_path: Path) -> None:
    layouts.wound(tmp_path)
    assert set(Wound(tmp_path).ids()) - set(Wound(tmp_path, drop_empty=True).ids()) == {"0033"}


def test_isic_copies_with_equal_names_for_image_and_mask(tmp_path: Path) -> None:
    truth = layouts.isic(tmp_path / "from")
    for subset, short in {"Training": "train", "Validation": "val", "Test_v2": "test"}.items():
        for path in (tmp_path / "from" / f"ISIC-2017_{subset}_Data").glob("*.jpg"):
            layouts.save(np.asarray(Image.open(path)), tmp_path / "to" / short / "images" / f"{path.stem}.png")
            layouts.save(truth[path.stem], tmp_path / "to" / short / "masks" / f"{path.stem}.png")
    dataset = Isic(tmp_path / "to")
    assert dataset.ids() == sorted(truth)
    assert {name: len(ids) for name, ids in (dataset.official() or {}).items()} == {"train": 3, "val": 2, "test": 2}


def test_kvasir_copies_that_are_divided(tmp_path: Path) -> None:
    layouts.kvasir(tmp_path)
    top = tmp_path / "Kvasir-SEG"
    (top / "val").mkdir()
    for kind in ("images", "masks"):
        (top / "train").mkdir(exist_ok=True)
        (top / kind).rename(top / "train" / kind)
        (top / "val" / kind).mkdir()
        name = "cju0qkwl35piu0993l0dewei0.jpg"
        (top / "train" / kind / name).rename(top / "val" / kind / name)
    assert len(Kvasir(tmp_path).ids()) == 5


class TestWhatIsWrong:
    """Every problem of a dataset is in one message."""

    def test_images_without_mask_and_masks_without_image(self, tmp_path: Path) -> None:
        layouts.busi(tmp_path)
        folder = tmp_path / "Dataset_BUSI_with_GT" / "benign"
        (folder / "benign (1)_mask.png").unlink()
        (folder / "benign (2).png").unlink()
        with pytest.raises(UserError) as error:
            Busi(tmp_path, "benign")
        assert "3 bad files" in str(error.value)
        for name in ("benign (1).png: no mask", "benign (2)_mask.png: no image", "benign (2)_mask_1.png: no image"):
            assert name in str(error.value)

    def test_a_dataset_unpacked_twice(self, tmp_path: Path) -> None:
        layouts.isic(tmp_path / "a")
        layouts.isic(tmp_path / "b")
        with pytest.raises(UserError, match="occurs twice"):
            Isic(tmp_path)

    def test_two_folders_that_could_be_meant(self, tmp_path: Path) -> None:
        layouts.clinicdb(tmp_path / "a")
        layouts.clinicdb(tmp_path / "b")
        with pytest.raises(UserError, match=r"several folders .* set dataset\.root to one of them"):
            ClinicDb(tmp_path)

    @pytest.mark.parametrize("reader", [Isic, Wound, ClinicDb, Kvasir, benign])
    def test_an_empty_or_absent_folder(self, reader: Callable[[Path], FileDataset], tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"there (is|are) no"):
            reader(tmp_path)
        with pytest.raises(UserError, match="does not exist"):
            reader(tmp_path / "absent")

    @pytest.mark.parametrize(("name", "reader"), [("isic", Isic), ("kvasir", Kvasir), ("breast_benign", benign)])
    def test_an_absent_folder_names_prepare(self, name: str, reader: Callable[[Path], FileDataset]) -> None:
        sentence = rf"absent does not exist; run 'lightning-seg prepare {name}' \(or set dataset\.root to where"
        with pytest.raises(UserError, match=sentence):
            reader(Path("absent"))
        with pytest.raises(UserError, match=r"does not exist; set dataset\.root to where its files lie\.$"):
            Folder("absent", "mine")

    def test_structure_and_pixels_are_told_at_once(self, tmp_path: Path) -> None:
        layouts.kvasir(tmp_path)
        first, second, third, *_ = Kvasir(tmp_path).samples
        first.masks[0].unlink()
        second.image.write_bytes(b"no picture")
        third.image.unlink()
        with pytest.raises(UserError) as error:
            Kvasir(tmp_path)
        assert f"3 bad files in {tmp_path}," in str(error.value)
        for part in (f"{first.image}: no mask", f"{second.image}: cannot be read", f"{third.masks[0]}: no image"):
            assert part in str(error.value)

    def test_an_unreadable_mask_does_not_hide_others_where_empty_ones_are_dropped(self, tmp_path: Path) -> None:
        layouts.wound(tmp_path)
        victim = Wound(tmp_path).samples[0].masks[0]
        victim.write_bytes(b"no picture")
        dataset = Wound(tmp_path, drop_empty=True)
        with pytest.raises(UserError, match="cannot be read as an image"):
            dataset.read(0, 16)

    def test_a_mask_of_another_size(self, tmp_path: Path) -> None:
        layouts.kvasir(tmp_path)
        dataset = Kvasir(tmp_path)
        layouts.save(np.zeros((10, 20), np.uint8), dataset.samples[0].masks[0])
        with pytest.raises(UserError, match=r"the mask is 20x10 but its image .* is 96x80"):
            dataset.read(0, 32)

    def test_an_unknown_kind(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="one of benign, malignant"):
            Busi(tmp_path, "normal")  # type: ignore[arg-type]


REAL = {
    "isic": (Isic, 40),
    "wound": (Wound, 160),
    "clinicdb": (ClinicDb, 40),
    "clinicdb_png": (ClinicDb, 40),
    "kvasir": (Kvasir, 40),
    "busi": (benign, 40),
}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real sample images are not beside the checkout")
class TestRealSamples:
    @pytest.mark.parametrize("folder", REAL)
    def test_all_can_be_read(self, folder: str) -> None:
        reader, count = REAL[folder]
        dataset = reader(SAMPLES / folder)
        assert len(dataset.ids()) == count
        for index in range(0, count, 4):
            image, mask = dataset.read(index, 64)
            assert image.shape == (64, 64, 3) and image.dtype == np.uint8 and image.std() > 5
            assert mask.shape == (64, 64) and mask.dtype == bool and mask.mean() < 0.98

    def test_tif_and_png_frames_are_the_same(self) -> None:
        tif, png = ClinicDb(SAMPLES / "clinicdb"), ClinicDb(SAMPLES / "clinicdb_png")
        assert tif.ids() == png.ids()
        for index in range(len(tif.ids())):
            for left, right in zip(tif.read(index, 288), png.read(index, 288), strict=True):
                assert np.array_equal(left, right)

    def test_masks_are_thresholded_not_tested_for_zero(self) -> None:
        dataset = ClinicDb(SAMPLES / "clinicdb_png")
        path = dataset.samples[dataset.ids().index("2")].masks[0]
        values = np.asarray(Image.open(path).convert("L"))
        mask = dataset.read(dataset.ids().index("2"), 288)[1]
        assert (values > 0).sum() - (values >= 128).sum() == 9029
        assert mask.mean() == pytest.approx((values >= 128).mean(), abs=1e-3)

    def test_busi_unites_masks(self) -> None:
        dataset = Busi(SAMPLES / "busi", "malignant")
        index = dataset.ids().index("malignant (53)")
        parts = [np.asarray(Image.open(path).convert("L")) >= 128 for path in dataset.samples[index].masks]
        assert sorted(int(part.sum()) for part in parts) == [569, 15312]
        assert (parts[0] | parts[1]).sum() == 569 + 15312  # they are disjoint
        assert dataset.read(index, 224)[1].mean() == pytest.approx((parts[0] | parts[1]).mean(), abs=2e-3)

    def test_fuseg_stray_value_and_empties(self) -> None:
        dataset = Wound(SAMPLES / "wound")
        masks = {name: dataset.read(index, 512)[1] for index, name in enumerate(dataset.ids())}
        strays = 0
        for sample in dataset.samples:
            values = np.asarray(Image.open(sample.masks[0]).convert("L"))
            assert masks[sample.id].sum() == (values == 255).sum()
            strays += int((values == 32).sum())
        assert strays == 84
        assert sum(not mask.any() for mask in masks.values()) == 160 - len(
            Wound(SAMPLES / "wound", drop_empty=True).ids()
        )

    def test_reducing_while_decoding_changes_isic_by_two_levels_at_most(self) -> None:
        dataset = Isic(SAMPLES / "isic")
        mean, reduced = [], 0
        for index in range(0, 40, 2):
            image = dataset.read(index, 224)[0].astype(int)
            full = Image.open(dataset.samples[index].image)
            reduced += dataset.picture(index).width < full.width
            difference = abs(image - np.asarray(full.resize((224, 224), Image.Resampling.BILINEAR)))
            assert difference.max() <= 2
            mean.append(difference.mean())
        assert reduced > 10
        assert np.mean(mean) < 0.12
