"""Worker processes that end with the sweep that started them."""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lightning_seg.runs import stop

_working = threading.Lock()
_watch: threading.Thread | None = None


@contextmanager
def ending_with_parent(seconds: float = 2.0) -> Iterator[None]:
    """Let this process end once its parent has: at once between two runs, else with the epoch in hand.

    joblib's workers wait for ever for one that was killed, and keep their GPU's memory.

    Args:
        seconds: between two looks at the parent.
    """
    global _watch
    if _watch is None:
        starter, parent = multiprocessing.parent_process(), os.getppid()

        def watch() -> None:
            if starter is not None and starter.pid != parent:  # the parent is a server that forks, and lives on
                starter.join()
            else:  # of joblib's workers, whose starter cannot be joined
                while os.getppid() == parent:
                    time.sleep(seconds)
            end()

        _watch = threading.Thread(target=watch, name="parent-watch", daemon=True)
        _watch.start()
    with _working:
        yield


def end() -> None:
    """End this process: at once between two runs, else with the epoch in hand; not to be called by the run's thread."""
    stop.request()
    with _working:
        os._exit(stop.INTERRUPTED)
