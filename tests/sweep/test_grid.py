"""Grids: what is run, what is not, and that no run harms another."""

import json
import math
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from lightning_seg.catalogue import NETWORKS
from lightning_seg.config.compose import CONFIG_DIR
from lightning_seg.config.datasets import check_datasets
from lightning_seg.errors import UserError
from lightning_seg.runs.failure import FailedElsewhereError
from lightning_seg.runs.fingerprint import flatten
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.position import position
from lightning_seg.runs.record import Record
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.sweep.cells import Cell, FlatComposer, compose_cells, grid_axes, longest_first
from lightning_seg.sweep.grid import GridSweeper, Outcome
from tests.conftest import Train
from tests.parts import Tiny

STUDY = "multirun/default/synthetic/tiny"


def results(directory: Path) -> dict[str, int]:
    """When each run of a study was recorded."""
    return {
        path.parent.relative_to(directory).as_posix(): path.stat().st_mtime_ns
        for path in directory.rglob("result.json")
    }


@pytest.mark.slow
def test_failures_stay_alone(train: Train) -> None:
    grid = ("-m", "loss=failing,starving,bce", "repeat=0,1")
    first = train(*grid, code=1)
    study = train.directory / STUDY
    done = results(study)
    assert sorted(done) == ["bce/repeat_0", "bce/repeat_1"]
    for loss, reason in (
        ("failing", "ArithmeticError: the loss cannot"),
        ("starving", "OutOfMemoryError: CUDA out of"),
    ):
        for repeat in (0, 1):
            error = (study / f"{loss}/repeat_{repeat}/error.txt").read_text()
            assert "Traceback" in error and reason in error
            assert f"\n{STUDY}/{loss}/repeat_{repeat}\n" in first.stdout
    assert "2 ran, 4 failed" in first.stdout and "Traceback" not in first.stderr
    assert not list(study.rglob("claim.json"))

    # The same line runs what failed, and only that.
    second = train(*grid, environment={"REPAIRED": "1"})
    assert "4 ran, 2 skipped" in second.stdout
    after = results(study)
    assert len(after) == 6 and done.items() <= after.items()
    assert not list(study.rglob("error.txt"))

    # Once more it runs nothing, in less than no time since torch is not even imported.
    third = train(*grid)
    assert "6 skipped" in third.stdout and "0 to run" in third.stderr and results(study) == after

    # Another configuration is refused before anything starts.
    code, _, message = train.here(*grid, "data.batch_size=4", "study=default")
    assert code == 2 and "data.batch_size was 8 and is now 4" in message and results(study) == after


@pytest.mark.slow
def test_what_another_process_has_tried_is_left_alone(train: Train) -> None:
    """A failure that is newer than the sweep can only be another process's."""
    error = train.directory / STUDY / "bce/repeat_0/error.txt"
    error.parent.mkdir(parents=True)
    error.write_text("ArithmeticError: over there")
    later = time.time() + 1000
    os.utime(error, (later, later))
    code, out, err = train.here("-m", "loss=bce,iou", "repeat=0")
    assert code == 1 and "1 ran, 1 failed" in out and "ArithmeticError: over there" in out
    assert "has failed in another process" in err and error.exists()
    # A retry is for all failures of the first pass, and so is the same line later.
    code, out, _ = train.here("-m", "loss=bce,iou", "repeat=0", "retry=1")
    assert code == 0 and "1 ran, 1 skipped" in out and not error.exists()


def test_a_run_that_has_failed_since_its_sweep_was_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "error.txt").write_text("ArithmeticError: over there")
    os.utime(tmp_path / "error.txt", (100.5, 100.5))
    RunFolder(tmp_path).refuse_failed()  # a run by itself
    monkeypatch.setenv("LIGHTNING_SEG_FAILED_SINCE", "100.5")
    RunFolder(tmp_path).refuse_failed()
    monkeypatch.setenv("LIGHTNING_SEG_FAILED_SINCE", "100.25")
    with pytest.raises(FailedElsewhereError, match="over there"):
        RunFolder(tmp_path).refuse_failed()


@pytest.mark.parametrize(("returned", "outcome"), [(None, Outcome.ELSEWHERE), (math.nan, Outcome.FAILED)])
def test_what_another_process_had_and_dropped_is_not_a_failure(
    tmp_path: Path, returned: float | None, outcome: Outcome
) -> None:
    """A parallel launcher's runs are judged when all of them have ended."""

    class Parallel:
        def launch(self, job_overrides: list[list[str]], initial_job_idx: int) -> list[JobReturn]:
            return [JobReturn(status=JobStatus.COMPLETED, _return_value=returned) for _ in job_overrides]

    config = {"output_dir": tmp_path, "study": "s", "dataset.name": "d", "model.name": "m", "loss.name": "l"}
    cell = Cell((), {**config, "repeat": 0, "rerun": False})
    sweeper: Any = GridSweeper(OmegaConf.create(), 0, False)
    sweeper.config, sweeper.launcher = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}), Parallel()
    outcomes: dict[RunFolder, Outcome] = {}
    sweeper._launch([cell], 0, 0.0, outcomes)
    assert outcomes == {cell.folder: outcome}


def test_the_time_left_is_that_of_runs_and_not_of_what_only_the_first_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"output_dir": tmp_path, "study": "s", "dataset.name": "d", "model.name": "m", "loss.name": "l"}
    cells = [Cell((), {**config, "repeat": repeat, "rerun": False, "data.cache_dir": "c"}) for repeat in range(3)]
    StudyFolder(tmp_path / "s").announce([cell.folder for cell in cells])
    sweeper: Any = GridSweeper(OmegaConf.create(), 0, False)
    sweeper.launcher = type("BasicLauncher", (), {})()
    told: list[str] = []

    def launch(batch: list[Cell], number: int, *_: object) -> None:
        told.append(position())
        batch[0].folder.path.mkdir(parents=True)
        batch[0].folder.write(Record(status="finished", seconds={"data": 1.0 if number else 500.0, "fit": 59.0}))

    monkeypatch.setattr(sweeper, "_launch", launch)
    monkeypatch.setenv("LIGHTNING_SEG_POSITION", "")  # so that what is set is undone
    sweeper._pass(cells, {}, 0.0)
    assert told == ["[1/3] ", "[2/3, 1 min 58 s left] ", "[3/3, 1 min 0 s left] "]


def dataset_of_parts(sources: dict[str, int]) -> None:
    if sources != {"left": 1, "right": 2}:
        raise UserError("not as it was configured")


def test_datasets_with_nested_options_are_opened() -> None:
    config = {"dataset._target_": f"{__name__}.dataset_of_parts", "dataset.sources.left": 1}
    check_datasets([{**config, "dataset.sources.right": 2}])
    with pytest.raises(UserError, match="not as it was configured"):
        check_datasets([config])


@pytest.mark.slow
def test_nothing_of_a_run_stays_in_memory(train: Train) -> None:
    before = set(Tiny.alive)
    code, _, _ = train.here("-m", "loss=failing,bce,starving", "repeat=0")
    assert code == 1
    assert set(Tiny.alive) == before


@pytest.mark.slow
def test_five_repeats_unless_told_otherwise_and_no_weights_kept(train: Train) -> None:
    code, out, _ = train.here("-m", "loss=bce", "trainer.max_epochs=1")
    assert code == 0 and "5 ran" in out
    study = train.directory / STUDY
    assert sorted(results(study)) == [f"bce/repeat_{repeat}" for repeat in range(5)]
    assert not list(study.rglob("*.safetensors"))
    announced = json.loads((train.directory / "multirun/default/cells.json").read_text())
    assert announced == [f"synthetic/tiny/bce/repeat_{repeat}" for repeat in range(5)]


def test_runs_that_would_share_a_folder_are_refused(train: Train) -> None:
    code, _, message = train.here("-m", "optimizer.lr=0.1,0.01", "repeat=0")
    assert code == 2 and "optimizer.lr=0.01" in message and "study=" in message
    code, _, message = train.here("-m", "loss=bce,bce", "repeat=0")
    assert code == 2 and "the same values twice" in message
    assert not (train.directory / "multirun").exists()


# --- composition of the cells ---


@pytest.fixture
def sweeper():  # type: ignore[no-untyped-def]
    """Makes sweepers of one configuration, as Hydra's main does."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()

        def make(*fixed: str) -> GridSweeper:
            made = GridSweeper.__new__(GridSweeper)
            made.loader = loader
            made.config = loader.load_configuration("config", list(fixed), run_mode=RunMode.MULTIRUN)
            return made

        yield make


def axes(sweeper: GridSweeper, *arguments: str) -> list[list[tuple[str, ...]]]:
    return grid_axes(OverridesParser.create(config_loader=sweeper.loader).parse_overrides(list(arguments)))


def composed(sweeper: GridSweeper, overrides: tuple[str, ...]) -> dict[str, Any]:
    """What a run with these arguments is given."""
    cfg = sweeper.loader.load_sweep_config(sweeper.config, list(overrides))
    with open_dict(cfg):
        del cfg["hydra"]
    return flatten(cfg)


CHOICES = {
    "dataset": "dataset=synthetic,wound,kvasir",
    "dataset.count": "dataset.count=8,9",  # with dataset=synthetic alone
    "model": "model=unet,colonsegnet",
    "model.width": "model.width=32,64",
    "model.name": "model.name='${loss.name}_${optimizer.lr}'",
    "loss": "loss=iou,bce,iou_focal",
    "loss.name": "loss.name='l${seed}'",
    "optimizer": "optimizer=adam,sgd",
    "optimizer.lr": "optimizer.lr=0.1,0.2",
    "scheduler": "scheduler=none,cosine,plateau",
    "trainer.max_epochs": "trainer.max_epochs=3,4",
    "seed": "seed=1,2",
    "data.batch_size": "data.batch_size=2,'${data.eval_batch_size}'",
    "data.fractions": "data.fractions={train:0.6,val:0.2,test:0.2},{train:0.5,val:0.25,test:0.25}",
    "+optimizer.weight_decay": "++optimizer.weight_decay=0.1,0.2",
    "data_dir": "data_dir=a,'${study}/b','${oc.env:HOME}'",
    "data.cache_dir": "data.cache_dir='${data_dir}/${dataset.name}/${seed}','${basename:${data_dir}}'",
    "study": "study='s_${dataset.name}_${trainer.max_epochs}'",
    "repeat": "repeat=1,2",
}


@pytest.mark.slow
@pytest.mark.parametrize("draw", range(5))
def test_cells_are_what_composing_each_in_full_would_give(sweeper, draw: int) -> None:  # type: ignore[no-untyped-def]
    made = sweeper()
    random_choices = random.Random(draw)
    keys = random_choices.sample(sorted(CHOICES), 5)
    if "dataset.count" in keys:
        keys = [key for key in keys if key != "dataset"]
    grid = axes(made, *(CHOICES[key] for key in keys))
    cells = list(compose_cells(grid, FlatComposer(made.loader, made.config)))
    assert len({cell.overrides for cell in cells}) == len(cells)
    for cell in random_choices.sample(cells, min(len(cells), 8)):
        assert cell.config == composed(made, cell.overrides), cell.overrides


@pytest.mark.slow
def test_the_whole_study(sweeper) -> None:  # type: ignore[no-untyped-def]
    made = sweeper("experiment=paper")
    params = made.config.hydra.sweeper.params
    grid = axes(made, *(f"{key}={value}" for key, value in params.items()))
    cells = list(compose_cells(grid, FlatComposer(made.loader, made.config)))
    assert len({cell.folder for cell in cells}) == 3600
    assert [cell.config["repeat"] for cell in cells] == [repeat for repeat in range(5) for _ in range(720)]
    for cell in random.Random(0).sample(cells, 8):
        assert cell.config == composed(made, cell.overrides)

    ordered = longest_first(cells)  # as a parallel launcher gets them
    assert [cell.config["repeat"] for cell in ordered] == [repeat for repeat in range(5) for _ in range(720)]
    models = [cell.config["model.name"] for cell in ordered[:720] if cell.config["dataset.name"] == "isic"]
    assert list(dict.fromkeys(models)) == sorted(NETWORKS, key=lambda name: -NETWORKS[name].gmacs)
    assert {cell.config["dataset.name"] for cell in ordered[:40]} == {"isic"}


def test_axes(sweeper) -> None:  # type: ignore[no-untyped-def]
    made = sweeper()
    grid = axes(made, "repeat=0,1,2", "loss=iou,bce", "model=unet,colonsegnet", "model.width=4,8", "repeat=3", "seed=7")
    assert grid == [
        [("repeat=3",)],  # the last one counts
        [("loss=iou",), ("loss=bce",)],
        [(f"model={name}", f"model.width={width}") for name in ("unet", "colonsegnet") for width in (4, 8)],
        [("seed=7",)],
    ]
