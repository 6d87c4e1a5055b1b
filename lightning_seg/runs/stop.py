"""Stopping on request: the first signal lets the epoch end and be saved, the second ends the process at once."""

import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from lightning_seg.errors import UserError
from lightning_seg.terminal import errors

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # Ctrl-C; kill and clusters; Slurm's warning
GOES_ON = "goes on where this one stopped"
INTERRUPTION = f"interrupted; the same command {GOES_ON}"
STOPPING = "stopping after this epoch; a second Ctrl-C stops at once"
INTERRUPTED = 130  # the exit code of what ended on request, as a shell reports Ctrl-C
_FILE = "LIGHTNING_SEG_STOP"  # the environment variable that tells worker processes where to look for a request
_requested = threading.Event()
_handlers: dict[signal.Signals, Callable[..., Any] | int] = {}
_file: Path | None = None
_is_worker: bool | None = None  # where another process, which says what is to be said, hands out the work


class StoppedError(UserError):
    """A run has ended early because it was asked to; its state is saved."""


def listen() -> None:
    """Take the stop signals that nothing but Python's default handles; a cluster's own handlers stay.

    To be called again where a library may have put its handler in front of them.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    global _is_worker
    if _is_worker is None:
        _is_worker = _file is None and _FILE in os.environ
    for number in SIGNALS:
        if number not in _handlers:
            current = signal.getsignal(number)
            if current is None:  # not Python's
                continue
            _handlers[number] = _handle if current in (signal.SIG_DFL, signal.default_int_handler) else current
        signal.signal(number, _handlers[number])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _handlers)  # where they were kept waiting until now


def requested() -> bool:
    """Whether a stop has been asked for, here or where this process's work comes from."""
    return _requested.is_set() or ((file := _shared_file()) is not None and file.exists())


def signalled() -> bool:
    """Whether it was this process's user or system who asked."""
    return _requested.is_set()


def request() -> None:
    """Ask this process to stop."""
    _requested.set()


def ask_others() -> None:
    """Ask all processes that work for the same sweep to stop, if the disk lets it be written."""
    if (file := _shared_file()) is not None:
        with suppress(OSError):
            file.touch()


@contextmanager
def shared(folder: Path) -> Iterator[str]:
    """Pass requests on to worker processes, wherever they are, by a file in ``folder`` that exists once there is one.

    Yields:
        The argument that tells a job of Hydra's about it.
    """
    from lightning_seg.config.overrides import override_value  # here: it loads Hydra, which a look at claims needs not

    global _file
    _file = folder.resolve() / f".stop-{platform.node()}-{os.getpid()}"
    _file.unlink(missing_ok=True)  # of a process of this number that was killed, such as the first of a container
    try:
        yield f"+hydra.job.env_set.{_FILE}={override_value(str(_file))}"
    finally:
        _file.unlink(missing_ok=True)
        _file = None


def _shared_file() -> Path | None:
    return _file or (Path(os.environ[_FILE]) if _FILE in os.environ else None)


def _handle(number: int, frame: FrameType | None) -> None:
    if _requested.is_set():
        _say(INTERRUPTION)
        sys.exit(INTERRUPTED)  # not KeyboardInterrupt: Lightning would end the process in its own way
    request()
    if errors().is_terminal and not _is_worker:
        # In a thread, as any other line above a bar: this one may have interrupted a print.
        threading.Thread(target=errors().print, args=(f"\n{STOPPING}",)).start()
    else:
        _say(STOPPING)
    ask_others()


def _say(sentence: str) -> None:
    """Print from a signal handler, which may have interrupted a print."""
    if not _is_worker:
        start = "\n" if os.isatty(2) else ""  # after the terminal's ^C
        with suppress(OSError):
            os.write(2, f"{start}{sentence}\n".encode())
