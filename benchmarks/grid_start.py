"""How long a grid of 3,600 cells takes to start, to find all finished, and to be shown; and what a run costs besides.

    python benchmarks/grid_start.py
    python benchmarks/grid_start.py --own-cost
    python benchmarks/grid_start.py --scale 25200,50400,100800

The cells are six stand-in datasets x twelve stand-in models x ten losses x five repeats. Aims: 30 s until the first run
trains, 2 s when all are finished, 0.1 s a run over its training. ``--scale`` plans, skips and shows more cells, by more
repeats, and says whether the time grows as their number does.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from grids import HERE, run_grid
from measure import Stopwatch
from rich import box
from rich.console import Console
from rich.table import Table

from lightning_seg.catalogue import LOSSES
from lightning_seg.runs.record import Record
from lightning_seg.sweep.cells import grid_cells

OVERRIDES = (
    *("trainer=cpu", "logger=csv", "trainer.max_epochs=1", "data.image_size=32", "dataset.count=12"),
    *("model=colonsegnet", "model.width=32"),
)


def grid(folder: Path, cells: int = 3600) -> list[str]:
    """The command line's overrides for so many cells, in whole repeats of 720."""
    return [
        *OVERRIDES,
        f"dataset.name={','.join(f'dataset{i}' for i in range(6))}",
        f"model.name={','.join(f'model{i}' for i in range(12))}",
        f"loss={','.join(LOSSES)}",
        f"repeat={','.join(map(str, range(cells // 720)))}",
        f"output_dir={folder}",
        f"data.cache_dir={folder / 'cache'}",
    ]


def command(folder: Path, cells: int = 3600) -> list[str]:
    return [sys.executable, str(HERE.parent / "train.py"), "-m", *grid(folder, cells)]


def status(folder: Path) -> list[str]:
    return [sys.executable, "-m", "lightning_seg.cli.app", "status", "default", "--output-dir", str(folder)]


def until_first_run(folder: Path) -> Stopwatch:
    """From the command to the first run's first epoch."""
    watch = Stopwatch()
    watch.start()
    process = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(folder.glob("*/*/*/*/repeat_*/split.json")):
        if process.poll() is not None:
            raise SystemExit("the grid ended before a run began")
        time.sleep(0.05)
    process.kill()
    process.wait()
    watch.stop()
    return watch


def finish_all(folder: Path, number: int = 3600) -> int:
    """Give every cell a record, as if it had been trained."""
    cells = grid_cells(grid(folder, number))
    for cell in cells:
        cell.folder.path.mkdir(parents=True, exist_ok=True)
        names = ("study", "dataset.name", "model.name", "loss.name", "repeat")
        record = {name.split(".")[0]: cell.config[name] for name in names}
        record |= {"status": "finished", "config": cell.config, "epochs": 100, "best_val_dice": 0.8}
        record |= {"test": {"dice": 0.8}, "seconds": {"data": 1.0, "fit": 600.0, "test": 1.0}}
        (cell.folder.path / "result.json").write_text(json.dumps(record))
    return len(cells)


def run(*arguments: str) -> Stopwatch:
    watch = Stopwatch()
    watch.start()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watch.stop()
    return watch


def cost_per_run(folder: Path, runs: int) -> Stopwatch:
    """What a run takes besides its data, fit and test, in a grid of tiny ones; from the first record to the last."""
    run_grid(folder, *OVERRIDES, f"loss={','.join(LOSSES)}", f"repeat={','.join(map(str, range(runs // 10)))}")
    records = sorted(folder.rglob("result.json"), key=lambda path: path.stat().st_mtime)
    trained = [sum(json.loads(path.read_text())["seconds"].values()) for path in records[1:]]
    watch = Stopwatch()
    watch.wall = (records[-1].stat().st_mtime - records[0].stat().st_mtime - sum(trained)) / len(trained)
    watch.cpu = float("nan")
    return watch


def processor_time_per_run(folder: Path) -> float:
    """What :func:`cost_per_run` measures, as processor time of this process, which other load disturbs less."""
    from lightning_seg.cli.train import train_with
    from lightning_seg.runs.folder import RunFolder

    ends: list[float] = []
    write = RunFolder.write

    def noted(self: RunFolder, record: Record) -> None:
        write(self, record)
        ends.append(time.process_time())

    grid = ["-m", *OVERRIDES, f"loss={','.join(list(LOSSES)[:5])}", f"output_dir={folder}"]
    # By this clock runs record what their parts take.
    with patch("time.perf_counter", time.process_time), patch.object(RunFolder, "write", noted):
        train_with([*grid, f"data.cache_dir={folder / 'cache'}", "repeat=0"])  # which loads what is loaded once
        ends.clear()
        train_with([*grid, f"data.cache_dir={folder / 'cache'}", "repeat=1,2,3,4"])
    parts = [json.loads(path.read_text())["seconds"] for path in folder.rglob("repeat_[1-4]/result.json")]
    trained = statistics.mean(sum(part.values()) for part in parts)
    return (ends[-1] - ends[0]) / (len(ends) - 1) - trained


def scale(numbers: list[int]) -> None:
    """Print what planning, skipping and showing grids of these sizes takes of processor time, and for each cell."""
    table = Table("cells", "planned, s", "skipped, s", "shown, s", "a cell, ms", box=box.SIMPLE_HEAD)
    for number in numbers:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            planned = Stopwatch()
            planned.start()
            grid_cells(grid(folder, number))
            planned.stop()
            finish_all(folder, number)
            watches = [planned, run(*command(folder, number)), run(*status(folder))]
            cpu = [watch.cpu for watch in watches]
            table.add_row(f"{number:,}", *(f"{value:.1f}" for value in cpu), f"{sum(cpu) / number * 1e3:.3f}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="of the grid that shows a run's own cost")
    parser.add_argument("--scale", help="numbers of cells, such as 25200,50400,100800")
    parser.add_argument("--own-cost", action="store_true", help="a run's own cost alone, in processor time")
    arguments = parser.parse_args()
    if arguments.own_cost:
        with tempfile.TemporaryDirectory() as name:
            print(f"a run besides its training: {processor_time_per_run(Path(name)):.3f} s of processor time")
        return
    if arguments.scale:
        scale([int(number) for number in arguments.scale.split(",")])
        return
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        folder = Path(one)
        times = {"start of 3,600 cells, until the first run trains": until_first_run(folder)}
        cells = finish_all(folder)
        assert cells == 3600
        times["the same grid when all are finished"] = run(*command(folder))
        times["lightning-seg status"] = run(*status(folder))
        times[f"a run besides its training (grid of {arguments.runs})"] = cost_per_run(Path(two), arguments.runs)
    table = Table("", "wall, s", "cpu, s", box=box.SIMPLE_HEAD)
    for name, watch in times.items():
        table.add_row(name, f"{watch.wall:.2f}", f"{watch.cpu:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
