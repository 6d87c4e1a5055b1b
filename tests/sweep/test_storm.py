"""Two processes over one study under SIGKILL; ``benchmarks/storm.py`` is the long form."""

import itertools

import pytest

from benchmarks.storm import Phase, Storm, differing, stray_files
from tests.conftest import Train, Training

GRID = ("-m", "dataset.name=north,south", "loss=iou,bce,iou_focal", "repeat=0,1", "trainer.max_epochs=10")
KEEP = ("checkpoint.every_minutes=0", "keep_weights=true")
KILLS = 12


class Shot:
    """A training command as the storm sees it."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.pid = training.process.pid

    def poll(self) -> int | None:
        return self.training.process.exitcode


@pytest.mark.slow
def test_every_run_ends_once_with_its_own_numbers(train: Train) -> None:
    train(*GRID, *KEEP, "study=calm")
    temporary = train.directory / "tmp"
    temporary.mkdir()
    options, constants = (*KEEP, "study=storm", "data.cache_dir=cache"), {"tempfile.tempdir": str(temporary)}
    starts = itertools.repeat(lambda: Shot(train.start(*GRID, *options, constants=constants)), 2)
    study, cache = train.directory / "multirun/storm", train.directory / "cache"
    storm = Storm(study, cache, list(starts), runs=12)
    storm.rage(KILLS, calm_seconds=60)
    assert storm.violations == []
    assert len(list(study.rglob("result.json"))) == 12
    assert differing(study, train.directory / "multirun/calm") == []
    assert stray_files(study, cache, temporary) == []
    # Most shots must hit runs at work; how many there is time for depends on the machine.
    assert storm.kills.total() - storm.kills[Phase.START] >= 1, storm.kills
