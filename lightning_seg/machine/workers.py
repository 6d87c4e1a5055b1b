"""The process that worker processes are forked from."""

import multiprocessing
import signal
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


def end_silently() -> None:
    """Let a worker of that process end by Ctrl-C at once, without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
