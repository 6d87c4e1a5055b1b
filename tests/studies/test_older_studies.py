"""A study that version 0.1.0 has begun goes on with this one: read, skipped, resumed, reported as before."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from lightning_seg.report.comparison import compare
from lightning_seg.report.records import load_study
from lightning_seg.runs import fingerprint
from lightning_seg.runs.failure import FailureKind
from lightning_seg.runs.fingerprint import AddedKey, essential
from lightning_seg.runs.folder import RunFolder, State
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.studies.status import read_study
from tests.conftest import Train

FIXTURES = Path(__file__).parents[1] / "fixtures"
SETTINGS = (
    "study=before",
    "trainer=cpu",
    "logger=csv",
    "data.image_size=32",
    "dataset.count=20",
    "model.width=2",
    "trainer.max_epochs=6",
    "data.batch_size=4",
    "cases=1",
    "optimizer.lr=0.02",
    "checkpoint.every_minutes=0",
    "threads=1",
)
FINISHED = ("-m", *SETTINGS, "loss=dice,iou_focal", "repeat=0,1,2", "keep_weights=true")
STOPPED = (*SETTINGS, "loss=focal", "repeat=0")
NEW_KEY = AddedKey("optimizer.weight_decay", "0.2.0", 0.0)


@pytest.fixture
def study(train: Train) -> StudyFolder:
    """The study, as far as version 0.1.0 has brought it."""
    return StudyFolder(shutil.copytree(FIXTURES / "study_0_1_0", train.directory / "multirun" / "before"))


@pytest.fixture
def with_a_new_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """An argument that sets a key of which the study's records know nothing."""
    monkeypatch.setattr(fingerprint, "ADDED", (*fingerprint.ADDED, NEW_KEY))
    return f"+{NEW_KEY.name}={NEW_KEY.before}"


def epochs(folder: RunFolder) -> list[list[str]]:
    """The epochs in a run's table, without their seconds, which no two trainings share."""
    return [row[:-1] for row in csv.reader(folder.history.read_text().splitlines())]


def test_status_tells_the_same_states(study: StudyFolder) -> None:
    cells, problem = read_study(study)
    assert not problem
    assert {key[2]: len(cell.results) for key, cell in cells.items()} == {
        "bce": 1,
        "dice": 3,
        "failing": 0,
        "focal": 0,
        "iou_focal": 3,
    }
    assert cells["synthetic", "unet", "failing"].counts == Counter({State.FAILED: 1})
    assert cells["synthetic", "unet", "focal"].counts == Counter({State.MISSING: 1})
    failure = RunFolder(study.path / "synthetic/unet/failing/repeat_0").failure()
    assert failure is not None
    assert (failure.kind, failure.message) == (FailureKind.OTHER, "ArithmeticError: the loss cannot be computed")


def test_the_report_reads_the_same_table(study: StudyFolder) -> None:
    then = pd.read_csv(FIXTURES / "study_0_1_0_runs.csv", keep_default_na=True)
    then["best_epoch"] += 1  # as it is counted now
    now = load_study(study.path)
    text = ["dataset", "model", "loss", "status", "collapse", "error", "settings", "split", "path"]
    found = now.runs[list(then.columns)].copy()
    for column in text:
        assert list(found[column].fillna("")) == list(then[column].fillna("")), column
    numbers = [column for column in then if column not in text]
    pd.testing.assert_frame_equal(found[numbers].astype(float), then[numbers].astype(float))
    assert not [problem for problem in now.problems if "lightning-seg" not in problem]  # but for the version


def test_finished_runs_are_skipped(study: StudyFolder, train: Train) -> None:
    code, out, err = train.here(*FINISHED, small=False)
    assert (code, "6 skipped" in out) == (0, True), err


def test_finished_runs_are_skipped_although_there_is_a_new_key(
    study: StudyFolder, train: Train, with_a_new_key: str
) -> None:
    code, out, err = train.here(*FINISHED, with_a_new_key, small=False)
    assert (code, "6 skipped" in out) == (0, True), err


def test_a_new_key_with_another_value_is_another_configuration(
    study: StudyFolder, train: Train, with_a_new_key: str
) -> None:
    code, _, err = train.here(*FINISHED, f"+{NEW_KEY.name}=0.1", small=False)
    assert code == 2 and "optimizer.weight_decay was absent and is now 0.1" in err


def test_a_stopped_run_goes_on_and_is_compared_with_the_older_ones(
    study: StudyFolder, train: Train, with_a_new_key: str
) -> None:
    folder = RunFolder(study.path / "synthetic/unet/focal/repeat_0")
    before = epochs(folder)
    code, _, err = train.here(*STOPPED, with_a_new_key, small=False)
    assert code == 0, err
    after = epochs(folder)
    assert [row[0] for row in after[1:]] == ["1", "2", "3", "4", "5", "6"]  # as it is counted now
    assert [row[1:] for row in after[: len(before)]] == [row[1:] for row in before]
    assert "epoch 4" in folder.log.read_text()
    new = load_study(study.path).runs
    assert new.loc[new["loss"].isin(["focal", "dice"]), "settings"].nunique() == 1
    assert compare(load_study(study.path)).losses == ["dice", "focal", "iou_focal"]  # bce had another learning rate


def test_keys_that_are_gone_count_as_what_they_were() -> None:
    older = {"model._target_": "lightning_seg.models.UNet", "model.in_channels": 3, "model.classes": 1}
    assert essential({"model._target_": "lightning_seg.models.UNet"}) == essential(older)
    own = {"model._target_": "mine.Network"}
    assert essential(own) == own
