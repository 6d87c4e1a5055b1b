"""Traits of datasets, and which published one a dataset is most like."""

import csv
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_seg.advise.features import Features, measure_features, rank_by_likeness
from lightning_seg.advise.words import likeness_sentences, promising_losses
from lightning_seg.data import Folder, Wound
from lightning_seg.data.inspect import inspect_dataset
from lightning_seg.data.split import Fractions
from lightning_seg.errors import UserError

FRACTIONS = Fractions(0.6, 0.2, 0.2)
SHARED = Path(__file__).parents[3] / "shared" / "data"


def make_folder(root: Path, side: int, lesion: int, colours: list[tuple[int, int, int]]) -> Folder:
    """Images of (100, 100, 100) with a square lesion of each colour."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number, colour in enumerate(colours):
        image, mask = np.full((side, side, 3), 100, np.uint8), np.zeros((side, side), np.uint8)
        image[20 : 20 + lesion, 20 : 20 + lesion] = colour
        mask[20 : 20 + lesion, 20 : 20 + lesion] = 255
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return Folder(root, "mine")


def features_of(dataset: Folder | Wound) -> Features:
    return measure_features(inspect_dataset(dataset, FRACTIONS, 42, []))


def published() -> dict[str, Features]:
    return {likeness.name: likeness.features for likeness in rank_by_likeness(Features(1, 0.1, 0.05, 0.2, 0.1, 1, 0))}


def test_traits_are_those_that_were_painted(tmp_path):
    found = features_of(make_folder(tmp_path, 224, 56, [(49, 49, 49)] * 3 + [(151, 151, 151)]))
    assert (found.images, found.darker, found.colour) == (4, 0.75, 0.0)
    assert found.area == found.area_low == found.area_high == pytest.approx(1 / 16)
    assert found.contrast == pytest.approx(51 / 255, abs=1e-6)


def test_colour_is_told_from_grey(tmp_path):
    red = features_of(make_folder(tmp_path, 64, 32, [(255, 0, 0)] * 2))
    assert red.colour == pytest.approx(0.25, abs=0.02)  # a quarter of the image


def test_masks_without_lesions_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="none of its masks has a lesion"):
        features_of(make_folder(tmp_path, 64, 0, [(0, 0, 0)] * 2))


def test_each_published_dataset_is_most_like_itself():
    with files("lightning_seg.advise").joinpath("published_features.csv").open() as file:
        rows = {row["dataset"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"isic", "wound", "clinicdb", "kvasir", "breast_benign", "breast_malignant"}
    known = {
        likeness.name: likeness.features for likeness in rank_by_likeness(Features(100, 0.1, 0.05, 0.2, 0.1, 1, 0))
    }
    for name, features in known.items():
        ranked = rank_by_likeness(features)
        assert ranked[0].name == name and ranked[0].distance == 0
        assert int(rows[name]["images"]) == features.images
    nearest = {name: rank_by_likeness(features)[1].name for name, features in known.items()}
    assert nearest["kvasir"] == "clinicdb" and nearest["breast_benign"] == "breast_malignant"


def test_words_tell_the_distance_the_table_and_what_it_supports():
    wound = next(
        one.features for one in rank_by_likeness(Features(1, 0.1, 0.05, 0.2, 0.1, 1, 0)) if one.name == "wound"
    )
    text = " ".join(likeness_sentences(wound, rank_by_likeness(wound)))
    assert "most like Wound (FUSeg) (distance 0.0" in text
    assert "Dice 0.8070, IoUDice 0.8061, IoUFocal 0.8054 first, Focal 0.7702 last" in text
    assert "p = 0.0056" in text and "p = 0.24" in text
    strange = Features(20, 0.9, 0.85, 0.95, 0.5, 0.5, 0.9)
    assert likeness_sentences(strange, rank_by_likeness(strange))[0].startswith("It is unlike all six")


def test_losses_in_published_order():
    assert promising_losses("wound")[:3] == ["dice", "iou_dice", "iou_focal"]
    assert promising_losses("wound")[-1] == "focal"


@pytest.mark.slow
def test_a_part_of_a_published_dataset_is_most_like_the_whole():
    if not (SHARED / "wound").is_dir():
        pytest.skip("the real sample images are not beside this checkout (shared/data)")
    ranked = rank_by_likeness(features_of(Wound(SHARED / "wound")))
    assert ranked[0].name == "wound" and ranked[0].distance < ranked[1].distance / 1.5
