"""A claim on a run's folder, so that no two processes work on the same run."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from lightning_seg.errors import UserError
from lightning_seg.files import write_text

CLAIM = "claim.json"
HEARTBEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0  # a claim whose heartbeat is older belongs to a dead process


class ClaimedError(UserError):
    """Another live process works on the run."""


@contextmanager
def claim(directory: Path, lease: float = LEASE_SECONDS, heartbeat: float = HEARTBEAT_SECONDS) -> Iterator[None]:
    """Hold the run in ``directory`` for this process, over all hosts that share the folder.

    The claim is a file whose modification time is renewed every ``heartbeat`` seconds; it dies at once with its
    process where that ran on this host, and after ``lease`` seconds with its host.

    Raises:
        ClaimedError: a live process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / CLAIM
    with study_lock(directory):
        if is_claimed(directory, lease):
            raise ClaimedError(f"{directory} is being trained by another process; it is left to that one.")
        write_text(path, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(heartbeat):
            with suppress(OSError):  # a file system that hiccups once must not end the heartbeat
                os.utime(path)

    thread = threading.Thread(target=beat, name="claim-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        path.unlink(missing_ok=True)


def study_lock(directory: Path) -> FileLock:
    """The lock under which the files that a study's processes share are changed, from one of its runs' folders."""
    return FileLock(directory.parents[3] / ".lock")


def is_claimed(directory: Path, lease: float = LEASE_SECONDS) -> bool:
    """Whether a live process works on the run in ``directory``."""
    path = directory / CLAIM
    try:
        owner = json.loads(path.read_text())
        age = time.time() - path.stat().st_mtime
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    # The age counts on this host too: the process number may have passed on to another process.
    return age < lease and (owner["host"] != socket.gethostname() or _is_alive(owner["pid"]))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
