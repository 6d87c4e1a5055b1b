"""Whether losses differ on a part of the images: the means, the false alarms, what is found, and a user's table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lightning_seg.errors import UserError
from lightning_seg.report.analysis import analyse
from lightning_seg.report.groups import groupings, read_groups
from lightning_seg.report.page import study_page
from lightning_seg.report.records import load_study
from lightning_seg.report.subgroup_tables import subgroup_tables
from lightning_seg.report.subgroups import Division, divisions, sentence
from tests.report.image_designs import ImageDesign, sites
from tests.report.make_study import make_study


def judged(design: ImageDesign, seed: int = 0) -> list[Division]:
    images = design.draw(np.random.default_rng(seed))
    return divisions(images, groupings(images, sites(images))[0])


def test_means_are_those_of_blocks_over_the_images_of_a_part():
    images = ImageDesign(empties=0.1).draw(np.random.default_rng(0))
    division = divisions(images, groupings(images)[0])[0]
    assert [subgroup.level.name for subgroup in division.subgroups][-1] == "no lesion"
    bounds = images.drop_duplicates("id").query("size > 0").groupby("dataset", observed=True)["size"].quantile(1 / 3)
    small = images[(images["size"] > 0) & (images["size"] <= images["dataset"].map(bounds).astype(float))]
    runs = small.groupby(["dataset", "model", "repeat", "loss"], observed=True)["dice"].mean()
    blocks = runs.groupby(["dataset", "model", "loss"], observed=True).mean()
    np.testing.assert_allclose(division.subgroups[0].here.means, blocks.groupby("loss", observed=True).mean())
    assert division.subgroups[0].level.images == small["id"].nunique()
    rest = images[(images["size"] > 0) & ~images.index.isin(small.index)]
    others = rest.groupby(["dataset", "model", "repeat", "loss"], observed=True)["dice"].mean()
    difference = (runs - others).groupby(["dataset", "model", "loss"], observed=True).mean()
    np.testing.assert_allclose(
        division.subgroups[0].beside.means, difference.groupby("loss", observed=True).mean(), atol=1e-12
    )


def test_equal_losses_raise_few_false_alarms_though_some_images_favour_one():
    # Without images' own noise a third of these do; benchmarks/subgroup_alarms.py has more studies.
    design = ImageDesign(3, 4, losses=6, pool=100, by_image=0.06)
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(20):
        images = design.draw(rng)
        found = divisions(images, groupings(images)[0])
        alarms += any(division.told for division in found) or any(s.worse for d in found for s in d.subgroups)
    assert alarms <= 3  # as 5 % of 20 are, in 98 of 100 cases


def test_a_loss_that_is_better_on_small_lesions_alone_is_told_and_no_other_division():
    size, contrast, site = judged(ImageDesign(1, 4, pool=400, on_small=0.06))
    assert size.told and not contrast.told and not site.told
    small, middle, large = size.subgroups
    assert list(small.worse) == small.order[1:] and small.order[0] == "l0" and not middle.worse and not large.worse
    text = sentence(size)
    assert "on lesions below" in text and "l0 is better than every other loss by" in text and "on the rest none" in text
    assert "no loss is told to gain or lose more" in sentence(site)


def test_a_loss_that_is_better_everywhere_is_no_matter_of_subgroups():
    found = judged(ImageDesign(2, 3, everywhere=0.05))
    assert not any(division.told for division in found)
    assert all(subgroup.order[0] == "l0" for division in found for subgroup in division.subgroups)


def test_intervals_and_p_values_of_a_part_agree():
    for division in judged(ImageDesign(1, 4, pool=400, on_small=0.06)):
        for subgroup in division.subgroups:
            means = subgroup.here.means
            difference = np.abs(means[:, None] - means[None, :])
            told = difference > subgroup.margins
            assert (told == (subgroup.p < 0.05))[~np.eye(len(means), dtype=bool)].all()


def test_a_column_that_is_the_dataset_has_no_rest_to_be_held_against():
    images = ImageDesign().draw(np.random.default_rng(0))
    table = images[["id"]].drop_duplicates().assign(hospital=lambda t: t["id"].astype(str).str[:2]).astype(str)
    division = divisions(images, groupings(images, table)[0])[-1]
    assert division.title == "hospital" and all(subgroup.beside is None for subgroup in division.subgroups)
    assert "nothing can be tested" in sentence(division)


def test_numbers_are_divided_into_thirds_and_rare_values_left_out():
    images = ImageDesign().draw(np.random.default_rng(0))
    table = images[["id"]].drop_duplicates().astype(str).reset_index(drop=True)
    table["age"] = [str(20 + n % 60) for n in range(len(table))]
    table["device"] = ["rare", *["a", "b"] * 1000][: len(table)]
    table.loc[5, "age"] = ""
    found, notes = groupings(images, table.iloc[:-3])
    age, device = found[-2:]
    assert [level.name[:5] for level in age.levels] == ["below", "of 37", "above"]
    assert sum(level.images for level in age.levels) == len(table) - 4
    assert [level.name for level in device.levels] == ["a", "b"]
    assert any("lacks 3 of" in note for note in notes) and any("values of device" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("image,site\na,1\n", "needs a column `id`"),
        ("id\na\n", "at least one more"),
        ("id,site\nd0_1,a\nd0_1,b\n", "'d0_1' twice"),
        ("id,site\nnowhere,a\n", "none of the study's test images"),
        ("id,site\n", r"groups\.csv is empty but"),
        ('id,site\n"a,1\n', "cannot be read as a CSV file"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_sentence(tmp_path, text, part):
    path = tmp_path / "groups.csv"
    path.write_text(text)
    images = ImageDesign(1, 1, pool=20).draw(np.random.default_rng(0))
    with pytest.raises(UserError, match=part):
        groupings(images, read_groups(path))


def test_ids_of_two_datasets_need_a_column_that_tells_them_apart():
    images = ImageDesign(pool=20).draw(np.random.default_rng(0))
    images["id"] = images["id"].astype(str).str[3:].astype("category")
    table = pd.DataFrame({"id": [str(n) for n in range(20)], "site": ["a", "b"] * 10})
    with pytest.raises(UserError, match="column `dataset` too"):
        groupings(images, table)
    both = pd.concat([table.assign(dataset=name) for name in ("d0", "d1")])
    assert groupings(images, both)[0][-1].title == "site"


def test_the_page_and_its_tables_have_them(tmp_path: Path):
    study = make_study(tmp_path / "demo", losses=["dice", "iou", "bce"], repeats=2, images=30, cases=0)
    ids = pd.read_csv(study / "isic/fcn/dice/repeat_0/test_images.csv")["id"]
    path = tmp_path / "groups.csv"
    pd.DataFrame({"id": ids, "site": ["north", "south"] * 15}).to_csv(path, index=False)
    analysis = analyse(load_study(study), draws=100, groups=read_groups(path))
    order, differences = subgroup_tables(analysis.for_whom)
    page = study_page(analysis, {}, {order.name: order, differences.name: differences})
    assert '<section id="subgroups">' in page and "The table of groups lacks" in page
    assert set(order.data["Divided by"]) == {"Lesion size", "Contrast", "site"}
    assert {"Dice", "IoU", "BCE"} < set(order.data)
    assert len(differences.data) == 2 * len(order.data) and (differences.data["Difference"] >= 0).all()
