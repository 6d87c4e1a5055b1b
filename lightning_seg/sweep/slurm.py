"""Slurm job arrays through the Submitit plugin, with an eye on each task."""

import itertools
import logging
import subprocess
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lightning_seg.runs import stop
from lightning_seg.wording import counted

if TYPE_CHECKING:
    from submitit import Job

log = logging.getLogger(__name__)
ARRAY_TASKS = 1000  # of one submission: Slurm's MaxArraySize is 1001 unless a cluster has set another
POLL_SECONDS = 2.0


class SlurmLauncher(Launcher):
    """The Submitit plugin's launcher for grids of any size, in which tasks may die.

    The plugin's own submits a grid as one array, which Slurm limits, and gives up at the first task that dies, although
    the others still queue and run. On a stop, this one takes tasks from the queue that have not started.

    Args:
        params: of the plugin's launcher.
    """

    def __init__(self, **params: Any) -> None:
        from hydra_plugins.hydra_submitit_launcher import submitit_launcher  # of the extra

        self.plugin = submitit_launcher.SlurmLauncher(**params)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.plugin.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Submit the runs as arrays and wait until all have ended; a task that died has failed."""
        results = [_NOTHING] * len(job_overrides)
        for group in share_out(len(job_overrides), self.plugin.params["array_parallelism"]):
            if stop.requested():
                break
            jobs: dict[int, Job[JobReturn]] = {}
            try:
                for positions, at_once in group:
                    tasks = [(job_overrides[position], initial_job_idx + position) for position in positions]
                    jobs |= zip(positions, self._submit(tasks, at_once), strict=True)
                _wait(list(jobs.values()))
            except BaseException:  # a second Ctrl-C, or an array that Slurm has refused
                _cancel(jobs.values())
                raise
            for position, job in jobs.items():
                results[position] = _result(job)
        return results

    def _submit(self, tasks: Sequence[tuple[Sequence[str], int]], at_once: int) -> "list[Job[JobReturn]]":
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        params = self.plugin.params | {"array_parallelism": at_once}
        folder, requeues = params.pop("submitit_folder"), params.pop("max_num_timeout")
        executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=requeues)
        general = BaseQueueConf.__dataclass_fields__
        executor.update_parameters(**{key if key in general else f"slurm_{key}": params[key] for key in params})
        jobs = executor.map_array(
            self.plugin,
            (list(overrides) for overrides, _ in tasks),
            itertools.repeat("hydra.sweep.dir"),
            (number for _, number in tasks),
            (f"job_id_for_{number}" for _, number in tasks),
            itertools.repeat(Singleton.get_state()),
        )
        log.info("Slurm's job %s: %s, %d at once", _array(jobs[0]), counted(len(jobs), "run"), at_once)
        return jobs


def share_out(runs: int, at_once: int) -> list[list[tuple[list[int], int]]]:
    """Job arrays for a grid, since Slurm limits their size.

    Args:
        runs: of the grid.
        at_once: how many are to work at the same time.

    Returns:
        Groups, to be submitted one after the other, of arrays side by side: the positions of an array's runs in the
        grid, and how many of them are to work at once. Where ``at_once`` allows, there is one group. The
        arrays take runs in turn, forwards and backwards, so that all last equally long although the longest come first.
    """
    count = -(-runs // ARRAY_TASKS)
    arrays = [
        [run for run in range(runs) if run % (2 * count) in (number, 2 * count - 1 - number)] for number in range(count)
    ]
    groups = [arrays[first : first + at_once] for first in range(0, count, at_once)]
    return [
        [(array, at_once // len(group) + (number < at_once % len(group))) for number, array in enumerate(group)]
        for group in groups
    ]


_NOTHING = JobReturn(status=JobStatus.COMPLETED, _return_value=float("nan"))  # of a run that a stop has kept from it


def _result(job: "Job[JobReturn]") -> JobReturn:
    try:
        return job.results()[0]
    except Exception as error:  # submitit's, for a task without a result
        return _NOTHING if stop.requested() else JobReturn(status=JobStatus.FAILED, _return_value=error)


def _wait(jobs: "Sequence[Job[JobReturn]]") -> None:
    """Until all have ended; on a stop, what has not started is taken from the queue."""
    queued = True
    while not all(job.done() for job in jobs):
        if queued and stop.requested():
            _cancel(jobs, "--state=PENDING")
            queued = False
        time.sleep(POLL_SECONDS)


def _cancel(jobs: "Iterable[Job[JobReturn]]", *options: str) -> None:
    if arrays := sorted({_array(job) for job in jobs}):
        subprocess.run(["scancel", *options, *arrays], check=False)


def _array(job: "Job[JobReturn]") -> str:
    return job.job_id.split("_")[0]
