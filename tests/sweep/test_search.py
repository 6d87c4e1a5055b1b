"""Optuna as the sweeper."""

import importlib.util
import json

import pytest
import yaml

from tests.conftest import Train

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper") is None,
    reason="the sweeper of the extra 'optuna' is not installed",
)
SEARCH = (
    "-m",
    "loss=bce",
    "hydra.sweeper.n_trials=3",
    "optimizer.lr=interval(0.001,0.1)",
    "study='lr_${optimizer.lr}'",
)


@pytest.mark.slow
def test_the_best_validation_dice_is_found(train: Train) -> None:
    training = train(*SEARCH, "hydra/sweeper=optuna")
    records = [json.loads(path.read_text()) for path in train.directory.rglob("result.json")]
    assert len(records) == 3 and {record["repeat"] for record in records} == {0}
    best = yaml.safe_load((train.directory / "multirun/optimization_results.yaml").read_text())
    assert best["best_value"] == max(record["best_val_dice"] for record in records)
    lr = best["best_params"]["optimizer.lr"]
    assert (train.directory / f"multirun/lr_{lr}").is_dir()
    assert "Best parameters" in training.stderr


@pytest.mark.slow
def test_a_search_for_the_lowest_dice_is_refused(train: Train) -> None:
    training = train(*SEARCH, "hydra/sweeper=search", "hydra.sweeper.direction=minimize", code=2)
    assert "is minimize" in training.stderr and "Traceback" not in training.stderr
    assert not list(train.directory.rglob("result.json"))
