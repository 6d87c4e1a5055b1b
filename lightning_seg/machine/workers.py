"""The process that worker processes are forked from."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker


def start_server(preload: list[str]) -> None:
    """Start the process that workers are forked from, which loads these modules beside what is done here.

    A Ctrl-C reaches neither it nor workers that do not ask for it: signals of a terminal are sent to all of its
    processes, and each would print a traceback of its own.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(preload)
    resource_tracker.ensure_running()  # before signals are blocked: it lets them through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Let a Ctrl-C take effect after this block, as where a process is started: half of a start is an error there.

    For the main thread. A blocked signal would not do: another thread of the process would be given it.
    """
    seen = False

    def note(*_: object) -> None:
        nonlocal seen
        seen = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if seen:
        signal.raise_signal(signal.SIGINT)
