"""What a terminal shows while something is at work: bars and a turning mark, and nothing where output is piped.

All share the console of standard error, so that one can stand below another.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.table import Table
from rich.text import Text

from lightning_seg.wording import continued, filled, printable

T = TypeVar("T")
_LEAST_BAR, _MOST_BAR = 10, 40  # characters
_LONGEST_STEP = 600.0  # seconds between two steps of a bar, beyond which it foretells no time
_KEPT = 3  # columns that are always there: what, bar, how many


_shared = False  # with other processes


def errors() -> Console:
    """The console of standard error."""
    return _console(_shared)


@cache
def _console(shared: bool) -> Console:
    return Console(stderr=True, force_terminal=False if shared else None)


def share() -> None:
    """Draw nothing in this process from now on: others print on the same terminal, and bars would overwrite lines."""
    global _shared
    _shared = True


class Bars(Progress):
    """Bars whose columns are as many as the terminal is wide for: the bar stays, the last column is left out first.

    Each has what it counts, the bar, how many of how many, the time that is left, and the columns given.

    Args:
        console: where they are drawn, where that is a terminal or a notebook.
        title: a line above them.
        count: how many of how many; by default in whole numbers.
        further: columns at their end, from the most important.
        transient: whether they go when all is done.
    """

    def __init__(
        self,
        console: Console,
        title: str = "",
        count: ProgressColumn | None = None,
        further: Iterable[ProgressColumn] = (),
        transient: bool = True,
    ) -> None:
        self._title, self._place = title, console
        self._bar = BarColumn()
        super().__init__(
            TextColumn("{task.description}", markup=False),
            self._bar,
            count or MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            *further,
            console=console,
            transient=transient,
            speed_estimate_period=_LONGEST_STEP,
            disable=not (console.is_terminal or console.is_jupyter),
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """The title and the bars."""
        if self._title:
            yield Text(self._title, no_wrap=True, overflow="ellipsis")
        yield self.make_tasks_table(self.tasks)

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """The bars, as wide as the terminal at most."""
        shown = [task for task in tasks if task.visible]
        columns = [column for column in self.columns if isinstance(column, ProgressColumn)]
        widths = {column: max((self._width(column(task)) for task in shown), default=0) for column in columns}
        widths[self._bar] = _LEAST_BAR
        while len(columns) > _KEPT and _total(widths[column] for column in columns) > self._place.width:
            columns.pop()
        left = self._place.width - _total(widths[column] for column in columns)
        widths[self._bar] = min(_MOST_BAR, _LEAST_BAR + max(0, left))
        widths[columns[0]] += min(0, left)
        self._bar.bar_width = widths[self._bar]
        table = Table.grid(padding=(0, 1))
        for column in columns:
            table.add_column(no_wrap=True, overflow="ellipsis", width=max(1, widths[column]))
        for task in shown:
            table.add_row(*(column(task) for column in columns))
        return table

    def _width(self, part: RenderableType) -> int:
        return self._place.measure(part, options=self._place.options.update(max_width=10_000)).maximum


def tracked(values: Iterable[T], what: str, total: int, console: Console | None = None) -> Iterator[T]:
    """The values, with a bar that says how many of them there have been."""
    with Bars(console or errors()) as shown:
        yield from shown.track(values, total, description=printable(what))


def on_errors(sentences: str) -> str:
    """Sentences in lines that fit the terminal of standard error, if it is one; no command in them is broken."""
    return filled(sentences, errors().width) if errors().is_terminal else sentences


def to_copy(commands: str, console: Console) -> str:
    """Commands, one a line, as they are shown to be copied: continued on further lines where a terminal is narrow."""
    return continued(commands, console.width) if console.is_terminal else commands


def busy(with_what: str) -> Status:
    """A turning mark while nothing else is shown, imports included; ``update`` changes its words."""
    return errors().status(with_what)


def _total(widths: Iterable[int]) -> int:
    found = list(widths)
    return sum(found) + len(found)  # a space behind each
