"""Weights & Biases: complete runs without a login, and no failure that reaches the training."""

import json
import logging
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import wandb

from lightning_seg.training import wandb_run
from lightning_seg.training.wandb_logger import CellLogger
from lightning_seg.training.wandb_run import has_login
from tests.conftest import Train
from tests.wandb_files import read_run

ADDRESS = ("default", "synthetic", "tiny", "bce", "repeat_0")
CELL = Path("multirun/default/synthetic/tiny")


@pytest.mark.slow
def test_runs_of_one_process_offline(train: Train) -> None:
    """Without a login nothing is asked for, each run has its own record, and a failed one ends as failed."""
    wandb_on = ("-m", "logger=default", "loss=failing,bce", "repeat=0,1", "logger.wandb.tags=[mine]")
    training = train(*wandb_on, code=1)
    files = sorted((train.directory / CELL).rglob("*.wandb"))
    assert [path.relative_to(train.directory / CELL).parts[:2] for path in files] == [
        (loss, f"repeat_{repeat}") for loss in ("bce", "failing") for repeat in (0, 1)
    ]
    runs = [read_run(path) for path in files]
    assert len({known["run"].run_id for known in runs}) == 4
    assert [known["exit_code"] for known in runs] == [0, 0, 1, 1]
    assert [len([row for row in known["history"] if "val_dice" in row]) for known in runs] == [2, 2, 1, 1]

    known = runs[0]
    assert [row["epoch"] for row in known["history"] if "val_dice" in row] == [1, 2]
    run, cell = known["run"], train.directory / CELL / "bce/repeat_0"
    assert (run.project, run.run_group, run.job_type) == ("lightning-seg", "synthetic/tiny/bce", "bce")
    assert run.display_name == "synthetic tiny bce repeat_0"
    assert set(run.tags) == {"default", "synthetic", "tiny", "bce", "mine"}
    assert known["config"]["dataset"]["count"] == 24 and known["config"]["loss"]["name"] == "bce"
    record = json.loads((cell / "result.json").read_text())
    for metric, value in record["test"].items():
        assert known["summary"][f"test_{metric}"] == value
    examples = known["history"][-1]
    assert examples["test_examples/count"] == 4
    assert all(set(masks) == {"truth", "prediction"} for masks in examples["test_examples/all_masks"])
    assert len(list(cell.rglob("media/images/*.png"))) == 4
    assert "Traceback" not in training.stderr

    # Resumed, a run has the same id.
    train("-m", "logger=default", "loss=failing", "repeat=0", environment={"REPAIRED": "1"})
    again = sorted((train.directory / CELL / "failing/repeat_0").rglob("*.wandb"))
    assert len({read_run(path)["run"].run_id for path in again}) == 1
    assert {read_run(path)["exit_code"] for path in again} == {0, 1}


@pytest.mark.slow
def test_a_server_that_cannot_be_reached(train: Train) -> None:
    training = train(
        "-m",
        "logger=default",
        "loss=bce",
        "repeat=0,1",
        environment={"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"},
        constants={"lightning_seg.training.wandb_run.PATIENCE_SECONDS": 2.0},
    )
    assert training.stderr.count("W&B cannot be reached") == 1  # the second run did not try
    assert len(list((train.directory / CELL).rglob("result.json"))) == 2
    offline = sorted((train.directory / CELL).rglob("offline-run-*/*.wandb"))
    assert [read_run(path)["exit_code"] for path in offline] == [0, 0]


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="lightning_seg")
    return caplog


def broken_run(error: Exception) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return SimpleNamespace(log=fail, finish=fail, summary=SimpleNamespace(update=fail), id="x", name="x")


@pytest.mark.parametrize("error", [OSError("No space left on device"), RuntimeError("lost\nconnection")])
def test_a_logger_that_raises_only_warns(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wandb, "init", lambda **_: broken_run(error))
    logger = CellLogger(ADDRESS, tmp_path, {}, project="p", mode="offline")
    logger.log_metrics({"val_dice": 0.5}, step=1)
    logger.log_metrics({"val_dice": 0.6}, step=2)
    empty = np.zeros((4, 4), dtype=bool)
    logger.log_test({"dice": 0.5}, [("a", np.zeros((4, 4, 3), dtype=np.uint8), empty, empty)])
    logger.close(0)
    (message,) = messages.messages
    assert "training goes on" in message and "\n" not in message and not logger.works


@pytest.mark.slow
def test_training_without_a_logger_that_does_not_start(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(wandb, "init", fail)
    code, _, err = train.here("logger=default", "logger.wandb.mode=offline", "loss=bce", "trainer.max_epochs=1")
    assert code == 0 and "W&B logging is off for this run (OSError: No space left on device)" in err
    assert (train.directory / CELL / "bce/repeat_0/result.json").is_file()


def test_an_upload_that_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()
    run = SimpleNamespace(finish=lambda *_, **__: released.wait(60), id="x", name="x")
    monkeypatch.setattr(wandb, "init", lambda **_: run)
    monkeypatch.setattr(wandb_run, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(wandb_run, "unreachable", threading.Event())
    CellLogger(ADDRESS, tmp_path, {}, project="p", mode="offline").close(0)
    released.set()
    assert "wandb sync" in messages.text


@pytest.mark.parametrize(
    ("configured", "environment", "login", "expected"),
    [
        ("auto", None, False, "offline"),
        ("auto", None, True, "online"),
        ("auto", "offline", True, "offline"),
        ("auto", "disabled", False, "disabled"),
        ("offline", "online", True, "offline"),
    ],
)
def test_modes(
    configured: str,
    environment: str | None,
    login: bool,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modes: list[str] = []
    monkeypatch.setattr(wandb, "init", lambda mode, **_: modes.append(mode) or broken_run(OSError()))
    monkeypatch.setattr(wandb_run, "unreachable", threading.Event())
    monkeypatch.setattr(wandb_run, "has_login", lambda: login)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if environment:
        monkeypatch.setenv("WANDB_MODE", environment)
    CellLogger(ADDRESS, tmp_path, {}, project="p", mode=configured)
    assert modes == [expected]


def test_login_is_looked_for_but_never_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert not has_login()
    (tmp_path / "netrc").write_text("this is no netrc file")
    assert not has_login()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password 0123456789")
    assert has_login()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_login()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert has_login()
