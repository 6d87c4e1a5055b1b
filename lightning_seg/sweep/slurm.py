"""Slurm job arrays through the Submitit plugin, with an eye on each task."""

import itertools
import logging
import subprocess
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lightning_seg.runs import stop

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
        """Submit an array after the other, each when the one before has ended; a task that died has failed."""
        results = []
        for first in range(0, len(job_overrides), ARRAY_TASKS):
            array = job_overrides[first : first + ARRAY_TASKS]
            results += self._run(array, initial_job_idx + first) if not stop.requested() else [_NOTHING] * len(array)
        return results

    def _run(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        jobs = self._submit(job_overrides, first)
        array = jobs[0].job_id.split("_")[0]
        log.info("Slurm's job %s: %d runs", array, len(jobs))
        queued = True
        try:
            while not all(job.done() for job in jobs):
                if queued and stop.requested():
                    _cancel("--state=PENDING", array)
                    queued = False
                time.sleep(POLL_SECONDS)
        except BaseException:  # a second Ctrl-C
            _cancel(array)
            raise
        return [_result(job) for job in jobs]

    def _submit(self, job_overrides: Sequence[Sequence[str]], first: int) -> "list[Job[JobReturn]]":
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        params = dict(self.plugin.params)
        folder, requeues = params.pop("submitit_folder"), params.pop("max_num_timeout")
        executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=requeues)
        general = BaseQueueConf.__dataclass_fields__
        executor.update_parameters(**{key if key in general else f"slurm_{key}": params[key] for key in params})
        numbers = range(first, first + len(job_overrides))
        return executor.map_array(
            self.plugin,
            map(list, job_overrides),
            itertools.repeat("hydra.sweep.dir"),
            numbers,
            (f"job_id_for_{number}" for number in numbers),
            itertools.repeat(Singleton.get_state()),
        )


_NOTHING = JobReturn(status=JobStatus.COMPLETED, _return_value=float("nan"))  # of a run that a stop has kept from it


def _result(job: "Job[JobReturn]") -> JobReturn:
    try:
        return job.results()[0]
    except Exception as error:  # submitit's, for a task without a result
        return _NOTHING if stop.requested() else JobReturn(status=JobStatus.FAILED, _return_value=error)


def _cancel(*arguments: str) -> None:
    subprocess.run(["scancel", *arguments], check=False)
