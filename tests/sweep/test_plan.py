"""What is estimated of a grid."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from rich.console import Console
from typer.testing import CliRunner

from lightning_seg.cli.app import app
from lightning_seg.config.compose import plain
from lightning_seg.config.datasets import check_datasets
from lightning_seg.data.cache import open_cache
from lightning_seg.errors import UserError
from lightning_seg.models import UNet
from lightning_seg.planning import estimate as planning
from lightning_seg.planning import tables
from lightning_seg.planning.estimate import FEWEST_RUNS, Epochs, EpochsKnown, PlannedRun, make_plan
from lightning_seg.planning.sizes import Sizes, cache_bytes, subset_sizes
from lightning_seg.planning.tables import print_plan, side_by_side
from lightning_seg.planning.timed import STEPS, Timing
from lightning_seg.planning.timing import time_training
from lightning_seg.runs.record import Record
from lightning_seg.sweep.cells import Cell, grid_cells, nested
from lightning_seg.wording import duration
from tests.conftest import PATIENCE_SECONDS, has_server

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
        "data.resident": False,
        "trainer.max_epochs": 200,
        "early_stopping.patience": 40,
        "cases": 4,
        "keep_weights": None,
    }
    return Cell((), config | changes)


def run(**changes: Any) -> PlannedRun:
    return PlannedRun(cell(**changes), Sizes(61, 20, 19), TIMING, Epochs(10, 5, 20, ""))


def test_seconds_of_a_run() -> None:
    epoch = 8 * 0.1 + 2 * 0.01 + 0.5  # 61 images in batches of 8, 20 in batches of 16
    once = (
        planning.BETWEEN_RUNS_SECONDS + 2.0 + 2 * 0.01 + 2 * 0.01
    )  # the test, and validation images once more by the best weights
    assert run().seconds() == pytest.approx(once + 10 * epoch)
    assert run().seconds(20) == pytest.approx(once + 20 * epoch)


def test_limits_of_an_epoch_count() -> None:
    def epoch(**limits: Any) -> float:
        return run(**limits).seconds(2) - run(**limits).seconds(1)

    assert epoch(**{"trainer.limit_train_batches": 2}) == pytest.approx(2 * 0.1 + 2 * 0.01 + 0.5)
    assert epoch(**{"trainer.limit_train_batches": 0.5}) == pytest.approx(4 * 0.1 + 2 * 0.01 + 0.5)
    assert epoch(**{"trainer.limit_val_batches": 1, "trainer.limit_train_batches": 99}) == pytest.approx(1.31)


def test_a_dataset_in_the_devices_memory_counts() -> None:
    assert run().peak_bytes() == TIMING.peak_bytes
    assert run(**{"data.resident": True}).peak_bytes() == TIMING.peak_bytes + 4 * 100 * 100 * 100


def test_weights_that_are_kept_are_counted() -> None:
    assert run(keep_weights=True).disk_bytes() - run().disk_bytes() == 4000


def test_two_checkpoints_are_there_at_once() -> None:
    assert run().checkpoint_bytes() == 2 * 4 * (1000 + 2 * 1000 + 1000)  # weights, Adam's two moments, best weights


def test_examples_are_counted() -> None:
    assert run(cases=5).disk_bytes() - run(cases=4).disk_bytes() == 100 * 100 * 7


@pytest.mark.parametrize(
    ("dataset", "model", "expected"),
    [("a", "unet", 30), ("c", "unet", 40), ("a", "fcn", 40), ("c", "fcn", 50)],
    ids=["both", "model", "dataset", "study"],
)
def test_epochs_follow_the_nearest_finished_runs(dataset: str, model: str, expected: float) -> None:
    finished = [("a", "unet", 20), ("a", "unet", 40), ("b", "unet", 60), ("a", "esfpnet", 60), ("b", "esfpnet", 70)]
    known = EpochsKnown(Record(status="finished", dataset=d, model=m, epochs=count) for d, m, count in finished)
    assert known.of(cell(**{"dataset.name": dataset, "model.name": model})).expected == expected


def test_a_few_finished_runs_tell_no_range() -> None:
    """One run that has stopped early does not say that all others will."""
    few, many = (
        EpochsKnown(Record(status="finished", dataset="a", model="unet", epochs=50 + n) for n in range(count)).of(
            cell()
        )
        for count in (1, FEWEST_RUNS)
    )
    assert (few.least, few.expected, few.most, few.reason) == (41, 50, 200, "as in 1 finished run")
    assert (many.least, many.most) == (50, 49 + FEWEST_RUNS)


def test_epochs_assumed_without_finished_runs() -> None:
    epochs = EpochsKnown([]).of(cell())
    assert (epochs.least, epochs.expected, epochs.most) == (41, 120.5, 200)


def test_a_short_run_cannot_stop_early() -> None:
    epochs = EpochsKnown([]).of(cell(**{"trainer.max_epochs": 30}))
    assert (epochs.least, epochs.expected, epochs.most) == (30, 30, 30)


def test_the_papers_grid() -> None:
    cells = grid_cells(["experiment=paper"])
    assert len(cells) == len({cell.folder for cell in cells}) == 3600
    assert [cell.config["repeat"] for cell in cells] == sorted(cell.config["repeat"] for cell in cells)


def test_overrides_are_those_of_train() -> None:
    cells = grid_cells(["experiment=paper", "dataset=wound", "model=unet,fcn", "repeat=3", "study=mine"])
    assert len(cells) == 2 * 10
    assert {cell.config["model.name"] for cell in cells} == {"unet", "fcn"}
    assert {cell.config["study"] for cell in cells} == {"mine"}


def test_odd_values_are_typed_as_for_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    arguments = ["dataset=folder", "dataset.root=~/my (data)", "dataset.lesion=>=128", "repeat=0"]
    cells = grid_cells([*arguments, "loss=tversky(alpha=0.3),dice"])
    assert {cell.config["dataset.root"] for cell in cells} == {"/home/somebody/my (data)"}
    assert {cell.config["dataset.lesion"] for cell in cells} == {">=128"}
    assert [cell.config["loss.name"] for cell in cells] == ["tversky+alpha=0.3", "dice"]


def test_a_wrong_override_is_one_sentence() -> None:
    with pytest.raises(UserError, match="There is no loss 'foo'"):
        grid_cells(["loss=foo"])


def test_shared_folders_are_refused_as_in_training() -> None:
    with pytest.raises(UserError, match="the same values twice"):
        grid_cells(["loss=bce,bce"])


def test_the_command_line_of_train_can_be_pasted(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(planning, "_time", lambda cell, together: [TIMING])
    for arguments in (["-m", "repeat=0"], ["repeat=0", "-m"], ["repeat=0"]):
        result = CliRunner().invoke(app, ["plan", *arguments, f"output_dir={tmp_path}"])
        assert result.exit_code == 0 and "1 run: 0 done, 1 left" in result.output, result.output


def test_a_published_dataset_need_not_be_here(tmp_path: Path) -> None:
    [isic] = grid_cells(["dataset=isic", f"dataset.root={tmp_path / 'absent'}", "repeat=0"])
    assert subset_sizes(isic) == Sizes(1650, 550, 550)


def test_its_subsets_are_assumed_where_it_cannot_be_split(tmp_path: Path) -> None:
    [isic] = grid_cells(["dataset=isic", f"dataset.root={tmp_path / 'absent'}", "repeat=0", "data.split=official"])
    assert subset_sizes(isic) == Sizes(1650, 550, 550, assumed=True)


def test_subsets_are_those_of_the_split(tmp_path: Path) -> None:
    table = tmp_path / "subsets.csv"
    ids = instantiate(grid_cells(["dataset.count=30", "repeat=0"])[0].group("dataset.")).ids()
    subsets = {"repeat_0": 21 * ["train"] + 4 * ["val"] + 5 * ["test"], "repeat_1": ["val"] + 29 * ["train"]}
    subsets["repeat_1"][-1] = "test"
    rows = zip(ids, *subsets.values(), strict=True)
    table.write_text("\n".join(map(",".join, [("id", *subsets), *rows])))
    by_repeat = {cell.config["repeat"]: cell for cell in grid_cells(["dataset.count=30", f"data.split={table}"])}
    assert subset_sizes(by_repeat[0]) == Sizes(21, 4, 5)
    assert subset_sizes(by_repeat[1]) == Sizes(28, 1, 1)
    [folds] = grid_cells(
        ["dataset.count=33", "data.split=kfold", "data.fractions={train:.6,val:.1,test:.3}", "repeat=0"]
    )
    assert subset_sizes(folds) == Sizes(19, 3, 11)  # a third, not three tenths


def test_caches_that_are_not_there_are_counted(tmp_path: Path) -> None:
    [cell] = grid_cells(["dataset.count=10", "repeat=0", f"data.cache_dir={tmp_path}", "data.image_size=16"])
    assert sum(cache_bytes(cell).values()) == 10 * 4 * 16 * 16
    open_cache(instantiate(cell.group("dataset.")), 16, tmp_path)
    assert cache_bytes(cell) == {}


def test_a_decoded_dataset_is_counted_once(small: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(planning, "_time", lambda cell, together: [TIMING])
    cells = grid_cells([*small, "data.image_size=32", f"data.cache_dir={tmp_path / 'cache'}"])
    assert make_plan(cells, announce=lambda name: None).cache_bytes == 100 * 4 * 32 * 32


def test_tests_elsewhere_are_counted(tmp_path: Path) -> None:
    abroad = ["external=[kvasir]", f"data_dir={tmp_path}", "corruptions=standard", f"data.cache_dir={tmp_path}"]
    [home] = grid_cells(["dataset.count=10", "repeat=0", "data.image_size=16", *abroad])
    sizes = subset_sizes(home)
    assert sizes == Sizes(6, 2, 2, elsewhere=1000 + 15 * 2)  # published images, though they are not here
    assert sum(cache_bytes(home).values()) == (10 + 1000) * 4 * 16 * 16
    alone = PlannedRun(cell(), replace(sizes, elsewhere=0), TIMING, Epochs(10, 5, 20, ""))
    more = replace(alone, sizes=sizes)
    assert more.seconds() - alone.seconds() == pytest.approx(65 * TIMING.eval_batch)  # batches of 16
    assert more.disk_bytes() > alone.disk_bytes()
    [trial] = grid_cells(["dataset.count=10", "repeat=0", "test=false", *abroad])
    assert subset_sizes(trial).elsewhere == 0
    with pytest.raises(UserError, match="prepare kvasir"):
        check_datasets([home.config])


def test_an_unknown_dataset_must_be_here(tmp_path: Path) -> None:
    [own] = grid_cells(["dataset=folder", f"dataset.root={tmp_path / 'absent'}", "repeat=0"])
    with pytest.raises(UserError, match="does not exist"):
        subset_sizes(own)


def test_each_network_is_timed_once_and_finished_runs_are_left_out(small: list[str], monkeypatch: Any) -> None:
    timed: list[str] = []
    monkeypatch.setattr(planning, "_time", lambda cell, together: timed.append(cell.config["model.name"]) or [TIMING])
    cells = grid_cells(small)
    cells[0].folder.path.mkdir(parents=True)
    config = plain(nested(cells[0].config))
    record = {"status": "finished", "dataset": "synthetic", "model": "unet", "epochs": 50, "config": config}
    cells[0].folder.result.write_text(json.dumps(record))
    told: list[str] = []
    plan = make_plan(cells, announce=told.append)
    assert timed == ["unet", "colonsegnet"]
    assert told == ["1 of 2: unet", "2 of 2: colonsegnet"]
    assert plan.done == cells[:1]
    assert [run.cell for run in plan.left] == cells[1:]
    assert {run.epochs.expected for run in plan.left} == {50}
    assert {run.sizes for run in plan.left} == {Sizes(60, 20, 20)}


@pytest.mark.slow
def test_networks_that_cannot_be_timed_are_one_sentence_each(tmp_path: Path) -> None:
    overrides = ["trainer=cpu", "data.image_size=32", "repeat=0", f"output_dir={tmp_path}"]
    cells = grid_cells([*overrides, "data.batch_size=1", "model=unet,colonformer", "pretrained=false"])
    cells += grid_cells([*overrides, "model=unet", "model._target_=torch.nn.Linear"])
    for cell in cells:
        if cell.config["model.name"] == "unet":
            cell.config["model.width"] = 2**20
    with pytest.raises(UserError) as caught:
        make_plan(cells, announce=lambda name: None)
    huge, lone, foreign = str(caught.value).splitlines()
    assert huge.startswith("unet does not fit into this machine's memory")
    assert "colonformer at 32 pixels cannot be trained with data.batch_size=1" in lone
    assert "model cannot be built from torch.nn.Linear" in foreign


def test_pretrained_weights_are_not_looked_for(monkeypatch: Any) -> None:
    timed: list[Any] = []
    monkeypatch.setattr("lightning_seg.planning.timing.time_training", timed.append)
    for overrides in (["model=fatnet", "model.weights.cnn=/a"], ["model=caranet", "model.weights=/a"]):
        planning._time_cell(grid_cells([*overrides, "repeat=0"])[0].config)
    assert [cfg.model.pretrained for cfg in timed] == [False, False]
    assert timed[0].model.weights.cnn is None and timed[1].model.weights is None


def test_whatever_a_network_raises_leaves_its_process_as_a_sentence(monkeypatch: Any) -> None:
    def fail(cfg: Any) -> None:
        raise ValueError("odd\nshapes")

    monkeypatch.setattr("lightning_seg.planning.timing.time_training", fail)
    with pytest.raises(UserError, match=r"^unet cannot be trained: ValueError: odd shapes$"):
        planning._time_cell(grid_cells(["repeat=0"])[0].config)


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


def test_a_run_a_core_is_foretold_from_what_is_timed_there(small: list[str], monkeypatch: Any) -> None:
    """What of a run is no step gains by every core."""
    together = [replace(TIMING, setup=1.0, train_step=step) for step in (0.14, 0.18)]
    monkeypatch.setattr(planning, "_time", lambda cell, count: [TIMING] if count == 1 else together)
    for module in (planning, tables):
        monkeypatch.setattr(module, "cores", lambda: 2)
    plan = make_plan(grid_cells(small), side_by_side=True, announce=lambda name: None)
    text = io.StringIO()
    print_plan(plan, console=Console(file=text, width=200))
    mean = replace(TIMING, setup=1.0, train_step=0.16)
    one, other = (sum(run.seconds(timing=timing) for run in plan.left) for timing in (TIMING, mean))
    assert other > 1.2 * one and f"{2 * one / other:.2f} x" in text.getvalue()
    assert f"A run a core, each with one thread: {duration(other / 2)}." in text.getvalue()


def test_runs_that_fit_side_by_side() -> None:
    assert side_by_side(2 * 2**30, 80 * 2**30) == 29  # 95 % of 80 GiB, by 2 GiB and a process's own 0.6 GiB


def test_steps_are_really_timed(tmp_path: Path) -> None:
    overrides = ["trainer=cpu", "data.image_size=32", "data.batch_size=2", "model.width=4", "trainer.max_epochs=2"]
    [cell] = grid_cells([*overrides, "repeat=0", f"output_dir={tmp_path}"])
    timing = time_training(nested(cell.config))
    assert min(timing.setup, timing.train_step, timing.eval_batch, timing.epoch_end) > 0
    assert timing.parameters == sum(p.numel() for p in UNet(width=4).parameters())
    assert timing.steps >= STEPS and not any(tmp_path.iterdir())


def test_a_slow_network_is_timed_by_what_was_measured_in_time(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr("lightning_seg.planning.timing.MOST_SECONDS", 0.0)
    overrides = ["trainer=cpu", "data.image_size=32", "data.batch_size=2", "model.width=4", f"output_dir={tmp_path}"]
    cells = grid_cells([*overrides, "repeat=0,1"])
    timing = time_training(nested(cells[0].config))
    assert timing.steps == 1 and min(timing.train_step, timing.eval_batch, timing.epoch_end) > 0
    monkeypatch.setattr(planning, "_time", lambda cell, together: [timing])
    text = io.StringIO()
    print_plan(make_plan(cells, announce=lambda which: None), console=Console(file=text, width=200))
    assert "only 1 step of unet could be timed" in text.getvalue()


@pytest.mark.slow
def test_ctrl_c_ends_it_without_a_word_of_its_workers(tmp_path: Path) -> None:
    main = "from lightning_seg.cli.app import main; main()"
    small = ["dataset.count=20", "data.image_size=32", "model.width=4", "trainer=cpu", f"output_dir={tmp_path}"]
    command = [sys.executable, "-c", main, "plan", *small]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    begun = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment, cwd=tmp_path
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not has_server(begun.pid):  # which loads libraries now
        assert begun.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(begun.pid, signal.SIGINT)
    said = begun.communicate(timeout=PATIENCE_SECONDS)[1]
    assert begun.returncode == 130
    assert said.splitlines() == ["interrupted"]
