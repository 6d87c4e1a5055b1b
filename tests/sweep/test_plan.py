"""What is foretold of a grid."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lightning_seg.errors import UserError
from lightning_seg.models import UNet
from lightning_seg.sweep import plan as planning
from lightning_seg.sweep.cells import Cell, nested
from lightning_seg.sweep.plan import Epochs, EpochsKnown, Run, Sizes, grid_cells, make_plan, subset_sizes
from lightning_seg.sweep.plan_tables import print_plan, side_by_side
from lightning_seg.sweep.timing import Timing, time_training

TIMING = Timing(
    setup=2.0,
    train_step=0.1,
    eval_batch=0.01,
    epoch_end=0.5,
    peak_bytes=2 * 2**30,
    device_bytes=0,
    device="CPU",
    parameters=1000,
)


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    return [f"output_dir={tmp_path}", "dataset.count=100", "model=unet,colonsegnet", "loss=dice,bce", "logger=csv"]


def cell(**changes: Any) -> Cell:
    config = {
        "dataset.name": "a",
        "model.name": "unet",
        "data.batch_size": 8,
        "data.eval_batch_size": 16,
        "data.image_size": 100,
        "trainer.max_epochs": 200,
        "early_stopping.patience": 40,
        "cases": 4,
        "keep_weights": None,
    }
    return Cell((), config | changes)


def run(**changes: Any) -> Run:
    return Run(cell(**changes), Sizes(61, 20, 19), TIMING, Epochs(10, 5, 20, ""))


def test_seconds_of_a_run() -> None:
    epoch = 8 * 0.1 + 2 * 0.01 + 0.5  # 61 images in batches of 8, 20 in batches of 16
    once = 0.3 + 2.0 + 2 * 0.01
    assert run().seconds() == pytest.approx(once + 10 * epoch)
    assert run().seconds(20) == pytest.approx(once + 20 * epoch)


def test_weights_that_are_kept_are_counted() -> None:
    assert run(keep_weights=True).disk_bytes() - run().disk_bytes() == 4000


def test_examples_are_counted() -> None:
    assert run(cases=5).disk_bytes() - run(cases=4).disk_bytes() == 100 * 100 * 7


@pytest.mark.parametrize(
    ("dataset", "model", "expected"),
    [("a", "unet", 30), ("c", "unet", 40), ("a", "fcn", 40), ("c", "fcn", 50)],
    ids=["both", "model", "dataset", "study"],
)
def test_epochs_follow_the_nearest_finished_runs(dataset: str, model: str, expected: float) -> None:
    finished = [("a", "unet", 20), ("a", "unet", 40), ("b", "unet", 60), ("a", "esfpnet", 60), ("b", "esfpnet", 70)]
    known = EpochsKnown(dict(zip(("dataset", "model", "epochs"), values, strict=True)) for values in finished)
    assert known.of(cell(**{"dataset.name": dataset, "model.name": model})).expected == expected


def test_epochs_assumed_without_finished_runs() -> None:
    epochs = EpochsKnown([]).of(cell())
    assert (epochs.least, epochs.expected, epochs.most) == (41, 120.5, 200)


def test_a_short_run_cannot_stop_early() -> None:
    epochs = EpochsKnown([]).of(cell(**{"trainer.max_epochs": 30}))
    assert (epochs.least, epochs.expected, epochs.most) == (30, 30, 30)


def test_the_papers_grid() -> None:
    cells = grid_cells(["experiment=paper"])
    assert len(cells) == len({cell.directory for cell in cells}) == 3600
    assert [cell.config["repeat"] for cell in cells] == sorted(cell.config["repeat"] for cell in cells)


def test_overrides_are_those_of_train() -> None:
    cells = grid_cells(["experiment=paper", "dataset=wound", "model=unet,fcn", "repeat=3", "study=mine"])
    assert len(cells) == 2 * 10
    assert {cell.config["model.name"] for cell in cells} == {"unet", "fcn"}
    assert {cell.config["study"] for cell in cells} == {"mine"}


def test_a_wrong_override_is_one_sentence() -> None:
    with pytest.raises(UserError, match="There is no loss 'foo'"):
        grid_cells(["loss=foo"])


def test_a_published_dataset_need_not_be_here(tmp_path: Path) -> None:
    [isic] = grid_cells(["dataset=isic", f"dataset.root={tmp_path / 'absent'}", "repeat=0"])
    assert subset_sizes(isic) == Sizes(1650, 550, 550)


def test_an_unknown_dataset_must_be_here(tmp_path: Path) -> None:
    [own] = grid_cells(["dataset=folder", f"dataset.root={tmp_path / 'absent'}", "repeat=0"])
    with pytest.raises(UserError, match="does not exist"):
        subset_sizes(own)


def test_each_network_is_timed_once_and_finished_runs_are_left_out(small: list[str], monkeypatch: Any) -> None:
    timed: list[str] = []
    monkeypatch.setattr(planning, "_time", lambda cell, together: timed.append(cell.config["model.name"]) or [TIMING])
    cells = grid_cells(small)
    cells[0].directory.mkdir(parents=True)
    record = {"status": "finished", "dataset": "synthetic", "model": "unet", "epochs": 50}
    (cells[0].directory / "result.json").write_text(json.dumps(record))
    plan = make_plan(cells, announce=lambda name: None)
    assert timed == ["unet", "colonsegnet"]
    assert plan.done == cells[:1]
    assert [run.cell for run in plan.left] == cells[1:]
    assert {run.epochs.expected for run in plan.left} == {50}
    assert {run.sizes for run in plan.left} == {Sizes(60, 20, 20)}


def test_the_tables_add_up(small: list[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(planning, "_time", lambda cell, together: [TIMING] * together)
    plan = make_plan(grid_cells(small), side_by_side=True, announce=lambda name: None)
    text = io.StringIO()
    print_plan(plan, price_per_hour=2.0, console=Console(file=text, width=200))
    total = sum(run.seconds() for run in plan.left) / 3600
    assert "20 runs: 0 done, 20 left" in text.getvalue()
    assert f"{2 * total:.2f} in money" in text.getvalue()
    assert "2.00 x" in text.getvalue()
    assert "120, from 41 to 200" in text.getvalue()


def test_runs_that_fit_side_by_side() -> None:
    gpu = Timing(**{**vars(TIMING), "device_bytes": 80 * 2**30})
    assert side_by_side(gpu) == 29  # 95 % of 80 GiB, by 2 GiB and a process's own 0.6 GiB


def test_steps_are_really_timed(tmp_path: Path) -> None:
    overrides = ["trainer=cpu", "data.image_size=32", "data.batch_size=2", "model.width=4", "trainer.max_epochs=2"]
    [cell] = grid_cells([*overrides, "repeat=0", f"output_dir={tmp_path}"])
    timing = time_training(nested(cell.config))
    assert min(timing.setup, timing.train_step, timing.eval_batch, timing.epoch_end) > 0
    assert timing.parameters == sum(p.numel() for p in UNet(width=4).parameters())
    assert not any(tmp_path.iterdir())
