"""Optuna as the sweeper."""

import importlib.util
import json
import os
import signal

import pytest
import yaml

from tests.conftest import Train
from tests.parts import Tiny

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper") is None,
    reason="the sweeper of the extra 'optuna' is not installed",
)
SEARCH = (
    "-m",
    "hydra.sweeper.n_trials=3",
    "optimizer.lr=interval(0.001,0.1)",
    "study='lr_${optimizer.lr}'",
)


@pytest.mark.slow
def test_the_best_validation_dice_is_found(train: Train) -> None:
    storage = f"hydra.sweeper.storage=sqlite:///{train.directory}/trials.db"
    training = train(*SEARCH, "loss=bce", "hydra/sweeper=optuna", storage)
    records = [json.loads(path.read_text()) for path in train.directory.rglob("result.json")]
    assert len(records) == 3 and {record["repeat"] for record in records} == {0}
    best = yaml.safe_load((train.directory / "multirun/optimization_results.yaml").read_text())
    assert best["best_value"] == max(record["best_val_dice"] for record in records)
    lr = best["best_params"]["optimizer.lr"]
    assert (train.directory / f"multirun/lr_{lr}").is_dir()
    assert "Best parameters" in training.stderr
    assert (train.directory / "trials.db").is_file()


@pytest.mark.slow
def test_a_search_for_the_lowest_dice_is_refused(train: Train) -> None:
    training = train(*SEARCH, "loss=bce", "hydra/sweeper=search", "hydra.sweeper.direction=minimize", code=2)
    assert "is minimize" in training.stderr and "Traceback" not in training.stderr
    assert not list(train.directory.rglob("result.json"))


@pytest.mark.slow
def test_a_trial_that_fails_does_not_count(train: Train) -> None:
    failing = ("loss=failing,bce", "study='s_${loss.name}_${optimizer.lr}'", "hydra.sweeper.n_trials=6")
    before = set(Tiny.alive)
    code, _, message = train.here(*SEARCH, *failing, "hydra/sweeper=optuna")
    assert code == 0 and "Traceback" not in message, message
    assert set(Tiny.alive) == before, "nothing of a run stays in memory"
    records = list(train.directory.rglob("result.json"))
    errors = list(train.directory.rglob("error.txt"))
    assert records and errors and len(records) + len(errors) == 6
    assert "FAILED: the loss cannot be computed" in message
    best = yaml.safe_load((train.directory / "multirun/optimization_results.yaml").read_text())
    assert best["best_params"]["loss"] == "bce"

    code, _, message = train.here(
        *SEARCH, "loss=failing", "study='f_${optimizer.lr}'", "fail_fast=true", "hydra/sweeper=optuna"
    )
    assert code == 2 and "error: The search stops after the failure above" in message and "Traceback" not in message
    assert len(list(train.directory.glob("multirun/f_*/**/error.txt"))) == 1
    code, _, message = train.here(*SEARCH, "loss=failing", "hydra/sweeper=optuna")
    assert code == 2 and "error: Every trial failed" in message and "Traceback" not in message


def test_trials_that_would_share_a_folder_are_refused(train: Train) -> None:
    code, _, message = train.here(*SEARCH, "loss=bce", "study=one", "hydra/sweeper=optuna")
    assert code == 2 and "optimizer.lr=0.1 among them" in message and "study=" in message
    code, _, message = train.here(*SEARCH, "loss=bce", "data.batch_size=4,8", "hydra/sweeper=optuna")
    assert code == 2 and "data.batch_size=8 among them" in message
    code, _, message = train.here(*SEARCH, "loss=bce", "retry=1", "hydra/sweeper=optuna")
    assert code == 2 and "retry is for grids" in message
    assert not (train.directory / "multirun").exists()


@pytest.mark.slow
def test_a_search_that_was_stopped_goes_on(train: Train) -> None:
    command = (*SEARCH, "loss=bce", "hydra/sweeper=optuna", "trainer.max_epochs=30")
    training = train.start(*command)
    assert training.wait_until(lambda: len(list(train.directory.rglob("metrics.csv"))) == 2), training.stderr
    os.kill(training.process.pid, signal.SIGINT)
    assert training.wait() == 130
    assert "the same command goes on where this one stopped" in training.stderr
    assert "Traceback" not in training.stderr
    done = {path: path.stat().st_mtime_ns for path in train.directory.rglob("result.json")}
    (checkpoint,) = train.directory.rglob("resume-*.ckpt")
    train(*command)
    records = {path: path.stat().st_mtime_ns for path in train.directory.rglob("result.json")}
    assert len(done) == 1 and len(records) == 3 and done.items() <= records.items()
    assert checkpoint.parent / "result.json" in records
