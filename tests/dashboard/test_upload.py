"""Uploading offline runs, by the real ``wandb sync``, to a stand-in for the server."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from lightning_seg.dashboard import upload
from lightning_seg.errors import UserError
from tests.dashboard.conftest import log_offline
from tests.wandb_files import read_run

CELLS = ("isic/unet/dice/repeat_0", "isic/unet/gamma=2/repeat_0", "wound/unet/dice/repeat_0")


@pytest.fixture
def runs(study: Path) -> list[Path]:
    """Offline runs a, b and c of three cells."""
    return [log_offline(study / cell, name) for cell, name in zip(CELLS, "abc", strict=True)]


@pytest.mark.slow
def test_each_run_is_uploaded_once_and_a_refused_one_later(runs: list[Path], command: Any, server: Any) -> None:
    server.refused = {"b"}
    result = command("sync")
    assert result.exit_code == 1
    assert "2 uploaded, 1 failed" in result.output
    (failure,) = [line for line in result.output.splitlines() if "permission denied" in line]
    assert runs[1].name in failure
    # What arrived is what the offline files hold.
    assert set(server.history) == {"a", "c"}
    (file,) = runs[0].glob("*.wandb")
    logged = [row["val_dice"] for row in read_run(file)["history"] if "val_dice" in row]
    assert [row["val_dice"] for row in server.history["a"].values()] == logged == [0.0, 0.25, 0.5]

    server.refused = set()
    server.calls.clear()
    result = command("sync")
    assert result.exit_code == 0 and "1 uploaded, 0 failed" in result.output
    assert {call["name"] for call in server.named("UpsertBucket")} == {"b"}

    server.calls.clear()
    assert "Nothing to upload" in command("sync").output
    assert server.calls == []


@pytest.mark.slow
def test_a_runs_folders_go_up_one_after_the_other_and_the_summary_last(
    study: Path, report: Path, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    again = runs[0].with_name("offline-run-99991231_000000-a")
    again.mkdir()
    (again / "run-a.wandb").write_bytes(b"")
    summary = report / "wandb" / "offline-run-20260101_000000-s"
    summary.mkdir(parents=True)
    (summary / "run-s.wandb").write_bytes(b"")
    started: list[list[Path]] = []
    monkeypatch.setattr(upload, "_sync", lambda folders: started.append(folders) or "")
    waiting, running = upload.find_offline(study)
    assert running == [] and waiting == [*runs, again, summary]
    results = list(upload.upload(waiting))
    assert [folders for folders in started if len(folders) > 1] == [runs, [again, summary]]
    assert {reason for _, reason in results} == {"W&B gave no reason"}  # nothing was marked


def test_runs_that_go_on_are_left_for_later(study: Path, command: Any) -> None:
    folder = study / CELLS[0]
    offline = folder / "wandb" / "offline-run-20260101_000000-a"
    offline.mkdir()
    (offline / "run-a.wandb").write_bytes(b"")
    (folder / "claim.json").write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
    result = command("sync")
    assert result.exit_code == 0
    assert "go on: 1" in result.output and "Nothing to upload" in result.output


def test_no_login_or_no_server_gives_a_sentence(study: Path, command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    offline = study / CELLS[0] / "wandb" / "offline-run-20260101_000000-a"
    offline.mkdir()
    (offline / "run-a.wandb").write_bytes(b"")
    result = command("sync")
    assert isinstance(result.exception, UserError) and "wandb login" in str(result.exception)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    result = command("sync")
    assert isinstance(result.exception, UserError) and "cannot be reached" in str(result.exception)


def test_an_upload_that_does_not_end_is_a_failure_of_all_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / f"offline-run-20260101_000000-{n}" for n in range(20)]
    for folder in folders:
        folder.mkdir()
        (folder / "run.wandb").write_bytes(b"")
    (folders[0] / "run.wandb.synced").write_bytes(b"")
    monkeypatch.setattr(upload, "PATIENCE_SECONDS", 0.001)
    assert [bool(reason) for _, reason in upload.upload(folders)] == [False] + [True] * 19
    assert {reason for _, reason in upload.upload(folders[1:])} == {"not uploaded, W&B did not end within 0 s"}
