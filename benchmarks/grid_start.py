"""How long a grid of 3,600 cells takes to start, to find all finished, and to be shown; and what a run costs besides.

    python benchmarks/grid_start.py
    python benchmarks/grid_start.py --before CHECKOUT      # an older checkout of this repository in turn with this one
    python benchmarks/grid_start.py --only own-cost
    python benchmarks/grid_start.py --scale 7200,14400,28800,50400,100800 --rounds 3

The cells are six stand-in datasets x twelve stand-in models x ten losses x five repeats. Aims: 30 s until the first run
trains, 2 s when all are finished, 0.1 s a run over its training. ``--scale`` plans, skips and shows more cells, by more
repeats, and says whether the time grows as their number does. All figures are medians of the rounds, with their range.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grid_parts import SMALL, grid
from grids import HERE, run_grid
from measure import Stopwatch
from rich import box
from rich.console import Console
from rich.table import Table

from lightning_seg.catalogue import LOSSES

CELLS = 3600


@dataclass(frozen=True)
class Checkout:
    """A folder with this repository, and what it does in processes of its own."""

    path: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.path)}

    def train(self, folder: Path, cells: int = CELLS) -> list[str]:
        return [sys.executable, str(self.path / "train.py"), "-m", *grid(folder, cells)]

    def status(self, folder: Path) -> list[str]:
        return [sys.executable, "-m", "lightning_seg.cli.app", "status", "default", "--output-dir", str(folder)]

    def run(self, command: list[str]) -> Stopwatch:
        """Run a command to its end."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        watch = Stopwatch()
        watch.start()
        subprocess.run(command, check=True, env=self.environment, cwd=self.path, **quiet)
        watch.stop()
        return watch

    def part(self, *arguments: object) -> float:
        """What a part of :mod:`grid_parts` finds."""
        command = [sys.executable, str(HERE / "grid_parts.py"), *map(str, arguments)]
        done = subprocess.run(
            command, check=True, env=self.environment, cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return float(done.stdout.split()[-1])


def until_first_run(checkout: Checkout) -> Stopwatch:
    """From the command to the first run's first epoch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        watch = Stopwatch()
        watch.start()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(checkout.train(folder), env=checkout.environment, cwd=checkout.path, **quiet)
        while not any(folder.glob("*/*/*/*/repeat_*/split.json")):
            if process.poll() is not None:
                raise SystemExit("the grid ended before a run began")
            time.sleep(0.05)
        process.kill()
        process.wait()
        watch.stop()
    return watch


def wall_cost(checkout: Checkout, runs: int) -> Stopwatch:
    """What a run takes besides its data, fit and test, in a grid of tiny ones; from the first record to the last."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeats = f"repeat={','.join(map(str, range(runs // 10)))}"
        run_grid(folder, *SMALL, f"loss={','.join(LOSSES)}", repeats, checkout=checkout.path)
        records = sorted(folder.rglob("result.json"), key=lambda path: path.stat().st_mtime)
        trained = [sum(json.loads(path.read_text())["seconds"].values()) for path in records[1:]]
        length = records[-1].stat().st_mtime - records[0].stat().st_mtime
    watch = Stopwatch()
    watch.wall, watch.cpu = (length - sum(trained)) / len(trained), float("nan")
    return watch


def processor_cost(checkout: Checkout) -> Stopwatch:
    """What :func:`wall_cost` measures, as processor time, which other load disturbs less."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as name:
        watch.wall, watch.cpu = float("nan"), checkout.part("own-cost", name)
    return watch


def compare(checkouts: dict[str, Checkout], only: set[str], rounds: int, runs: int) -> None:
    """Print what each measurement gives for each checkout, in turn."""
    with tempfile.TemporaryDirectory() as top:
        folders = {name: Path(top, name) for name in checkouts}
        rows: dict[str, Callable[[str], Stopwatch]] = {
            "start": lambda name: until_first_run(checkouts[name]),
            "finished": lambda name: checkouts[name].run(checkouts[name].train(folders[name])),
            "status": lambda name: checkouts[name].run(checkouts[name].status(folders[name])),
            "own-cost": lambda name: processor_cost(checkouts[name]),
            "own-cost-wall": lambda name: wall_cost(checkouts[name], runs),
        }
        rows = {title: measure for title, measure in rows.items() if not only or title in only}
        if {"finished", "status"} & rows.keys():
            for name, checkout in checkouts.items():
                assert checkout.part("finish", folders[name], CELLS) == CELLS
        found: dict[tuple[str, str], list[Stopwatch]] = {}
        for _ in range(rounds):
            for title, measure in rows.items():
                for name in checkouts:
                    found.setdefault((title, name), []).append(measure(name))
    table = Table("", "", "wall, s", "cpu, s", "ratio of cpu", box=box.SIMPLE_HEAD)
    for (title, name), watches in found.items():
        first = found[title, next(iter(checkouts))]
        ratios = [own.cpu / other.cpu for own, other in zip(watches, first, strict=True)]
        seconds = ([watch.wall for watch in watches], [watch.cpu for watch in watches])
        table.add_row(title, name, *map(_median, seconds), _median(ratios) if watches is not first else "")
    Console(width=140).print(table)


def _median(values: list[float]) -> str:
    """The median of values and their range."""
    if any(value != value for value in values):
        return ""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def scale(checkout: Checkout, numbers: list[int], rounds: int) -> None:
    """Print what planning, skipping and showing grids of these sizes takes of processor time, and for each cell."""
    with tempfile.TemporaryDirectory() as top:
        found: dict[int, list[list[float]]] = {number: [] for number in numbers}
        for number in numbers:
            assert checkout.part("finish", Path(top, str(number)), number) == number
        for _ in range(rounds):
            for number, folder in ((number, Path(top, str(number))) for number in numbers):
                planned = checkout.part("plan", folder, number)
                commands = (checkout.train(folder, number), checkout.status(folder))
                found[number].append([planned, *(checkout.run(command).cpu for command in commands)])
    table = Table("cells", "planned, s", "skipped, s", "shown, s", "a cell, ms", box=box.SIMPLE_HEAD)
    for number, values in found.items():
        a_cell = [sum(value) / number * 1e3 for value in values]
        table.add_row(f"{number:,}", *(_median(list(each)) for each in zip(*values, strict=True)), _median(a_cell))
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=20, help="of the grid of own-cost-wall")
    parser.add_argument("--before", type=Path, help="an older checkout, measured in turn with this one")
    parser.add_argument("--only", default="", help="some of start,finished,status,own-cost,own-cost-wall")
    parser.add_argument("--scale", help="numbers of cells, such as 25200,50400,100800")
    arguments = parser.parse_args()
    this = Checkout(HERE.parent)
    if arguments.scale:
        scale(this, [int(number) for number in arguments.scale.split(",")], arguments.rounds)
        return
    before = {"before": Checkout(arguments.before.resolve())} if arguments.before else {}
    only = set(filter(None, arguments.only.split(",")))
    compare(before | {"now": this}, only, arguments.rounds, arguments.runs)


if __name__ == "__main__":
    main()
