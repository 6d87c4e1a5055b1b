"""How far a study is: a table of its runs."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lightning_seg.runs.claim import is_claimed
from lightning_seg.runs.record import CELLS, ERROR, read_result
from lightning_seg.wording import duration


@dataclass
class Cell:
    """The repeats of one dataset, model and loss."""

    results: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0
    running: int = 0
    missing: int = 0


def read_study(study: Path) -> dict[tuple[str, str, str], Cell]:
    """The state of every run that the study's folder holds or that a grid announced for it."""
    directories = {path for path in study.glob("*/*/*/repeat_*") if path.is_dir()}
    if (study / CELLS).is_file():
        directories |= {study / name for name in json.loads((study / CELLS).read_text())}
    cells: dict[tuple[str, str, str], Cell] = {}
    for directory in sorted(directories):
        dataset, model, loss = directory.relative_to(study).parts[:3]
        cell = cells.setdefault((dataset, model, loss), Cell())
        if (record := read_result(directory)) is not None:
            cell.results.append(record)
        elif is_claimed(directory):
            cell.running += 1
        elif (directory / ERROR).is_file():
            cell.failed += 1
        else:
            cell.missing += 1
    return cells


def print_status(study: Path, console: Console | None = None) -> None:
    """Print the study's table and its totals."""
    console = console or Console()
    cells = read_study(study)
    counts = {name: sum(getattr(cell, name) for cell in cells.values()) for name in ("failed", "running", "missing")}
    shown = [name for name, count in counts.items() if count]
    table = Table(title=f"Study {study.name}", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("dataset", "model", "loss"):
        table.add_column(name, no_wrap=True)
    for name in ("done", *shown, "val Dice", "test Dice", "per run"):
        table.add_column(name, justify="right", no_wrap=True)
    for key, cell in cells.items():
        done = str(len(cell.results))
        if diverged := sum(record["status"] == "diverged" for record in cell.results):
            done += f" ({diverged} diverged)"
        table.add_row(
            *key,
            done,
            *(str(getattr(cell, name) or "") for name in shown),
            _mean(record["best_val_dice"] for record in cell.results),
            _mean(record["test"]["dice"] for record in cell.results),
            duration(mean(_seconds(record) for record in cell.results)) if cell.results else "",
        )
    console.width = max(console.width, console.measure(table).maximum)  # a name in two pieces cannot be looked for
    console.print(table)
    results = [record for cell in cells.values() for record in cell.results]
    parts = [f"{len(results)} finished", *(f"{counts[name]} {name}" for name in shown)]
    if results:
        parts.append(f"{duration(sum(map(_seconds, results)))} of training")
    if left := time_left(cells):
        running = max(1, counts["running"])
        parts.append(f"about {duration(left / running)} left with {running} at a time")
    console.print(", ".join(parts), highlight=False)


def time_left(cells: dict[tuple[str, str, str], Cell]) -> float | None:
    """Seconds of training that the runs without a result will take together, learnt from those with one.

    A run is taken to last as the mean of its dataset and model; where nothing of the two has finished, the mean of all
    times how much slower than that the dataset's and the model's runs are. A running run counts in full.

    Returns:
        ``None`` if nothing has finished or nothing is left.
    """
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (dataset, model, _), cell in cells.items():
        groups[dataset, model] += map(_seconds, cell.results)
    means = {key: mean(seconds) for key, seconds in groups.items() if seconds}
    if not means:
        return None
    overall = mean(means.values())

    def factor(axis: int, name: str) -> float:
        own = [value for key, value in means.items() if key[axis] == name]
        return mean(own) / overall if own else 1.0

    left = 0.0
    for (dataset, model, _), cell in cells.items():
        per_run = means.get((dataset, model), overall * factor(0, dataset) * factor(1, model))
        left += (cell.running + cell.failed + cell.missing) * per_run
    return left or None


def _seconds(record: dict[str, Any]) -> float:
    return sum(record["seconds"].values())


def _mean(values: Iterable[float]) -> str:
    values = list(values)
    return f"{mean(values):.4f}" if values else ""
