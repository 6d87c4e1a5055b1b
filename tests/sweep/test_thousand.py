"""Many runs in one process leave nothing behind; ``benchmarks/thousand.py`` is the long form."""

import pytest

from benchmarks.thousand import State, sweep
from tests.conftest import PROCESSES


def _sweep(runs: int, queue) -> None:  # type: ignore[no-untyped-def]
    from lightning_seg.cli.train import main

    queue.put(sweep(runs, main))


@pytest.mark.slow
def test_nothing_piles_up() -> None:
    """Five of these fifty runs run out of memory."""
    queue = PROCESSES.SimpleQueue()
    process = PROCESSES.Process(target=_sweep, args=(50, queue))
    process.start()
    states: list[State] = queue.get()
    process.join()
    assert len(states) == 50
    settled, last = states[20], states[-1]
    assert last.files <= settled.files and last.threads <= settled.threads and last.tensors <= settled.tensors
    assert last.mebibytes - settled.mebibytes < 12  # 4 MiB for each failed run would be 16
