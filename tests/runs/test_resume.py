"""A run that was killed ends, when started again, as if it had never been killed."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import Train, Training
from tests.outcome import outcome

STEPS = 2  # an epoch: 14 training images in batches of 8
RUN = "synthetic/tiny/deadly/repeat_0"
DIE_IN_SECOND_EPOCH = {"DIE_AT_STEP": str(STEPS + 1)}
SAVE_ALWAYS = ("loss=deadly", "checkpoint.every_minutes=0")


def leftovers(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.suffix in (".ckpt", ".tmp") or path.name == "claim.json"]


@pytest.mark.slow
def test_killed_in_every_epoch(train: Train) -> None:
    """Dropout, batch normalisation, Adam, a metric-driven scheduler and early stopping all go on where they were."""
    command = (
        *SAVE_ALWAYS,
        "trainer.max_epochs=30",
        "early_stopping.patience=3",
        "scheduler=plateau",
        "scheduler.patience=0",
        "optimizer.lr=0.03",
    )
    train(*command, "study=whole")
    whole = outcome(train.directory / "multirun/whole" / RUN)
    assert len(whole["epochs"]) < 30, "early stopping should have ended the run"
    assert len({epoch["learning_rate"] for epoch in whole["epochs"]}) > 1, "the scheduler should have acted"

    killed = train.directory / "multirun/killed" / RUN
    for _ in whole["epochs"][:-1]:
        train(*command, "study=killed", code=-9, environment=DIE_IN_SECOND_EPOCH)
        assert not (killed / "result.json").exists()
    # The last epoch ends training by itself, although its process knows of the earlier ones from the file alone.
    train(*command, "study=killed", environment=DIE_IN_SECOND_EPOCH)
    assert outcome(killed) == whole
    assert leftovers(killed) == []


@pytest.mark.slow
def test_killed_at_random_moments(train: Train) -> None:
    command = (*SAVE_ALWAYS, "scheduler=cosine", "trainer.max_epochs=40")
    train(*command, "study=whole")
    killed = train.directory / "multirun/killed" / RUN
    moments = random.Random(0)

    def saved(training: Training, before: set[int]) -> bool:
        return any(path.stat().st_mtime_ns not in before for path in killed.glob("*.ckpt"))

    kills = 0
    for _ in range(4):
        before = {path.stat().st_mtime_ns for path in killed.glob("*.ckpt")}
        training = train.start(*command, "study=killed")
        # Wait until it has got further than the one before, then kill it within the next few epochs.
        if not training.wait_until(lambda: saved(training, before)):  # noqa: B023 (called in this turn only)
            break
        time.sleep(moments.uniform(0, 0.15))
        training.kill()
        kills += training.process.exitcode == -9
    assert kills >= 2
    train(*command, "study=killed")
    assert outcome(killed) == outcome(train.directory / "multirun/whole" / RUN)
    assert leftovers(killed) == []


@pytest.mark.slow
def test_only_the_checkpoint_of_the_same_configuration_counts(train: Train) -> None:
    train(*SAVE_ALWAYS, code=-9, environment=DIE_IN_SECOND_EPOCH)
    (checkpoint,) = (train.directory / "multirun/default" / RUN).glob("resume-*.ckpt")
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 0  # nothing in it needs unpickling

    other = (*SAVE_ALWAYS, "optimizer.lr=0.02")
    refused = train(*other, code=2)
    assert "half-done run of another configuration (optimizer.lr was" in refused.stderr
    train(*other, "rerun=true")
    train(*other, "study=fresh")
    assert outcome(checkpoint.parent) == outcome(train.directory / "multirun/fresh" / RUN)
    assert leftovers(checkpoint.parent) == []


@pytest.mark.slow
def test_asked_to_stop(train: Train) -> None:
    """A first signal lets the epoch end and saves it, however rare checkpoints are."""
    command = ("loss=deadly", "checkpoint.every_minutes=5", "trainer.max_epochs=60")
    train(*command, "study=whole")
    directory = train.directory / "multirun/stopped" / RUN
    for number in (signal.SIGTERM, signal.SIGINT):
        training = train.start(*command, "study=stopped")
        epochs = len((directory / "metrics.csv").read_text().splitlines()) if directory.exists() else 1
        assert training.wait_until(
            lambda: (path := directory / "metrics.csv").exists() and len(path.read_text().splitlines()) > epochs + 1  # noqa: B023
        )
        os.kill(training.process.pid, number)
        assert training.wait() == 130
        assert "the same command goes on" in training.stderr and "Traceback" not in training.stderr
        assert not (directory / "error.txt").exists() and not (directory / "result.json").exists()
        assert not (directory / "claim.json").exists()
    train(*command, "study=stopped")
    assert outcome(directory) == outcome(train.directory / "multirun/whole" / RUN)


def test_checkpoints_are_rare_where_they_should_be(train: Train) -> None:
    train("loss=deadly", "checkpoint.every_minutes=5", code=-9, environment=DIE_IN_SECOND_EPOCH)
    directory = train.directory / "multirun/default" / RUN
    assert (directory / "metrics.csv").exists() and not list(directory.glob("*.ckpt"))


def test_checkpoints_need_no_temporary_folder(train: Train) -> None:
    """What a killed process leaves there nobody removes."""
    train(*SAVE_ALWAYS, code=-9, environment=DIE_IN_SECOND_EPOCH, constants={"tempfile.tempdir": "/nowhere"})
    assert list((train.directory / "multirun/default" / RUN).glob("resume-*.ckpt"))
