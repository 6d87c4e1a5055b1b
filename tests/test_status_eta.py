"""What the status command estimates."""

import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from lightning_seg.catalogue import NETWORKS
from lightning_seg.runs.folder import RunFolder, State
from lightning_seg.runs.record import Record
from lightning_seg.studies.cost import static_cost
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.studies.left import seconds_left
from lightning_seg.studies.status import CellStatus, print_status, time_left


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
    assert time_left({("a", "unet", "dice"): CellStatus(results=[finished(5)])}) == 0


def test_what_the_first_run_of_a_dataset_does_once_is_not_counted_for_the_others() -> None:
    first = {"data": 300.0, "fit": 9.0, "test": 1.0}  # which decodes all images
    waiting = {("a", "unet"): 3}
    assert seconds_left({("a", "unet"): [first]}, waiting) == pytest.approx(3 * 10)
    second = {"data": 2.0, "fit": 11.0, "test": 1.0}
    assert seconds_left({("a", "unet"): [first, second]}, waiting) == pytest.approx(3 * (11 + 2))


def test_a_new_network_or_dataset_takes_more_or_less_as_published() -> None:
    """The first runs of a grid are of its first network, and the others may take ten times as long."""
    one = {"fit": 10.0}
    ratio = NETWORKS["fcbformer"].gmacs / NETWORKS["unet"].gmacs
    assert seconds_left({("mine", "unet"): [one]}, {("mine", "fcbformer"): 2}) == pytest.approx(20 * ratio)
    images = static_cost("isic", "unet") / static_cost("clinicdb", "unet")
    assert images > 1
    assert seconds_left({("clinicdb", "unet"): [one]}, {("isic", "unet"): 2}) == pytest.approx(20 * images)


@pytest.mark.parametrize("new", [("mine", "own_net"), ("other", "unet"), ("other", "own_net")])
def test_what_nothing_tells_of_is_not_known_yet(new: tuple[str, str]) -> None:
    assert seconds_left({("mine", "unet"): [{"fit": 10.0}]}, {("mine", "unet"): 1, new: 1}) is None
    assert seconds_left({("mine", "unet"): [{"fit": 10.0}]}, {("mine", "unet"): 1, new: 0}) == 10


@pytest.mark.parametrize("trials", [0, 1])
def test_status_says_that_the_time_is_not_known_yet(trials: int, tmp_path: Path) -> None:
    """Where trials have finished and no run has, the runs' time is not theirs."""
    study = StudyFolder(tmp_path / "s")
    study.announce([RunFolder(study.path / "a" / "unet" / "dice" / f"repeat_{k}") for k in range(4)])
    for k in range(trials):
        trial = RunFolder(study.trials / "lr=0.1" / "a" / "unet" / "dice" / f"repeat_{k}")
        trial.path.mkdir(parents=True)
        trial.write(finished(10))
        StudyFolder(trial.study).announce([trial, RunFolder(trial.path.parent / "repeat_9")])
    text = io.StringIO()
    print_status(study, Console(file=text, width=200))
    assert "time left not known yet" in text.getvalue() and "left with" not in text.getvalue()
