"""What is refused before its training begins leaves nothing behind, and nothing is said of where results go."""

import json
import re
from pathlib import Path

import pytest

from lightning_seg.config.compose import compose_config
from lightning_seg.config.datasets import check_datasets
from lightning_seg.errors import UserError
from lightning_seg.runs.fingerprint import flatten
from lightning_seg.runs.folder import RunFolder
from tests.conftest import Train
from tests.data import make_layouts as layouts

RUN = "multirun/default/mine/tiny/dice/repeat_0"


@pytest.fixture
def mine(train: Train) -> Path:
    """Eight pairs, a split of others, a table of groups that is none, and weights that are none."""
    for number in range(8):
        image, mask = layouts.lesion(number, 24, 24)
        layouts.save(image, train.directory / f"mine/images/{number}.png")
        layouts.save(mask, train.directory / f"mine/masks/{number}.png")
    (train.directory / "bare/images").mkdir(parents=True)
    layouts.save(image, train.directory / "bare/images/a.png")
    (train.directory / "other.json").write_text(json.dumps({"train": ["0"], "val": ["1"], "test": ["absent"]}))
    (train.directory / "groups.csv").write_text("a,b\n1,2\n")
    return train.directory


def test_data_that_cannot_be_used_are_told_without_reading_images(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    good = flatten(compose_config(["dataset=folder", "dataset.root=mine"]))
    check_datasets([good])
    for changes, sentence in (
        ({"dataset.root": "absent"}, "the folder absent does not exist"),
        ({"dataset.root": "bare"}, "no mask belongs to it"),
        ({"data.split": "other.json"}, "names 1 image that dataset 'mine' lacks"),
        ({"data.split": "official"}, "has no official split"),
        ({"data.split": "grouped", "data.groups": "groups.csv"}, "columns 'id' and 'group'"),
        ({"data.fractions.train": 0.98, "data.fractions.val": 0.01, "data.fractions.test": 0.01}, "too few"),
        ({"external": ["kvasir"]}, "tests on 'kvasir'"),
    ):
        with pytest.raises(UserError, match=re.escape(sentence)):
            check_datasets([good, {**good, **changes}])


@pytest.mark.parametrize("grid", [(), ("-m",)])
def test_that_is_told_before_anything_is_written(grid: tuple[str, ...], train: Train, mine: Path) -> None:
    code, _, told = refuse(train, *grid, "dataset.root=absent")
    assert code == 2 and "the folder absent does not exist" in told and "results go to" not in told
    assert not (mine / "multirun").exists()


def test_what_is_found_out_before_training_begins(train: Train, mine: Path) -> None:
    code, _, told = refuse(train, "+model.odd=1")
    assert code == 2 and "odd" in told
    assert not (mine / "multirun").exists()

    other = mine / "multirun/default/mine/unet/dice/repeat_0"
    other.mkdir(parents=True)
    code, _, told = refuse(train, "dataset.lesion=77")
    assert code == 2 and "dataset.lesion=77 occurs in no mask" in told
    left = {path for path in (mine / "multirun").rglob("*") if path.name != ".lock"}
    assert left == {other, *other.parents[:4]}

    refuse(train, "-m", "dataset.lesion=77", "study=grid")  # in which a failure is one of the study's
    assert RunFolder(mine / RUN.replace("default", "grid")).failure() is not None


def refuse(train: Train, *arguments: str) -> tuple[int, str, str]:
    root = () if any("root=" in each for each in arguments) else ("dataset.root=mine",)
    small = ["model=tiny", "loss=dice", "trainer=cpu", "logger=csv", "data.image_size=16", "trainer.max_epochs=1"]
    conf = f"--config-dir={Path(__file__).parents[1] / 'conf'}"
    return train.here(conf, *small, "dataset=folder", *root, *arguments, small=False)
