"""A claim on a run's folder, so that no two processes work on the same run."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.files import read_json, write_text
from lightning_seg.runs import stop

CLAIM = "claim.json"
HEARTBEAT_SECONDS = 10.0
_MOST_BYTES = 4096
LEASE_SECONDS = 60.0  # a claim whose heartbeat is older belongs to a dead process


class ClaimedError(UserError):
    """Another live process works on the run."""


@contextmanager
def claim(
    directory: Path,
    lock: Callable[[], AbstractContextManager[object]],
    lease: float = LEASE_SECONDS,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> Iterator[None]:
    """Hold the run in ``directory`` for this process, over all hosts that share the folder.

    The claim is a file whose modification time is renewed every ``heartbeat`` seconds; it dies at once with its
    process where that ran on this host, and after ``lease`` seconds with its host.

    Args:
        directory: of the run.
        lock: makes the lock under which claims of the study change.
        lease: seconds after which a silent claim is void.
        heartbeat: seconds between two renewals.

    Raises:
        ClaimedError: a live process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / CLAIM
    with lock():
        if is_claimed(directory, lease):
            raise ClaimedError(f"{directory} is being trained by another process; it is left to that one.")
        write_text(path, json.dumps(_this_process()))
    released = threading.Event()

    def beat() -> None:
        while not released.wait(heartbeat):
            # A file system that hiccups once must not end the heartbeat; nor may a host that slept for longer than
            # the lease renew what another one has taken since.
            with suppress(OSError):
                if _is_own(path):
                    os.utime(path)

    thread = threading.Thread(target=beat, name="claim-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        released.set()
        thread.join()
        if _is_own(path):
            path.unlink(missing_ok=True)


def is_claimed(directory: Path, lease: float = LEASE_SECONDS) -> bool:
    """Whether a live process works on the run in ``directory``."""
    path = directory / CLAIM
    owner = _read(path)
    return owner is not None and _is_alive(owner, recent=abs(_age(path)) < lease)


def await_heartbeats(directories: Iterable[Path]) -> None:
    """Wait until it is known of each claim in ``directories`` whether its process lives.

    That is the case as soon as it has been renewed or released or has expired; at once for a process of this host.
    """
    renewed = {path: _mtime(path) for directory in directories if (path := directory / CLAIM).exists()}
    while not stop.requested() and any(
        (owner := _read(path)) and not _is_near(owner) and _mtime(path) == seen and abs(_age(path)) < LEASE_SECONDS
        for path, seen in renewed.items()
    ):
        time.sleep(1)


def is_own(directory: Path) -> bool:
    """Whether this process holds the claim on the run in ``directory``."""
    return _is_own(directory / CLAIM)


def _read(path: Path) -> dict[str, Any] | None:
    """Whose claim it is; ``None`` without one, and where it is none that this program has written."""
    try:
        owner = read_json(path, _MOST_BYTES)
    except (OSError, UnreadableError):
        return None
    if not isinstance(owner, dict) or not isinstance(owner.get("host"), str):
        return None
    pid, created = owner.get("pid"), owner.get("created", 0)
    known = isinstance(pid, int) and 0 < pid < 2**31 and isinstance(created, int | float) and abs(created) < 2**53
    return owner if known else None


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _age(path: Path) -> float:
    """Seconds since the claim in ``path`` was renewed, by the clock of its file system, which all hosts share.

    It is negative where a claim was made by another clock, or made up.
    """
    with suppress(OSError):  # where this user may only read
        os.utime(path.parent)
        return path.parent.stat().st_mtime - _mtime(path)
    return time.time() - _mtime(path)


def _this_process() -> dict[str, Any]:
    process = psutil.Process()
    return {"host": socket.gethostname(), "space": _space(), "pid": process.pid, "created": process.create_time()}


@cache
def _space() -> str:
    """What process numbers count in: neither hosts nor containers of one name need to be the same."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_near(owner: dict[str, Any]) -> bool:
    """Whether the claim's process would be seen from here."""
    return owner["host"] == socket.gethostname() and owner.get("space", _space()) == _space()


def _is_own(path: Path) -> bool:
    owner = _read(path)
    return owner is not None and _is_near(owner) and owner["pid"] == os.getpid()


def _is_alive(owner: dict[str, Any], recent: bool) -> bool:
    if not _is_near(owner):
        return recent
    try:
        process = psutil.Process(owner["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # A process that slept with its machine has an old claim; so has one whose number was passed on.
        return recent or abs(process.create_time() - owner.get("created", 0)) < 1
    except psutil.NoSuchProcess:
        return False
