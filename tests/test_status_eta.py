"""What the status command foretells."""

from typing import Any

import pytest

from lightning_seg.studies.status import Cell, time_left


def finished(seconds: float) -> dict[str, Any]:
    return {"seconds": {"data": 0.0, "fit": seconds - 1, "test": 1.0}}


def test_runs_last_as_those_of_their_dataset_and_model() -> None:
    cells = {
        ("a", "unet", "dice"): Cell(results=[finished(10), finished(14)], missing=1),
        ("a", "unet", "bce"): Cell(missing=2, running=1, failed=1),
        ("b", "unet", "bce"): Cell(results=[finished(100)]),
    }
    assert time_left(cells) == pytest.approx(5 * 12)


def test_an_unseen_pair_is_as_slow_as_its_dataset_and_its_model() -> None:
    cells = {
        ("a", "unet", "dice"): Cell(results=[finished(10)]),
        ("a", "fcn", "dice"): Cell(results=[finished(30)]),
        ("b", "unet", "dice"): Cell(results=[finished(20)]),
        ("b", "fcn", "dice"): Cell(missing=1),
    }
    # mean 20; dataset b is 1.0 of it, fcn 1.5
    assert time_left(cells) == pytest.approx(30)


def test_nothing_is_foretold_without_a_finished_run_or_without_one_left() -> None:
    assert time_left({("a", "unet", "dice"): Cell(missing=3)}) is None
    assert time_left({("a", "unet", "dice"): Cell(results=[finished(5)])}) is None
