"""The simulation of a grid on several workers."""

import itertools
import random

import pytest

from lightning_seg.planning.schedule import Launcher, makespan, scaling
from lightning_seg.sweep import slurm


def test_one_worker_takes_the_sum() -> None:
    assert makespan([3, 1, 2], 1) == 6


def test_a_free_worker_takes_the_next_run() -> None:
    # 4 | 1, 2, 3 and not 4, 2 | 1, 3
    assert makespan([4, 1, 2, 3], 2) == 6


def test_nothing_to_run() -> None:
    assert makespan([], 4) == 0
    assert scaling([], 4).bound == 0


def test_idle_workers_do_not_start() -> None:
    assert makespan([2.0, 3.0], 64, Launcher("", start=10)) == 13


def test_launchers_add_their_time() -> None:
    assert makespan([1, 1, 1, 1], 2, Launcher("", start=10, each=0.5)) == 10 + 2 * 1.5


def test_arrays_divide_runs_and_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "ARRAY_TASKS", 2)
    arrays = Launcher("", start=10, in_arrays=True)
    assert slurm.share_out(5, 4) == [[([0], 2), ([1, 4], 1), ([2, 3], 1)]]
    assert makespan([4, 1, 1, 1, 1], 4, arrays) == 10 + 4
    assert makespan([4, 1, 1, 1, 5], 4, arrays) == 10 + 1 + 5, "the second array has one worker for 1 and 5"
    assert slurm.share_out(5, 2) == [[([0], 1), ([1, 4], 1)], [([2, 3], 2)]]
    assert makespan([4, 1, 1, 1, 1], 2, arrays) == 10 + 4 + 1, "more arrays than workers: one group after the other"
    assert slurm.share_out(2, 64) == [[([0, 1], 64)]]
    for runs in range(1, 40):
        dealt = [array for group in slurm.share_out(runs, 3) for array, _ in group]
        assert sorted(itertools.chain(*dealt)) == list(range(runs)) and max(map(len, dealt)) <= 2


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 64])
def test_no_order_beats_the_bound_and_longest_first_is_near_it(workers: int) -> None:
    draw = random.Random(workers)
    batches = [[draw.lognormvariate(0, 1.5) for _ in range(40)] for _ in range(5)]
    result = scaling(batches, workers, Launcher("", start=1, each=0.1))
    orders = (result.in_order, result.by_repeat, result.longest_first)
    assert result.bound <= min(orders) + 1e-9
    assert max(orders) <= 2 * result.bound  # Graham 1966, whatever the order
    assert result.longest_first <= 4 / 3 * result.bound  # nearly Graham 1969, where the best order replaces the bound


def test_makespan_is_that_of_the_best_order_for_two_workers() -> None:
    runs = [5.0, 3.0, 3.0, 2.0, 2.0, 1.0]
    best = min(makespan(order, 2) for order in itertools.permutations(runs))
    assert best == scaling([runs], 2).bound == 8


def test_a_long_run_at_the_end_keeps_all_waiting() -> None:
    result = scaling([[1.0] * 9 + [9.0]], 2)
    assert (result.in_order, result.longest_first) == (13, 9)
