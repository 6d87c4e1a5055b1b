"""Hydra's multirun as a study: finished cells are skipped, failures are isolated, repeats vary slowest."""

import itertools
import logging
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lightning_seg import once
from lightning_seg.config.datasets import check_datasets
from lightning_seg.config.overrides import override_value
from lightning_seg.errors import UserError
from lightning_seg.runs import stop
from lightning_seg.runs.claim import CLAIM, await_heartbeats
from lightning_seg.runs.failure import UnwritableError, count_failures_since
from lightning_seg.runs.fingerprint import differences
from lightning_seg.runs.position import announce_position
from lightning_seg.runs.record import TEST_LATER, Record
from lightning_seg.runs.tuning import describe
from lightning_seg.runs.unfinished import refuse_half_done
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.studies.left import Pair, Seconds, seconds_left
from lightning_seg.sweep.cells import Cell, expand, grid_overrides, longest_first
from lightning_seg.sweep.job import InProcess
from lightning_seg.sweep.outcome import Outcome, Outcomes, contents, print_summary
from lightning_seg.sweep.tuning import Tuning, tuning_of
from lightning_seg.wording import counted

log = logging.getLogger(__name__)
LEAST_FREE_BYTES = 64 * 2**20
POLL_SECONDS = 5.0  # between two looks at trials that other processes have in hand
FRUITLESS_LAUNCHES = 3  # in a row, after which what is left has failed


class GridSweeper(Sweeper):
    """Run every combination of the swept values, ``repeat`` varying slowest.

    Finished cells are dropped before anything is launched. In-process, cells go to the launcher one by one, so that
    nothing of a cell stays in memory and each is looked at again just before it starts: other processes may work on
    the same study. A parallel launcher gets all at once and packs them itself. The sweep ends with a table, and with a
    non-zero exit code if a cell failed or a stop was requested.

    Args:
        params: swept by default, such as ``repeat: 0,1,2,3,4``; the command line takes precedence.
        retry: how often a cell is tried again whose failure may pass (out of memory, a killed worker).
        fail_fast: stop at the first failure.
    """

    def __init__(self, params: DictConfig, retry: int, fail_fast: bool) -> None:
        self.params = params
        self.retry = retry
        self.fail_fast = fail_fast

        self._taken: defaultdict[Pair, list[Seconds]] = defaultdict(list)  # by finished runs, to tell the time left

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.started = datetime.now(UTC).replace(microsecond=0)  # as runs record it
        self.config: DictConfig = config
        self.loader: ConfigLoader = hydra_context.config_loader
        self.here = InProcess(hydra_context.callbacks, task_function, config)
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        overrides = grid_overrides(self.loader, self.params, arguments)
        cells = expand(self.loader, self.config, overrides)
        tuning = tuning_of(self.loader, self.config, overrides, cells)
        finished = self._look(cells, tuning.keys if tuning else ())
        done = set(finished)
        check_datasets(cell.config for cell in cells if cell not in done)  # before anything is left behind
        started, total = _announce(cells), len(cells)
        outcomes: Outcomes = {}
        trials: Outcomes = {}
        stop.listen()
        try:
            if tuning:
                cells = self._tune(tuning, trials)
                finished = self._look(cells)
            self._run(cells, finished, outcomes, started)
        finally:
            print_summary(outcomes, total, trials)
        if stop.requested():
            sys.exit(stop.INTERRUPTED)
        if Outcome.FAILED in (*trials.values(), *outcomes.values()):
            sys.exit(1)

    def _look(self, cells: list[Cell], apart: Collection[str] = ()) -> list[Cell]:
        """The cells that are finished.

        Raises:
            UserError: a run of another configuration lies where one of the cells belongs.
        """
        finished, lacking = [], Counter[str]()
        self._taken.clear()
        for cell in cells:
            record = cell.folder.record()
            if record is None:
                refuse_half_done(cell.folder, cell.config, apart)
            elif cell.config["rerun"]:
                continue
            elif changed := differences(cell.config, record.config, apart):
                raise UserError(
                    f"{cell.folder.path} holds a finished run of another configuration ({'; '.join(changed)}), so "
                    "nothing was started; name another study with study=..., or replace such runs with rerun=true."
                )
            else:
                finished.append(cell)
                self._learn(cell, record)
                lacking.update(record.untested(cell.config))
        for where, count in lacking.items():
            log.warning("not tested %s: %s; %s", where, counted(count, "finished run"), TEST_LATER)
        return finished

    def _tune(self, tuning: Tuning, outcomes: Outcomes) -> list[Cell]:
        """Run the trials that are left, filling ``outcomes``, and choose; the cells with what is chosen for them.

        A cell of which a trial has failed is left out: its loss would have had fewer chances than the others.
        """
        trials = tuning.left()
        if trials:
            _refuse_other_trials(trials, tuning)
            self._taken.clear()  # trials may be shorter than runs
            log.info("trials come first, of %s", ", ".join(tuning.keys))
            started = _announce(trials)
            self._run(trials, [trial for trial in trials if self._record(trial)], outcomes, started)
            self._await_others(trials, outcomes, started)
        for cell, choice in tuning.choose().items():
            edge = f"; {', '.join(choice.edge)} at the edge of what was tried" if choice.edge else ""
            log.info("%s: %s has the best validation Dice of trials%s", cell, describe(choice.settings), edge)
        return [] if self._ends(outcomes) else tuning.tuned()

    def _await_others(self, cells: list[Cell], outcomes: Outcomes, started: float) -> None:
        """Wait for what other processes have in hand, and take it over where they drop it."""
        while not self._ends(outcomes):
            busy = [each for each in cells if outcomes.get(each.folder) is Outcome.ELSEWHERE and not self._record(each)]
            if not busy:
                return
            if all(cell.folder.is_claimed() for cell in busy):
                time.sleep(POLL_SECONDS)
            self._pass(busy, outcomes, started)

    def _run(self, cells: list[Cell], finished: list[Cell], outcomes: Outcomes, started: float) -> None:
        """Run what is not finished, filling ``outcomes`` along the way."""
        if not cells:  # of a grid whose trials have failed or were stopped
            return
        outcomes |= {cell.folder: Outcome.SKIPPED for cell in finished}
        for folder in outcomes:
            folder.tidy()
        waiting = [cell for cell in cells if cell.folder not in outcomes]
        where = contents([cell.folder for cell in cells])
        log.info("%s: %d finished before, %d to run", where, len(outcomes), len(waiting))
        if waiting and (load_ahead := getattr(self.launcher, "load_ahead", None)):
            load_ahead()
        since = started
        for attempt in range(self.retry + 1):
            if attempt:
                if not waiting or self._ends(outcomes):
                    break
                log.info("tried again: %s", counted(len(waiting), "failed run"))
                since = max(cell.folder.failed_at() for cell in waiting)
            self._pass(waiting, outcomes, since)
            waiting = [cell for cell in waiting if outcomes.get(cell.folder) is Outcome.FAILED and _may_pass(cell)]
        # What another process had in hand may have been dropped with it.
        elsewhere = [cell for cell in cells if outcomes.get(cell.folder) is Outcome.ELSEWHERE]
        await_heartbeats(cell.folder.path for cell in elsewhere)
        self._pass(elsewhere, outcomes, started)
        for cell in elsewhere:
            cell.folder.tidy()

    def _ends(self, outcomes: Outcomes) -> bool:
        """Whether nothing more is to be started."""
        return stop.requested() or (self.fail_fast and Outcome.FAILED in outcomes.values())

    def _pass(self, cells: list[Cell], outcomes: Outcomes, since: float) -> None:
        """Run each cell once, but none that has failed in another process ``since``; outcomes replace earlier ones."""
        batches = [[cell] for cell in cells] if self._serial else [longest_first(cells)]
        waiting = Counter(map(_pair, cells))
        for number, batch in enumerate(batches):
            if self._ends(outcomes):
                return
            check_study(batch)
            if self._serial:
                announce_position(number, len(batches), seconds_left(self._taken, waiting))
            try:
                self._launch(batch, number, since, outcomes)
            except UnwritableError as error:
                check_disk(batch)
                raise UserError(
                    f"The sweep stops: nothing more can be written ({error}); "
                    "put that right and give the same command again."
                ) from error
            check_study(batch)
            if self._serial:
                self._learn(batch[0], self._record(batch[0]))
                waiting[_pair(batch[0])] -= 1
            failed = [cell for cell in batch if outcomes.get(cell.folder) is Outcome.FAILED]
            check_disk(failed)
            check_datasets(cell.config for cell in failed)

    def _learn(self, cell: Cell, record: Record | None) -> None:
        """Take into account how long a run has taken."""
        if record is not None:
            self._taken[_pair(cell)].append(record.seconds)

    def _launch(self, batch: list[Cell], number: int, since: float, outcomes: Outcomes) -> None:
        """Hand what of the batch is not finished, claimed or failed ``since`` to the launcher, and note the outcomes.

        A killed worker takes a parallel launcher's whole batch with it, so what is left is launched again.

        Raises:
            UserError: the launcher does not start anything.
            UnwritableError: a disk takes no more files.
        """
        launched = [cell for cell in batch if self._is_due(cell, since)]
        for cell in launched:
            cell.folder.clear_failure()
        waiting, fruitless = launched, 0
        left_to_others: set[Cell] = set()
        with stop.shared(Path(self.config.hydra.sweep.dir)) as argument, once.shared() as told:
            told_argument = f"+hydra.job.env_set.{once.VARIABLE}={override_value(told)}"
            arguments = [argument, count_failures_since(since), told_argument]
            try:
                while waiting and not stop.requested() and fruitless < FRUITLESS_LAUNCHES:
                    try:
                        left_to_others = self._hand_over(waiting, arguments, number)
                        break
                    except UnwritableError:
                        raise
                    except Exception as error:
                        reason = f"{type(error).__name__}: {error}".splitlines()[0]
                        log.error("the launcher gave up (%s)", reason)
                        before = len(waiting)
                        waiting = [cell for cell in waiting if not (self._record(cell) or cell.folder.failure())]
                        fruitless = fruitless + 1 if len(waiting) == before else 0
                        # A run that kills its process must not take the others with it again: those at work come last.
                        waiting.sort(key=lambda cell: (cell.folder.path / CLAIM).exists())
                if fruitless == FRUITLESS_LAUNCHES and len(waiting) == len(launched):
                    raise UserError(f"The launcher started no run: {reason}")
            finally:  # a second Ctrl-C comes through here, too
                own = set(launched) - left_to_others
                for cell in batch:
                    with suppress(OSError):  # of a lost file system, which the next look at the study tells of
                        if (outcome := self._outcome(cell, cell in own, since)) is not None:
                            outcomes[cell.folder] = outcome

    @property
    def _serial(self) -> bool:
        """Whether runs are trained in this process."""
        # By name: Hydra loads its plugins' modules anew when it looks for plugins, which makes another class of it.
        return type(self.launcher).__name__ == "BasicLauncher"

    def _hand_over(self, cells: list[Cell], arguments: list[str], number: int) -> set[Cell]:
        """Have cells run; those that have turned out to be another process's."""
        if self._serial:
            here = self.here
            return {cell for cell in cells if here.run(cell.composed, cell.overrides, arguments, number) is None}
        jobs = self.launcher.launch([[*cell.overrides, *arguments] for cell in cells], initial_job_idx=number)
        return {cell for cell, job in zip(cells, jobs, strict=True) if _returned(job) is None}

    def _is_due(self, cell: Cell, since: float) -> bool:
        if cell.folder.is_claimed() or self._record(cell):
            return False
        if cell.folder.failed_at() > since:
            log.info("%s has failed in another process, and is left alone", cell.folder.path)
            return False
        return True

    def _record(self, cell: Cell) -> Record | None:
        """The record of a finished cell; with ``rerun`` only one of this sweep counts."""
        record = cell.folder.record()
        if record is None or (cell.config["rerun"] and datetime.fromisoformat(record.started) < self.started):
            return None
        return record

    def _outcome(self, cell: Cell, launched: bool, since: float) -> Outcome | None:
        """What became of a cell; ``None`` if a stop came before it was started."""
        if (record := self._record(cell)) is not None:
            diverged = record.status == "diverged"
            return (Outcome.DIVERGED if diverged else Outcome.RAN) if launched else Outcome.ELSEWHERE
        if cell.folder.is_claimed() and not (launched and stop.requested()):
            return Outcome.ELSEWHERE
        if cell.folder.failure():
            return Outcome.FAILED
        if not launched:  # another process had it, and has dropped it since
            return Outcome.ELSEWHERE
        if not stop.requested():
            return Outcome.FAILED
        return Outcome.STOPPED if cell.folder.started_at() >= since else None


def _pair(cell: Cell) -> Pair:
    return cell.folder.dataset, cell.folder.model


def _returned(job: JobReturn) -> float | None:
    """What a job returned, or what it raised, raised here; its own property prints all overrides first."""
    if job.status is JobStatus.FAILED:
        raise job._return_value
    return job.return_value


def _refuse_other_trials(trials: list[Cell], tuning: Tuning) -> None:
    for trial in trials:
        if (record := trial.folder.record()) is None:
            refuse_half_done(trial.folder, trial.config)
        elif changed := differences(trial.config, record.config):
            raise UserError(
                f"{trial.folder.path} holds a trial of another configuration ({'; '.join(changed)}), so nothing was "
                f"started; name another study with study=..., or remove {StudyFolder(tuning.study).trials}."
            )


def _announce(cells: list[Cell]) -> float:
    """Announce the cells to their studies; returns when that was, in seconds of the studies' file system's clock."""
    by_study = itertools.groupby((cell.folder for cell in cells), key=lambda folder: folder.study)
    return max(StudyFolder(study).announce(folders) for study, folders in by_study)


def check_study(cells: list[Cell]) -> None:
    """Look whether the studies that the sweep has announced are still there.

    Raises:
        UserError: one is not.
    """
    for study in {cell.folder.study for cell in cells}:
        StudyFolder(study).refuse_vanished()


def check_disk(cells: list[Cell]) -> None:
    """Look whether there is room for another record or cache where those of failed cells lie.

    Raises:
        UserError: a disk is full, so every other run would fail as well.
    """
    studies = {cell.folder.study for cell in cells}
    caches = {Path(cell.config["data.cache_dir"]).expanduser() for cell in cells}
    for folder in sorted(studies | caches):
        if folder.exists() and (free := shutil.disk_usage(folder).free) < LEAST_FREE_BYTES:
            raise UserError(
                f"The sweep stops: only {free / 2**20:.0f} MiB are free where {folder} lies; "
                "make room and give the same command again."
            )


def _may_pass(cell: Cell) -> bool:
    """Whether a failed cell may succeed without anything being put right; one that was killed may."""
    failure = cell.folder.failure()
    return failure is None or failure.may_pass
