"""Studies that end when they are settled: what is trained, when it ends, and that it goes on."""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lightning_seg.advise.settling import LEVELS, Answer, Bounds, follow, in_order
from lightning_seg.advise.studying import Grid, Settled, settle
from lightning_seg.advise.words import left_sentences
from lightning_seg.errors import UserError

MEANS = {"dice": 0.80, "bce": 0.77, "focal": 0.60}
MODELS = ("unet", "colonsegnet")


def study(means: dict[str, float], datasets: int = 2, noise: float = 0.004, seed: int = 0) -> pd.DataFrame:
    """A made-up full grid of two models and five repeats."""
    units = list(product([f"d{n}" for n in range(datasets)], MODELS, range(5)))
    dice = np.random.default_rng(seed).normal(0, noise, (len(units), len(means))) + list(means.values())
    return pd.DataFrame(dice, pd.MultiIndex.from_tuples(units, names=LEVELS), list(means))


def units_of(table: pd.DataFrame) -> list[tuple[str, str, int]]:
    return in_order(list(table.index), dict.fromkeys(table.index.droplevel("repeat"), 1.0))


def test_every_dataset_and_network_comes_before_any_repeat_and_cheap_ones_first() -> None:
    units = [("a", "slow", 0), ("a", "slow", 1), ("a", "fast", 0), ("a", "fast", 1)]
    ordered = in_order(units, {("a", "slow"): 9.0, ("a", "fast"): 1.0})
    assert ordered == [("a", "fast", 0), ("a", "slow", 0), ("a", "fast", 1), ("a", "slow", 1)]


def test_a_loss_far_behind_is_left_and_a_clear_winner_settles_it() -> None:
    table = study(MEANS)
    end = follow(table, list(MEANS), units_of(table))
    assert (end.answer, end.losses[0], end.todo) == (Answer.WINNER, "dice", None)
    assert end.seen < len(table) / 2


def test_equal_losses_are_settled_as_no_winner() -> None:
    table = study(dict.fromkeys(MEANS, 0.8))
    end = follow(table, list(MEANS), units_of(table))
    assert end.answer is Answer.NONE and end.chance is not None and end.chance < Bounds().untold
    assert end.seen < len(table) / 2


def test_what_is_not_there_is_asked_for_of_the_losses_left_alone() -> None:
    table = study({"dice": 0.8, "bce": 0.799, "focal": 0.6}, noise=0.002, seed=3)
    units = units_of(table)
    table["focal"] = [0.6 if units.index(unit) < 6 else np.nan for unit in table.index]
    bounds = Bounds(told=1.0, untold=-1.0)  # so that only a drop lets it go on without Focal
    end = follow(table, list(table.columns), units, bounds)
    assert [gone.loss for gone in end.dropped] == ["focal"] and end.answer is Answer.ENDED


def test_without_bounds_it_takes_the_full_grid() -> None:
    table = study(MEANS)
    end = follow(table, list(MEANS), units_of(table), Bounds(told=1.0, untold=-1.0, dropped=1.0))
    assert (end.answer, end.seen, end.dropped) == (Answer.ENDED, len(table), [])


class Trainer:
    """Writes the records that training would leave, and remembers what it was asked for."""

    def __init__(self, root: Path, fails: Sequence[str] = ()) -> None:
        self.root, self.fails = root, fails
        self.asked: list[dict[str, str]] = []

    def __call__(self, arguments: Sequence[str]) -> int:
        given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        self.asked.append(given)
        for loss in set(given["loss"].split(",")).difference(self.fails):
            noise = np.random.default_rng([int(given["repeat"]), *map(ord, loss + given["model"])]).normal(0, 0.004)
            place = self.root / "s" / "synthetic" / given["model"] / loss / f"repeat_{given['repeat']}"
            place.mkdir(parents=True, exist_ok=True)
            record = {"status": "finished", "test": {"dice": MEANS[loss] + noise}, "seconds": {"fit": 1.0}}
            (place / "result.json").write_text(json.dumps(record))
        return 1 if self.fails else 0


def run(trainer: Trainer, *overrides: str, seconds: float = 1e9) -> tuple[Settled, list[str]]:
    common = ["study=s", f"output_dir={trainer.root}", f"model={','.join(MODELS)}", f"loss={','.join(MEANS)}"]
    told: list[str] = []
    grid = Grid([*common, *overrides])
    return settle(grid, seconds, lambda a, b: told.extend(left_sentences(a, b)), lambda line: None, trainer), told


def test_a_study_is_trained_unit_by_unit_and_a_second_call_trains_nothing(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    settled, _ = run(trainer)
    first, second, third = ((given["model"], given["repeat"]) for given in trainer.asked[:3])
    assert {first, second} == {(model, "0") for model in MODELS} and third == (first[0], "1")
    assert set(trainer.asked[0]["loss"].split(",")) == set(MEANS)
    assert settled.end.answer is Answer.WINNER and settled.runs[0] < settled.runs[1] == 30
    again = Trainer(tmp_path)
    assert run(again)[0] == settled and again.asked == []


def test_it_ends_with_the_time_and_with_failures(tmp_path: Path) -> None:
    settled, _ = run(Trainer(tmp_path), seconds=0.0)
    assert settled.out_of_time and settled.runs[0] == len(MEANS) and settled.end.answer is Answer.OPEN
    failing = Trainer(tmp_path / "failing", fails=["bce"])
    settled, _ = run(failing)
    assert settled.code == 1 and len(failing.asked) == 1


@pytest.mark.parametrize("wrong", [["loss=dice"], ["repeat=0"], ["rerun=true"]])
def test_a_grid_that_cannot_be_settled_is_refused(tmp_path: Path, wrong: list[str]) -> None:
    with pytest.raises(UserError):
        run(Trainer(tmp_path), *wrong)
