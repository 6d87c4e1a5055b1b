"""Records come in as they are; what is damaged is told and left out."""

import json
import os
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lightning_seg.errors import UserError
from lightning_seg.report.comparison import compare, coverage, failed_runs
from lightning_seg.report.records import load_curves, load_study, write_tables
from tests.report.make_study import LOSSES, collapse_run, make_study, write_run

RUN = "isic/fcn/dice/repeat_0"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return make_study(tmp_path / "study", losses=LOSSES[:3], repeats=2)


def test_a_complete_study(directory):
    study = load_study(directory)
    assert len(study.runs) == 2 * 2 * 3 * 2 and set(study.runs["status"]) == {"finished"}
    assert len(study.images) == 24 * 12
    assert study.problems == study.differences == []
    means = study.images.groupby(["dataset", "model", "loss", "repeat"], observed=True)["dice"].mean()
    expected = study.runs.set_index(["dataset", "model", "loss", "repeat"])["test_dice"]
    np.testing.assert_allclose(means.sort_index(), expected.sort_index(), atol=1e-6)
    comparison = compare(study)
    assert comparison.left_out == [] and comparison.is_crossed
    assert comparison.blocks().shape == (4, 3)
    assert coverage(study.runs).loc["all", ["finished", "missing"]].tolist() == [24, 0]
    assert len(load_curves(study)) == 24 * 6


def test_tables_survive_the_round_trip(directory, tmp_path):
    study = load_study(directory)
    runs, images = write_tables(study, tmp_path)
    assert len(pd.read_parquet(runs)) == 24
    assert pd.read_parquet(images)["tp"].sum() == study.images["tp"].sum()


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("result.json", '{"status": "finished", "data', "result.json cannot be read"),
        ("result.json", "[]", "result.json cannot be read"),
        ("result.json", "{}", "it lacks"),
        ("test_images.csv", "id,tp,fp,fn,tn,dice,iou,precision,recall\na,1,2,3\n", "test_images.csv cannot be read"),
        ("test_images.csv", "id,dice\na,0.5\n", "test_images.csv cannot be read"),
        ("test_images.csv", "id,tp,fp,fn,tn,dice,iou,precision,recall\na,1,0,0,9,1.0,1.0,1.0,1.0\n", "averages 1.0000"),
        ("test_images.csv", "", "test_images.csv cannot be read"),
    ],
)
def test_damaged_files_are_told(directory, name, text, reason):
    (directory / RUN / name).write_text(text)
    study = load_study(directory)
    assert len(study.problems) == 1 and reason in study.problems[0] and RUN in study.problems[0]
    assert len(study.images) == 23 * 12
    assert len(study.runs) == 24


def test_other_keys_of_a_run_are_told(directory):
    path = directory / RUN / "result.json"
    record = json.loads(path.read_text()) | {"loss": "bce"}
    path.write_text(json.dumps(record))
    study = load_study(directory)
    assert "says loss 'bce' but lies in the folder of 'dice'" in study.problems[0]
    assert study.runs["status"].value_counts()["unreadable"] == 1


def test_failed_running_and_missing_runs_are_counted_and_left_out(directory):
    (directory / RUN / "result.json").unlink()
    (directory / RUN / "error.txt").write_text("Traceback\nRuntimeError: out of memory\n")
    (directory / "wound/fcn/iou/repeat_1/result.json").unlink()
    study = load_study(directory)
    counts = coverage(study.runs).loc["all"]
    assert counts[["finished", "failed", "missing"]].tolist() == [22, 1, 1]
    assert failed_runs(study.runs).loc["dice", ["failed", "cells"]].tolist() == [1, "isic/fcn (1)"]
    comparison = compare(study)
    assert comparison.pairs["dice"].groupby(level=["dataset", "model"]).size().to_dict() == {
        ("isic", "deeplabv3plus"): 2,
        ("isic", "fcn"): 1,
        ("wound", "deeplabv3plus"): 2,
        ("wound", "fcn"): 1,
    }
    assert comparison.left_out == [
        "isic / fcn uses 1 of 2 repeats: it lacks runs of dice.",
        "wound / fcn uses 1 of 2 repeats: it lacks runs of iou.",
    ]


def test_a_loss_without_a_shared_repeat_is_set_aside(directory):
    for path in directory.rglob("bce/repeat_*/result.json"):
        path.unlink()
    comparison = compare(load_study(directory))
    assert comparison.losses == ["dice", "iou"]
    assert comparison.left_out[0] == "bce has no usable run and is not compared."


def test_collapsed_runs_are_named(directory):
    collapse_run(directory / RUN)
    table = failed_runs(load_study(directory).runs)
    assert table["background"].to_dict() == {"bce": 0, "dice": 1, "iou": 0}
    assert table.loc["dice", "cells"] == "isic/fcn (1)"


def test_runs_of_another_config_are_not_compared(directory):
    rows = [(f"isic_{k}", 10, 0, 0, 90, 1.0, 1.0, 1.0, 1.0, 0.1) for k in range(12)]
    write_run(directory / RUN, "isic", "fcn", "dice", 0, rows, config={"trainer": {"max_epochs": 5}}, version="0.2.0")
    study = load_study(directory)
    assert "trainer.max_epochs is 200 in 5 runs, 5 in 1 run (1 dataset x model cell)." in study.differences
    assert any("different versions" in problem for problem in study.problems)
    comparison = compare(study)
    assert "1 usable run was made with other settings" in comparison.left_out[0]
    assert ("isic", "fcn", 0) not in comparison.pairs["dice"].index


def test_records_of_another_version_alone_are_one_note(directory):
    for path in directory.rglob("result.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"versions": {"lightning_seg": "0.0.1"}}))
    (problem,) = load_study(directory).problems
    assert problem.startswith("All runs were made by lightning-seg 0.0.1; this report is by ")


def test_runs_that_do_not_train_alike_are_told(directory):
    """A record without the field, of an older version, counts as the first form."""
    assert not any("train alike" in problem for problem in load_study(directory).problems)
    path = directory / RUN / "result.json"
    record = json.loads(path.read_text())
    assert "training_version" not in record
    path.write_text(json.dumps(record | {"training_version": 2}))
    study = load_study(directory)
    others = (study.runs["model"] == record["model"]).sum() - 1
    (problem,) = [problem for problem in study.problems if "train alike" in problem]
    assert problem.startswith(f"The runs of {record['model']} do not all train alike, {others} by version 1 and 1 by")


def test_nan_metrics_are_told(directory):
    path = directory / RUN / "result.json"
    record = json.loads(path.read_text())
    record["test"]["dice"] = float("nan")
    path.write_text(json.dumps(record))
    study = load_study(directory)
    assert "no finite test Dice" in study.problems[0]
    assert ("isic", "fcn", 0) not in compare(study).pairs["dice"].index


def test_announced_and_running_runs_are_known(directory):
    names = ["isic/unet/iou/repeat_0", RUN]
    (directory / "cells.json").write_text(json.dumps(names))
    (directory / "wound/unet/iou/repeat_0").mkdir(parents=True)
    owner = {"host": socket.gethostname(), "pid": os.getpid()}
    (directory / "wound/unet/iou/repeat_0/claim.json").write_text(json.dumps(owner))
    counts = coverage(load_study(directory).runs).loc["all"]
    assert counts[["finished", "missing", "running", "all"]].tolist() == [24, 1, 1, 26]
    for text in ("{", '["../../a/repeat_0"]', "3"):
        (directory / "cells.json").write_text(text)
        study = load_study(directory)
        assert len(study.runs) == 25 and "cells.json cannot be read" in study.problems[0]


def test_foreign_folders_are_passed_over(directory):
    (directory / "report").mkdir()
    (directory / "isic/fcn/dice/notes").mkdir()
    (directory / "isic/fcn/dice/repeat_x").mkdir()
    (directory / "isic/.cache/a/repeat_0").mkdir(parents=True)
    assert len(load_study(directory).runs) == 24


def test_empty_and_absent_studies(tmp_path):
    study = load_study(tmp_path)
    assert study.runs.empty and study.images.empty
    assert compare(study).losses == []
    assert len(coverage(study.runs)) == 1
    with pytest.raises(UserError, match="no study folder"):
        load_study(tmp_path / "absent")
