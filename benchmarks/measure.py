"""Timing two or more ways of doing the same work, fairly: in turn, in one process, with medians of paired ratios."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Times:
    """Seconds of each round: by the clock on the wall, and of processor time of this process and its children.

    Without other load the two tell the same story; with it, processor time is the steadier of the two.
    """

    wall: list[float]
    cpu: list[float]


class Stopwatch:
    """Seconds of wall and processor time between ``start`` and ``stop``."""

    def start(self) -> None:
        self.wall, self.cpu = -time.perf_counter(), -_cpu_seconds()

    def stop(self) -> None:
        self.wall += time.perf_counter()
        self.cpu += _cpu_seconds()


def alternate(ways: dict[str, Callable[[], object]], rounds: int = 7, warm_up: int = 1) -> dict[str, Times]:
    """Run every way in turn (A B A B ...), ``rounds`` times after ``warm_up`` rounds that do not count.

    A way that returns a :class:`Stopwatch` has timed the part of it that counts.
    """
    times = {name: Times([], []) for name in ways}
    for round_number in range(-warm_up, rounds):
        for name, way in ways.items():
            watch = Stopwatch()
            watch.start()
            result = way()
            watch.stop()
            if isinstance(result, Stopwatch):
                watch = result
            if round_number >= 0:
                times[name].wall.append(watch.wall)
                times[name].cpu.append(watch.cpu)
    return times


def ratio(numerator: list[float], denominator: list[float]) -> float:
    """The median over rounds of one way's time over another's in the same round."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def spread(numerator: list[float], denominator: list[float]) -> tuple[float, float]:
    """The smallest and the largest ratio of a round."""
    ratios = [a / b for a, b in zip(numerator, denominator, strict=True)]
    return min(ratios), max(ratios)


def report(title: str, times: dict[str, Times], reference: str, *, per: int = 1, unit: str = "s") -> None:
    """Print each way's median and its ratio to ``reference``, and the ratio of the least processor times.

    On a machine with other load the latter, free of most of its disturbance, says most.

    Args:
        title: of the table.
        times: of :func:`alternate`.
        reference: the way that the others are compared with.
        per: pieces of work in a round; medians are given per piece.
        unit: ``s`` or ``ms``.
    """
    scale = {"s": 1, "ms": 1e3}[unit] / per
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for heading in (f"wall, {unit}", "ratio", "(range)", f"cpu, {unit}", "ratio", "of minima"):
        table.add_column(heading, justify="right", no_wrap=True)
    base = times[reference]
    for name, own in times.items():
        low, high = spread(own.wall, base.wall)
        table.add_row(
            name,
            f"{statistics.median(own.wall) * scale:.3g}",
            f"{ratio(own.wall, base.wall):.3f}",
            f"{low:.2f} to {high:.2f}",
            f"{statistics.median(own.cpu) * scale:.3g}",
            f"{ratio(own.cpu, base.cpu):.3f}",
            f"{min(own.cpu) / min(base.cpu):.3f}",
        )
    Console().print(table)


def _cpu_seconds() -> float:
    children = os.times()
    return time.process_time() + children.children_user + children.children_system
