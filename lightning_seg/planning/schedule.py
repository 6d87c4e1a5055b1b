"""How long a grid takes on several workers: a simulation of launchers that give each free worker the next run."""

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_seg.sweep.slurm import share_out


@dataclass(frozen=True)
class Launcher:
    """What a launcher adds to the runs themselves, in seconds, and whether it divides them into arrays of their own."""

    name: str
    start: float = 0.0  # once for each worker
    each: float = 0.0  # for each run
    in_arrays: bool = False


# Importing torch and Lightning takes 5 to 15 s. A Slurm job is a process of its own; other workers serve many runs.
LAUNCHERS = (Launcher("gpus, ray", start=15.0), Launcher("slurm", each=15.0, in_arrays=True))


@dataclass(frozen=True)
class Scaling:
    """How long a grid takes on a number of workers, in seconds.

    Attributes:
        workers: how many.
        in_order: runs as the grid lists them, repeat slowest.
        by_repeat: longest first within each repeat, as the sweep orders them.
        longest_first: longest first over all repeats.
        bound: no order can be faster: an equal share for every worker, or the longest run.
    """

    workers: int
    in_order: float
    by_repeat: float
    longest_first: float
    bound: float


def makespan(durations: Sequence[float], workers: int, launcher: Launcher = Launcher("")) -> float:
    """Seconds until the last run ends when each worker that is free takes the next run.

    Args:
        durations: seconds of each run, in the order in which they are handed out.
        workers: how many work side by side, at least 1.
        launcher: what is added.
    """
    if not durations:
        return 0.0
    every = [[(list(range(len(durations))), workers)]]
    ended = launcher.start
    for group in share_out(len(durations), workers) if launcher.in_arrays else every:
        ended += max(_makespan([durations[i] + launcher.each for i in array], at_once) for array, at_once in group)
    return ended


def _makespan(durations: Sequence[float], workers: int) -> float:
    free_at = [0.0] * min(workers, len(durations))
    for duration in durations:
        heapq.heapreplace(free_at, free_at[0] + duration)
    return max(free_at)


def scaling(batches: Sequence[Sequence[float]], workers: int, launcher: Launcher = Launcher("")) -> Scaling:
    """How long a grid takes in each order.

    Args:
        batches: seconds of the runs of each repeat, in the grid's order.
        workers: how many work side by side, at least 1.
        launcher: what is added.
    """
    runs = list(itertools.chain(*batches))
    by_repeat = list(itertools.chain(*(sorted(batch, reverse=True) for batch in batches)))
    used = max(1, min(workers, len(runs)))
    share = launcher.start + (sum(runs) + launcher.each * len(runs)) / used
    return Scaling(
        workers,
        in_order=makespan(runs, workers, launcher),
        by_repeat=makespan(by_repeat, workers, launcher),
        longest_first=makespan(sorted(runs, reverse=True), workers, launcher),
        bound=max(share, launcher.start + launcher.each + max(runs, default=0.0)) if runs else 0.0,
    )
