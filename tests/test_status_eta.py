"""What the status command estimates."""

from collections import Counter

import pytest

from lightning_seg.runs.folder import State
from lightning_seg.runs.record import Record
from lightning_seg.studies.status import CellStatus, time_left


def finished(seconds: float) -> Record:
    return Record(status="finished", seconds={"data": 0.0, "fit": seconds - 1, "test": 1.0})


def test_runs_last_as_those_of_their_dataset_and_model() -> None:
    cells = {
        ("a", "unet", "dice"): CellStatus(results=[finished(10), finished(14)], counts=Counter({State.MISSING: 1})),
        ("a", "unet", "bce"): CellStatus(counts=Counter({State.MISSING: 2, State.RUNNING: 1, State.FAILED: 1})),
        ("b", "unet", "bce"): CellStatus(results=[finished(100)]),
    }
    assert time_left(cells) == pytest.approx(5 * 12)


def test_an_unseen_pair_is_as_slow_as_its_dataset_and_its_model() -> None:
    cells = {
        ("a", "unet", "dice"): CellStatus(results=[finished(10)]),
        ("a", "fcn", "dice"): CellStatus(results=[finished(30)]),
        ("b", "unet", "dice"): CellStatus(results=[finished(20)]),
        ("b", "fcn", "dice"): CellStatus(counts=Counter({State.MISSING: 1})),
    }
    # mean 20; dataset b is 1.0 of it, fcn 1.5
    assert time_left(cells) == pytest.approx(30)


def test_nothing_is_estimated_without_a_finished_run_or_without_one_left() -> None:
    assert time_left({("a", "unet", "dice"): CellStatus(counts=Counter({State.MISSING: 3}))}) is None
    assert time_left({("a", "unet", "dice"): CellStatus(results=[finished(5)])}) is None
