"""How far a study is: a table of its runs."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_seg.errors import UserError
from lightning_seg.runs.folder import State
from lightning_seg.runs.record import Record
from lightning_seg.runs.tuning import describe, read_choices
from lightning_seg.studies.folder import StudyFolder
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
_MOST_ROWS = 2000  # of the table, beyond which only cells that have begun are shown


def read_study(study: StudyFolder) -> tuple[dict[Key, CellStatus], str]:
    """The state of every run that the study's folder holds or that a grid announced for it, and what is wrong."""
    begun, waiting, problem = study.survey()
    cells: defaultdict[Key, CellStatus] = defaultdict(CellStatus)
    for run in begun:
        cell = cells[run.dataset, run.model, run.loss]
        look = run.look()
        if look.record is not None:
            cell.results.append(look.record)
        else:
            cell.counts[look.state] += 1
    for address in waiting:
        dataset, model, loss, _ = address.split("/")
        cells[dataset, model, loss].counts[State.MISSING] += 1
    return dict(sorted(cells.items())), problem


def print_status(study: StudyFolder, console: Console | None = None) -> None:
    """Print the study's table and its totals."""
    console = console or Console()
    cells, problem = read_study(study)
    counts: Counter[State] = Counter()
    for cell in cells.values():
        counts.update(cell.counts)
    shown = [state for state in State if counts[state]]
    table = Table(title=Text(f"Study {printable(study.path.name)}"), title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("dataset", "model", "loss"):
        table.add_column(name, no_wrap=True)
    for name in ("done", *shown, "val Dice", "test Dice", "per run"):
        table.add_column(name, justify="right", no_wrap=True)
    begun = [(key, cell) for key, cell in cells.items() if cell.begun]
    rows = list(cells.items()) if len(cells) <= _MOST_ROWS else begun[:_MOST_ROWS]
    for key, cell in rows:
        done = str(len(cell.results))
        if diverged := sum(record.status == "diverged" for record in cell.results):
            done += f" ({diverged} diverged)"
        table.add_row(
            *(Text(printable(name)) for name in key),
            done,
            *(str(cell.counts[state] or "") for state in shown),
            _mean(record.best_val_dice for record in cell.results),
            _mean(record.test.get("dice") for record in cell.results),
            duration(mean(record.total_seconds for record in cell.results)) if cell.results else "",
        )
    console.width = max(console.width, console.measure(table).maximum)  # a name in two pieces cannot be looked for
    console.print(table)
    if len(rows) < len(cells):
        console.print(f"{len(rows):,} of {len(cells):,} cells are shown, all of which have begun.", highlight=False)
    if problem:
        console.print(printable(problem), markup=False, highlight=False)
    results = [record for cell in cells.values() for record in cell.results]
    parts = [f"{len(results)} finished", *(f"{counts[state]} {state}" for state in shown)]
    if results:
        parts.append(f"{duration(sum(record.total_seconds for record in results))} of training")
    trials, chosen = _trials(study), _choices(study)
    if trials:
        parts.append(f"trials of tune: {_states(trials)}")
    if left := (time_left(cells) or 0) + (time_left(trials) or 0):
        running = max(1, counts[State.RUNNING], sum(cell.counts[State.RUNNING] for cell in trials.values()))
        parts.append(f"about {duration(left / running)} left with {running} at a time")
    console.print(", ".join(parts), highlight=False)
    for line in chosen:
        console.print(printable(line), markup=False, highlight=False)


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
    """Seconds of training that the runs without a result will take together, learnt from those with one.

    A run is taken to last as the mean of its dataset and model; where nothing of the two has finished, the mean of all
    times how much slower than that the dataset's and the model's runs are. A running run counts in full.

    Returns:
        ``None`` if nothing has finished or nothing is left.
    """
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (dataset, model, _), cell in cells.items():
        groups[dataset, model] += [record.total_seconds for record in cell.results]
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
        left += cell.waiting * per_run
    return left or None


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.4f}" if known else ""
