"""The folder of a run: where its files lie, what state it is in, how its record is read and written."""

import itertools
import re
import shutil
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from lightning_seg.errors import UnreadableError
from lightning_seg.files import read_bytes, read_json, refuse_links, write_json, write_text
from lightning_seg.runs import claim
from lightning_seg.runs.claim import CLAIM, ClaimedError
from lightning_seg.runs.failure import FailedElsewhereError, Failure, FailureKind, counts
from lightning_seg.runs.record import Record

RESULT = "result.json"
WEIGHTS = "weights.safetensors"
CASES = "cases.npz"
PREDICTIONS = "predictions.npz"
MEASURES = "test_measures.csv"
_MOST_RECORD_BYTES = 4 * 2**20  # a hundred times the usual; as objects they take thirty times as much
_MOST_TEXT_BYTES = 2**20  # of a traceback
_LOCK = ".lock"  # of a study
_REPEAT = re.compile(r"repeat_(0|[1-9][0-9]{0,8})", re.ASCII)


class State(StrEnum):
    """What has become of a run."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    FAILED = "failed"
    RUNNING = "running"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Look:
    """One look at a run.

    Attributes:
        state: what has become of it.
        record: of a run that has finished or diverged.
        failure: of a run that has failed.
        problem: why the record cannot be read, in a few words, where it cannot.
    """

    state: State
    record: Record | None = None
    failure: Failure | None = None
    problem: str = ""


@dataclass(frozen=True, order=True)
class RunFolder:
    """``<study>/<dataset>/<model>/<loss>/repeat_<k>``, which need not exist yet.

    Attributes:
        path: the folder.
    """

    path: Path

    @classmethod
    def of(cls, flat: dict[str, Any]) -> "RunFolder":
        """The folder of the run with a flat configuration."""
        parts = (flat[key] for key in ("output_dir", "study", "dataset.name", "model.name", "loss.name"))
        return cls(Path(*map(str, parts), f"repeat_{flat['repeat']}").expanduser())

    @property
    def study(self) -> Path:
        """The study's folder."""
        return self.path.parents[3]

    @property
    def address(self) -> str:
        """Where the run lies in its study, with slashes on every system."""
        return self.path.relative_to(self.study).as_posix()

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return self.path.parts[-4]

    @property
    def model(self) -> str:
        """The network's name."""
        return self.path.parts[-3]

    @property
    def loss(self) -> str:
        """The loss's name."""
        return self.path.parts[-2]

    @cached_property
    def repeat(self) -> int:
        """The number of the repeat, from 0."""
        number = repeat_of(self.path.name)
        if number is None:
            raise ValueError(f"{self.path} is no run's folder")
        return number

    @property
    def result(self) -> Path:
        """The record, which makes the run count."""
        return self.path / RESULT

    @property
    def error(self) -> Path:
        """The traceback of a failure."""
        return self.path / "error.txt"

    @property
    def failure_file(self) -> Path:
        """The failure's kind and message."""
        return self.path / "error.json"

    @property
    def log(self) -> Path:
        """The log of all trainings here."""
        return self.path / "train.log"

    @property
    def configuration(self) -> Path:
        """The configuration, written as training begins or goes on."""
        return self.path / ".hydra" / "config.yaml"

    @property
    def history(self) -> Path:
        """The table of epochs."""
        return self.path / "metrics.csv"

    @property
    def split(self) -> Path:
        """The ids of each subset, written as training begins."""
        return self.path / "split.json"

    @property
    def test_images(self) -> Path:
        """The table of test images."""
        return self.path / "test_images.csv"

    @property
    def cases(self) -> Path:
        """A few test images with their logits."""
        return self.path / CASES

    @property
    def predictions(self) -> Path:
        """What is kept of the predictions for all validation and test images."""
        return self.path / PREDICTIONS

    @property
    def measures(self) -> Path:
        """The scores of the test images by measures of masks."""
        return self.path / MEASURES

    def external(self, dataset: str) -> Path:
        """The table of the images of another dataset."""
        return self.path / f"external_{dataset}.csv"

    @property
    def corruptions(self) -> Path:
        """The table of the test images made worse."""
        return self.path / "corruptions.csv"

    @property
    def weights(self) -> Path:
        """The best weights, where they are kept."""
        return self.path / WEIGHTS

    def checkpoint(self, fingerprint: str) -> Path:
        """What a run of a configuration needs to be resumed."""
        return self.path / f"resume-{fingerprint}.ckpt"

    def siblings(self) -> "list[RunFolder]":
        """The repeats of the same dataset, model and loss that are there, this one among them, in order."""
        return repeats_in(self.path.parent)

    def read(self) -> Record:
        """The record.

        Raises:
            FileNotFoundError: there is none.
            UnreadableError: it is no record.
        """
        return Record.from_json(read_json(self.result, _MOST_RECORD_BYTES))

    def record(self) -> Record | None:
        """The record of a run that has ended, or ``None``; one that cannot be read does not count."""
        try:
            return self.read()
        except (FileNotFoundError, UnreadableError):
            return None

    def look(self) -> Look:
        """What has become of a study's run, without an error whatever its files hold.

        A record that says it is another run's counts as unreadable.
        """
        try:
            record = self.read()
            for name in ("dataset", "model", "loss", "repeat"):
                if (said := getattr(record, name)) not in ("", None, found := getattr(self, name)):
                    raise UnreadableError(f"it says {name} {said!r} but lies in the folder of {found!r}")
            return Look(State(record.status), record)
        except FileNotFoundError:
            pass
        except UnreadableError as error:
            return Look(State.UNREADABLE, problem=str(error))
        if claim.is_claimed(self.path):
            return Look(State.RUNNING)
        if (failure := self.failure()) is not None:
            return Look(State.FAILED, failure=failure)
        return Look(State.MISSING)

    def write(self, record: Record) -> None:
        """Write the record that makes the run count."""
        write_json(self.result, record.as_json())

    def has_begun(self) -> bool:
        """Whether a training here has ever begun."""
        return self.split.is_file()

    def missing(self) -> list[Path]:
        """The folders that a claim will make: the run's own, and those above it that are not there, from below."""
        if self.path.exists():
            return []
        return [self.path, *itertools.takewhile(lambda path: not path.exists(), self.path.parents)]

    def remove(self, made: Sequence[Path]) -> None:
        """Take away a run that has not begun, with the folders that were :meth:`missing` before it, but for what
        others have since put there.
        """
        shutil.rmtree(self.path)
        with suppress(OSError):
            for path in made[1:]:
                if path == self.study and [*path.iterdir()] == [path / _LOCK]:
                    (path / _LOCK).unlink()
                path.rmdir()

    def failure(self) -> Failure | None:
        """How the run has failed, or ``None`` if it has not."""
        try:
            told = read_bytes(self.error, _MOST_TEXT_BYTES)
        except FileNotFoundError:
            return None
        except UnreadableError as error:
            return Failure(FailureKind.OTHER, f"{self.error.name} cannot be read ({error})")
        try:
            return Failure.from_json(read_json(self.failure_file, _MOST_TEXT_BYTES))
        except (FileNotFoundError, UnreadableError):
            return Failure.from_traceback(told.decode("utf-8", errors="replace"))

    def write_failure(self, error: BaseException) -> None:
        """Record how the run has failed."""
        write_json(self.failure_file, Failure.of(error).as_json())
        write_text(self.error, "".join(traceback.format_exception(error)))

    def clear_failure(self) -> None:
        """Forget an earlier failure."""
        refuse_links(self.path, self.study)
        self.error.unlink(missing_ok=True)
        self.failure_file.unlink(missing_ok=True)

    def failed_at(self) -> float:
        """When the run failed, in seconds of its file system's clock; 0 if it has not."""
        return _changed_at(self.error)

    def started_at(self) -> float:
        """When training last began or went on, in seconds of the file system's clock; 0 if it never has."""
        return _changed_at(self.configuration)

    def lock(self) -> FileLock:
        """The lock under which the files that a study's processes share are changed."""
        return study_lock(self.study)

    def claim(self) -> AbstractContextManager[None]:
        """Hold the run for this process.

        Raises:
            ClaimedError: a live process holds it.
            UserError: see :meth:`refuse_links`.
        """
        self.refuse_links()
        return claim.claim(self.path, self.lock)

    def refuse_links(self) -> None:
        """Look whether what a training writes here would stay here.

        Raises:
            UserError: the folder, one above it in the study, or something in it is a link.
        """
        refuse_links(self.path, self.study)
        found = [*self.path.iterdir(), *self.configuration.parent.glob("*")] if self.path.is_dir() else []
        for path in (*found, self.study / _LOCK):
            refuse_links(path, path.parent)

    def is_claimed(self) -> bool:
        """Whether a live process works on the run."""
        return claim.is_claimed(self.path)

    def refuse_lost(self) -> None:
        """Look whether this process still holds the run, which it has claimed.

        Raises:
            ClaimedError: it was asleep or cut off for longer than its lease, and another one has taken the run over.
        """
        if not claim.is_own(self.path) and ((self.path / CLAIM).exists() or self.record() is not None):
            raise ClaimedError(
                f"{self.path} was taken over by another process, as this one was not heard of for too long."
            )

    def refuse_failed(self) -> None:
        """Look whether the run has failed since this process's own sweep meant to try it.

        Raises:
            FailedElsewhereError: it has, in another process.
        """
        if counts(self.failed_at()) and (failure := self.failure()) is not None:
            raise FailedElsewhereError(
                f"{self.path} has failed in another process ({failure.message}); this sweep does not try it again."
            )

    def clear_elsewhere(self) -> None:
        """Remove the tables of an earlier training's tests elsewhere."""
        for path in (*self.path.glob("external_*.csv"), self.corruptions):
            path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what is left where a process was killed between the record and the run's end."""
        claimed = self.path / CLAIM
        if not (claimed.exists() or any(self._leftovers())):  # as nearly always, and grids look at thousands
            return
        if self.record() is not None and not self.is_claimed():
            self.refuse_links()
            self.clear_leftovers()
            claimed.unlink(missing_ok=True)

    def clear_leftovers(self) -> None:
        """Remove what a run needs only until it has ended, and files that it was killed while writing."""
        for leftover in self._leftovers():
            leftover.unlink(missing_ok=True)

    def _leftovers(self) -> Iterator[Path]:
        yield from self.path.glob("resume-*.ckpt*")
        yield from self.partial_files()

    def partial_files(self) -> Iterator[Path]:
        """What a process was killed while writing; to be looked for by the run's owner alone."""
        yield from self.path.glob("*.tmp")
        yield from self.configuration.parent.glob("*.tmp")
        yield from self.path.glob(".tmp*")  # safetensors' own


def repeat_of(name: str) -> int | None:
    """The number in a folder's name ``repeat_<k>``, or ``None``."""
    matched = _REPEAT.fullmatch(name)
    return int(matched[1]) if matched else None


def study_lock(study: Path) -> FileLock:
    """The lock of a study's folder."""
    return FileLock(study / _LOCK)


def repeats_in(cell: Path) -> list[RunFolder]:
    """The run folders of a cell, ``<dataset>/<model>/<loss>``, by repeat."""
    found = [path for path in cell.iterdir() if repeat_of(path.name) is not None] if cell.is_dir() else []
    return sorted((RunFolder(path) for path in found), key=lambda folder: folder.repeat)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
