"""How far a study is: a table of its runs."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_seg.errors import UserError
from lightning_seg.runs.folder import State
from lightning_seg.runs.record import Record
from lightning_seg.runs.remembered import remembered
from lightning_seg.runs.tuning import describe, read_choices
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.studies.left import Pair, Seconds, seconds_left
from lightning_seg.wording import duration, printable


@dataclass
class CellStatus:
    """The repeats of one dataset, model and loss.

    Attributes:
        results: records of those that have ended.
        counts: how many are in each other state.
    """

    results: list[Record] = field(default_factory=list)
    counts: Counter[State] = field(default_factory=Counter)

    @property
    def begun(self) -> bool:
        """Whether any of them has."""
        return bool(self.results) or self.counts.keys() != {State.MISSING}

    @property
    def waiting(self) -> int:
        """How many have yet to end well."""
        return sum(self.counts.values())


Key = tuple[str, str, str]  # dataset, model, loss
_LONGEST_LINE = 500  # characters
_MOST_ROWS = 2000  # of the table, beyond which only cells that have begun are shown


def read_study(study: StudyFolder) -> tuple[dict[Key, CellStatus], str]:
    """The state of every run that the study's folder holds or that a grid announced for it, and what is wrong."""
    begun, waiting, problem = study.survey()
    cells: defaultdict[Key, CellStatus] = defaultdict(CellStatus)
    for run in begun:
        cell = cells[run.dataset, run.model, run.loss]
        look = remembered("look", run.result, read=run.look)
        if look.record is not None:
            cell.results.append(look.record)
        else:
            cell.counts[look.state] += 1
    for address in waiting:
        dataset, model, loss, _ = address.split("/")
        cells[dataset, model, loss].counts[State.MISSING] += 1
    return dict(sorted(cells.items())), problem


def print_status(study: StudyFolder, console: Console | None = None) -> bool:
    """Print the study's table and its totals; whether all of its runs have ended well."""
    console = console or Console()
    cells, problem = read_study(study)
    counts = _waiting(cells)
    begun = [(key, cell) for key, cell in cells.items() if cell.begun]
    rows = list(cells.items()) if len(cells) <= _MOST_ROWS else begun[:_MOST_ROWS]
    _print_table(study.path.name, dict(rows), [state for state in State if counts[state]], console)
    if len(rows) < len(cells):
        console.print(f"{len(rows):,} of {len(cells):,} cells are shown, all of which have begun.", highlight=False)
    if problem:
        console.print(printable(problem), markup=False, highlight=False)
    console.print(", ".join(_totals(study, cells, counts)), highlight=False)
    for line in _choices(study)[:_MOST_ROWS]:
        console.print(printable(line[:_LONGEST_LINE]), markup=False, highlight=False)
    return not counts.total()


def as_rows(study: StudyFolder) -> list[dict[str, Any]]:
    """One row a dataset, model and loss: how many of its runs are in each state, and the means of those with a result.

    Dice are from 0 to 1, ``seconds`` those of a run; None where nothing is known.
    """
    return [
        {
            **dict(zip(("dataset", "model", "loss"), key, strict=True)),
            **{str(state): _in_state(cell, state) for state in State},
            "val_dice": _mean_of(record.best_val_dice for record in cell.results),
            "test_dice": _mean_of(record.test.get("dice") for record in cell.results),
            "seconds": _mean_of(record.total_seconds for record in cell.results),
        }
        for key, cell in read_study(study)[0].items()
    ]


def _in_state(cell: CellStatus, state: State) -> int:
    return cell.counts[state] + sum(record.status == state for record in cell.results)


def _waiting(cells: dict[Key, CellStatus]) -> Counter[State]:
    return sum((cell.counts for cell in cells.values()), Counter())


def _print_table(name: str, cells: dict[Key, CellStatus], shown: list[State], console: Console) -> None:
    """As many columns as the terminal is wide for; all of them where the output is kept in a file.

    Names are never cut: one in two pieces cannot be looked for.
    """
    names = ("dataset", "model", "loss")
    columns: dict[str, list[str]] = {
        level: [printable(key[place]) for key in cells] for place, level in enumerate(names)
    }
    columns["done"] = [_done(cell) for cell in cells.values()]
    columns |= {str(state): [str(cell.counts[state] or "") for cell in cells.values()] for state in shown}
    columns["val Dice"] = [_mean(record.best_val_dice for record in cell.results) for cell in cells.values()]
    columns["test Dice"] = [_mean(record.test.get("dice") for record in cell.results) for cell in cells.values()]
    columns["per run"] = [
        duration(mean(record.total_seconds for record in cell.results)) if cell.results else ""
        for cell in cells.values()
    ]
    title = f"Study {printable(name)}"
    for level in names[:2]:  # what is the same in all rows can be said once
        if console.is_terminal and len(set(columns[level])) == 1 and _width(columns, console) > console.width:
            title += f", {level} {columns.pop(level)[0]}"
    for column in ("per run", "val Dice", *map(str, shown), "test Dice"):
        if console.is_terminal and _width(columns, console) > console.width:
            columns.pop(column, None)
    console.width = max(console.width, _width(columns, console))
    table = _table(columns)
    table.title = Text(title)
    console.print(table)


def _table(columns: dict[str, list[str]]) -> Table:
    table = Table(title_justify="left", box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, no_wrap=True, justify="left" if name in ("dataset", "model", "loss") else "right")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def _width(columns: dict[str, list[str]], console: Console) -> int:
    """Of the table, uncut."""
    return console.measure(_table(columns), options=console.options.update(max_width=100_000)).maximum


def _done(cell: CellStatus) -> str:
    diverged = sum(record.status == "diverged" for record in cell.results)
    return f"{len(cell.results)} ({diverged} diverged)" if diverged else str(len(cell.results))


def _totals(study: StudyFolder, cells: dict[Key, CellStatus], counts: Counter[State]) -> list[str]:
    results = [record for cell in cells.values() for record in cell.results]
    parts = [f"{len(results)} finished", *(f"{counts[state]} {state}" for state in State if counts[state])]
    if results:
        parts.append(f"{duration(sum(record.total_seconds for record in results))} of training")
    trials = _trials(study)
    if trials:
        parts.append(f"trials of tune: {_states(trials)}")
    left = [time_left(cells), time_left(trials)]
    if None in left:
        parts.append("time left not known yet")
    elif total := sum(filter(None, left)):
        running = max(1, counts[State.RUNNING], sum(cell.counts[State.RUNNING] for cell in trials.values()))
        parts.append(f"about {duration(total / running)} left with {running} at a time")
    return parts


def _trials(study: StudyFolder) -> dict[Key, CellStatus]:
    """The state of the trials of ``tune=...``, with their settings beside the loss."""
    return {
        (dataset, model, f"{loss} {trials.name}"): cell
        for trials in study.trial_studies()
        for (dataset, model, loss), cell in read_study(trials)[0].items()
    }


def _states(cells: dict[Key, CellStatus]) -> str:
    counts = sum((cell.counts for cell in cells.values()), Counter())
    finished = sum(len(cell.results) for cell in cells.values())
    return " and ".join([f"{finished} finished", *(f"{counts[state]} {state}" for state in State if counts[state])])


def _choices(study: StudyFolder) -> list[str]:
    """What was chosen, with a word on what lies at the edge of what was tried."""
    try:
        choices = read_choices(study.path)
    except UserError as error:
        return [str(error)]
    lines = []
    for cell, choice in choices.items():
        edge = f" (at the edge of what was tried: {', '.join(choice.edge)})" if choice.edge else ""
        lines.append(f"tuned {cell}: {describe(choice.settings)}{edge}")
    return lines


def time_left(cells: dict[Key, CellStatus]) -> float | None:
    """Seconds of training that the runs without a result will take together; ``None`` if that is not known yet."""
    finished: defaultdict[Pair, list[Seconds]] = defaultdict(list)
    waiting: Counter[Pair] = Counter()
    for (dataset, model, _), cell in cells.items():
        finished[dataset, model] += [record.seconds for record in cell.results]
        waiting[dataset, model] += cell.waiting
    return seconds_left(finished, waiting)


def _mean(values: Iterable[float | None]) -> str:
    found = _mean_of(values)
    return f"{found:.4f}" if found is not None else ""


def _mean_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None
