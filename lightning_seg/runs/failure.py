"""How a run has failed: recorded as a kind and a sentence, beside the traceback."""

import os
from dataclasses import asdict, dataclass
from enum import StrEnum

from lightning_seg.errors import OutOfMemoryError, UnreadableError, UserError
from lightning_seg.files import unwritable

_SINCE = "LIGHTNING_SEG_FAILED_SINCE"  # the environment variable that tells a run which failures count


class FailedRunError(UserError):
    """A run of a search has failed; why has been said."""


class UnwritableError(UserError):
    """A disk takes no more files, so that every other run would fail as well; the message says why, in words."""


class FailedElsewhereError(UserError):
    """Another process has tried the run and failed."""


class FailureKind(StrEnum):
    """What kind of failure it is, which decides whether trying again can help."""

    USER = "user"  # something has to be put right first
    MEMORY = "memory"
    DISK = "disk"
    OTHER = "other"


@dataclass(frozen=True)
class Failure:
    """A run's failure.

    Attributes:
        kind: see :class:`FailureKind`.
        message: the error's class, unless it is a sentence for the user, and its message.
    """

    kind: FailureKind
    message: str

    @property
    def may_pass(self) -> bool:
        """Whether the run may succeed without anything being put right."""
        return self.kind is not FailureKind.USER

    def as_json(self) -> dict[str, str]:
        """The object that is written."""
        return asdict(self)

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """The failure that an error means."""
        text = " ".join(str(error).split())
        if isinstance(error, UserError):
            return cls(FailureKind.MEMORY if isinstance(error, OutOfMemoryError) else FailureKind.USER, text)
        kind = FailureKind.DISK if unwritable(error) else FailureKind.OTHER
        return cls(kind, f"{type(error).__name__}: {text}" if text else type(error).__name__)

    @classmethod
    def from_json(cls, value: object) -> "Failure":
        """Check what was read from a file.

        Raises:
            UnreadableError: it is no failure.
        """
        if not isinstance(value, dict) or not isinstance(value.get("message"), str):
            raise UnreadableError("it is no failure")
        known = value.get("kind") in list(FailureKind)
        return cls(FailureKind(value["kind"]) if known else FailureKind.OTHER, value["message"])

    @classmethod
    def from_traceback(cls, text: str) -> "Failure":
        """The failure that a traceback tells of: versions before 0.2 wrote nothing else."""
        lines = text.splitlines()
        deepest = max((number for number, line in enumerate(lines) if line.startswith("  File ")), default=-1)
        last = next((line for line in lines[deepest + 1 :] if line and not line.startswith(" ")), "")
        name, _, message = last.partition(": ")
        if not name.startswith("lightning_seg."):
            return cls(FailureKind.OTHER, last)
        return cls(FailureKind.MEMORY if name.endswith("OutOfMemoryError") else FailureKind.USER, message)


def count_failures_since(moment: float) -> str:
    """The argument that tells a job of Hydra's which failures its run counts, see :func:`counts`."""
    return f"+hydra.job.env_set.{_SINCE}={moment!r}"


def counts(failed_at: float) -> bool:
    """Whether a failure of that moment is one of this process's own sweep, which then leaves the run alone."""
    return _SINCE in os.environ and failed_at > float(os.environ[_SINCE])
