"""Processes that this one starts."""

import os


def find_modules_as_here() -> None:
    """Let them find modules where this process does.

    Workers of launchers, of timing and of W&B are started by ``python -m`` and ``-c``, which look into the working
    directory first: a file there, such as ``wandb.py`` in a folder that somebody has sent, would be run.
    """
    os.environ.setdefault("PYTHONSAFEPATH", "1")
