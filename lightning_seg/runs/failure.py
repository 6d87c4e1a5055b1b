"""How runs of a sweep fail, and whose failures those of several sweeps over one study are."""

import os
from pathlib import Path

from lightning_seg.errors import UserError
from lightning_seg.runs.record import ERROR, last_error

_SINCE = "LIGHTNING_SEG_FAILED_SINCE"  # the environment variable that tells a run which failures count


class FailedRunError(UserError):
    """A run of a search has failed; why has been said."""


class UnwritableError(UserError):
    """A disk takes no more files, so that every other run would fail as well; the message says why, in words."""


class FailedElsewhereError(UserError):
    """Another process has tried the run and failed."""


def failed_at(directory: Path) -> float:
    """When the run in ``directory`` failed, in seconds of its file system's clock; 0 if it has not."""
    try:
        return (directory / ERROR).stat().st_mtime
    except OSError:
        return 0.0


def count_failures_since(moment: float) -> str:
    """The argument that tells a job of Hydra's which failures :func:`refuse_failed` counts."""
    return f"+hydra.job.env_set.{_SINCE}={moment!r}"


def refuse_failed(directory: Path) -> None:
    """Look whether the run in ``directory`` has failed since its own sweep meant to try it.

    Raises:
        FailedElsewhereError: it has, in another process.
    """
    if _SINCE in os.environ and failed_at(directory) > float(os.environ[_SINCE]):
        raise FailedElsewhereError(
            f"{directory} has failed in another process ({last_error(directory)}); this sweep does not try it again."
        )
