"""Stopping on request: the first signal lets the epoch end and be saved, the second ends the process at once."""

import signal
import threading
from types import FrameType

from lightning_seg.errors import UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # Ctrl-C; kill and clusters; Slurm's warning
INTERRUPTED = 130  # the exit code of what ended on request, as a shell reports Ctrl-C
_requested = threading.Event()
_taken: set[signal.Signals] = set()


class StoppedError(UserError):
    """A run has ended early because it was asked to; its state is saved."""


def listen() -> None:
    """Take the stop signals that nothing but Python's default handles; a cluster's own handlers stay.

    To be called again where a library may have put its handler in front of a signal taken before.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        if number in _taken or signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _handle)
            _taken.add(number)


def requested() -> bool:
    """Whether a stop has been asked for."""
    return _requested.is_set()


def _handle(number: int, frame: FrameType | None) -> None:
    if _requested.is_set():
        raise KeyboardInterrupt
    _requested.set()
