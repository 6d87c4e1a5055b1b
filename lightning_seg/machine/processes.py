"""This process as it loads libraries, and processes that it starts."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager


def find_modules_as_here() -> None:
    """Let them find modules where this process does.

    Workers of launchers, of timing and of W&B are started by ``python -m`` and ``-c``, which look into the working
    directory first: a file there, such as ``wandb.py`` in a folder that somebody has sent, would be run.
    """
    os.environ.setdefault("PYTHONSAFEPATH", "1")


@contextmanager
def uncollected() -> Iterator[None]:
    """Import libraries without garbage collections: they take a quarter of the time, and find nothing in what stays."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
