"""The summary run, read back from its offline file."""

import json
from pathlib import Path
from typing import Any

import pytest
import wandb

from lightning_seg.dashboard.project import project_of
from lightning_seg.dashboard.summary import log_summary
from lightning_seg.training.wandb_run import run_id
from tests.report.make_study import write_run
from tests.wandb_files import read_run


def read(folder: Path) -> dict[str, Any]:
    wandb.teardown()  # the file is whole
    (file,) = folder.glob("*.wandb")
    return read_run(file)


def test_it_carries_tables_figures_and_the_page(report: Path) -> None:
    folder = log_summary(report, "lesions", "my-project", "my-team")
    known = read(folder)
    run = known["run"]
    assert (run.project, run.entity, run.job_type, run.run_group) == ("my-project", "my-team", "summary", "lesions")
    assert run.run_id == run_id("lesions", "summary") and set(run.tags) == {"lesions", "summary"}
    assert known["config"]["study"] == "lesions" and known["exit_code"] == 0

    (row,) = known["history"]
    table = json.loads((folder / "files" / row["table_losses/path"]).read_text())
    assert table["columns"] == ["Loss", "Mean", "Verdict"]
    assert table["data"] == [["Dice", 0.8125, "highest mean"], ["Gamma", None, "worse"]]
    assert row["table_coverage/nrows"] == 1
    assert (row["figure_pairs/width"], row["figure_pairs/height"]) == (8, 6)
    assert (folder / "files" / row["figure_intervals/path"]).read_bytes().startswith(b"\x89PNG")

    (page,) = [artifact for artifact in known["artifacts"] if artifact.type == "report"]
    (entry,) = page.manifest.contents
    assert (page.name, entry.path) == ("report-lesions", "index.html")
    assert Path(entry.local_path).read_text() == "<p>the first answer</p>"


def test_logged_again_it_is_the_same_run_with_the_new_report(report: Path) -> None:
    first = log_summary(report, "lesions", "p")
    name = read(first)["run"].run_id
    (report / "index.html").write_text("<p>the second answer</p>")
    (report / "tables" / "coverage.csv").unlink()
    second = log_summary(report, "lesions", "p")
    known = read(second)
    assert known["run"].run_id == name != run_id("other", "summary")
    assert "table_coverage/path" not in known["history"][0]
    assert (second / "index.html").read_text() == "<p>the second answer</p>"
    # What was never uploaded need not be: one offline run is left.
    assert {folder.resolve() for folder in report.glob("wandb/offline-run-*")} == {second.resolve()}


def test_without_an_answer_of_the_server_it_is_kept_offline(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("lightning_seg.training.wandb_run.PATIENCE_SECONDS", 1.0)
    folder = log_summary(report, "lesions", "p")
    assert folder.name.startswith("offline-run-") and read(folder)["exit_code"] == 0


def test_the_project_is_that_of_the_studys_runs(study: Path) -> None:
    assert project_of(study) == ("lightning-seg", None)
    folder = study / "wound" / "unet" / "dice" / "repeat_0"
    rows = [("a", 1, 0, 0, 9, 1.0, 1.0, 1.0, 1.0, 0.1)]
    config = {"logger": {"csv": True, "wandb": {"project": "mine", "entity": "team"}}}
    write_run(folder, "wound", "unet", "dice", 0, rows, config=config)
    assert project_of(study) == ("mine", "team")
