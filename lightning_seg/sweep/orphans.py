"""Worker processes that end with the sweep that started them."""

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
        parent = os.getppid()

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(seconds)
            stop.request()
            with _working:
                os._exit(stop.INTERRUPTED)

        _watch = threading.Thread(target=watch, name="parent-watch", daemon=True)
        _watch.start()
    with _working:
        yield
