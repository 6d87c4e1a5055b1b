"""The folder of a study: which runs it holds, and which have been announced for it."""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.files import read_json, write_text
from lightning_seg.runs.folder import RunFolder, repeat_of, study_lock
from lightning_seg.wording import counted

_ANNOUNCED = "cells.json"
_TRIALS = ".tuning"
_ADDRESS = re.compile(r"(?:(?!\.)[^/\\\x00-\x1f]{1,255}/){3}repeat_(?:0|[1-9][0-9]{0,8})")


@dataclass(frozen=True)
class StudyFolder:
    """``<output_dir>/<study>``, with a run in each ``<dataset>/<model>/<loss>/repeat_<k>``.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """The study's name, which is its folder's."""
        return self.path.resolve().name

    @property
    def report(self) -> Path:
        """Where the report of all its losses lies."""
        return self.path / "report"

    @property
    def announcement(self) -> Path:
        """The list of the runs that grids have announced, from which it is known what is missing."""
        return self.path / _ANNOUNCED

    @property
    def trials(self) -> Path:
        """Where the trials of ``tune=...`` lie: a study for each of the settings that are tried."""
        return self.path / _TRIALS

    def trial_studies(self) -> "list[StudyFolder]":
        """The studies of trials, by name."""
        if self.trials.is_symlink() or not self.trials.is_dir():
            return []
        return [StudyFolder(Path(path)) for path in sorted(entry.path for entry in _folders(str(self.trials), []))]

    def runs(self) -> tuple[list[RunFolder], str]:
        """The runs that the folder holds or that grids have announced, in order, and what is wrong with the list.

        Returns:
            the runs by dataset, model, loss and repeat; and a sentence on the list of announced runs where it cannot
            be read, or nothing.
        """
        begun, waiting, problem = self.survey()
        found = [*begun, *(RunFolder(self.path / address) for address in waiting)]
        return sorted(found, key=lambda run: (run.path.parts[:-1], run.repeat)), problem

    def survey(self) -> tuple[list[RunFolder], set[str], str]:
        """The runs that the folder holds, the addresses of those only announced, and what is wrong with their list.

        No file is looked for that is known not to be there: a study may announce hundreds of thousands.
        """
        odd: list[str] = []
        begun = [RunFolder(Path(path)) for path in self._held(odd)]
        problem = ""
        if odd:
            problem = (
                f"left out: {counted(len(odd), 'folder')} in the study, such as {odd[0]}; links are not followed, and "
                "names have to be text."
            )
        waiting: set[str] = set()
        try:
            waiting = self._announced() - {run.address for run in begun}
        except UnreadableError as error:
            problem += f" {_ANNOUNCED} cannot be read ({error}); runs that have not started are not known."
        return begun, waiting, problem.strip()

    def _held(self, odd: list[str]) -> Iterable[str]:
        level = [str(self.path)]
        for _ in range(3):
            level = [entry.path for folder in level for entry in _folders(folder, odd)]
        runs = (entry for folder in level for entry in _folders(folder, odd))
        return [entry.path for entry in runs if repeat_of(entry.name) is not None]

    def _announced(self) -> set[str]:
        try:
            names = read_json(self.announcement)
        except FileNotFoundError:
            return set()
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UnreadableError("it is no list of runs")
        if not all(map(is_address, names)):
            raise UnreadableError("it names no runs")
        return set(names)

    def announce(self, runs: Iterable[RunFolder]) -> float:
        """Add runs to the list of those that grids have announced.

        Returns:
            When that was, in seconds of the file system's clock, which all hosts share.

        Raises:
            UserError: the list cannot be read.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self.lock():
            try:
                known = self._announced()
            except UnreadableError as error:
                raise UserError(
                    f"{self.announcement} cannot be read ({error}): remove it, and the same grids make it again."
                ) from error
            for partial in self.path.glob(".*.tmp"):  # of a process that was killed: this one has the lock
                partial.unlink(missing_ok=True)
            names = sorted(known | {run.address for run in runs})
            write_text(self.announcement, json.dumps(names, indent=0))
            return self.announcement.stat().st_mtime

    def lock(self) -> FileLock:
        """The lock under which the files that the study's processes share are changed."""
        return study_lock(self.path)

    def refuse_vanished(self) -> None:
        """Look whether the study, which a sweep has announced runs for, is still there.

        Raises:
            UserError: the folder was removed, or the disk that it is on is no longer mounted.
        """
        try:
            self.announcement.stat()
        except OSError as error:
            raise UserError(
                f"The sweep stops: the study's folder {self.path} has vanished (was it removed, or its disk unmounted? "
                f"{error.strerror}); once it is back, give the same command again."
            ) from error


def is_address(text: str) -> bool:
    """Whether a text is ``<dataset>/<model>/<loss>/repeat_<k>`` and leads nowhere else."""
    return _ADDRESS.fullmatch(text) is not None


def find_study(output_dir: Path, name: str) -> StudyFolder:
    """The study ``<output_dir>/<name>``, or that of a path to its folder; none has a name that starts with a point.

    Raises:
        UserError: there is no such study; the message names those that there are.
    """
    output_dir = output_dir.expanduser()
    path = Path(name).expanduser()
    directory = path if len(path.parts) > 1 and path.is_dir() else output_dir / name
    if directory.name.startswith(".") or not directory.is_dir():
        known = study_names(output_dir)
        choices = f"studies there are {', '.join(known)}" if known else "train a run first"
        raise UserError(f"There is no study {name!r} in {output_dir}; {choices}.")
    return StudyFolder(directory)


def study_names(output_dir: Path) -> list[str]:
    """The names of the studies in a folder, sorted."""
    return sorted(path.name for path in output_dir.glob("[!.]*") if path.is_dir())


def _folders(folder: str, odd: list[str]) -> list[os.DirEntry[str]]:
    """The folders in a folder but links, by which a received study might lead anywhere, and names that are no text.

    Those are added to ``odd``.
    """
    try:
        with os.scandir(folder) as entries:
            named = [entry for entry in entries if not entry.name.startswith(".")]
            odd += [entry.path for entry in named if entry.is_symlink() and Path(entry.path).is_dir()]
            folders = [entry for entry in named if entry.is_dir(follow_symlinks=False)]
            odd += [entry.path for entry in folders if not _is_text(entry.name)]
            return [entry for entry in folders if _is_text(entry.name)]
    except PermissionError:  # what cannot be looked into is not there for this user
        return []


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode("utf-8"))
    except UnicodeEncodeError:
        return False
