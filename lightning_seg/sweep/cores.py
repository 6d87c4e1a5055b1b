"""A run a core, each with one thread: on a CPU the fastest way through a grid of small networks.

Workers are forked from a server that has loaded the libraries once, and are handed configurations that are composed
here, so that a run costs no more than in one process. This process loads no torch: it looks at the data and composes
while the server loads.
"""

import multiprocessing
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from lightning_seg.config.lean import Composer
from lightning_seg.machine.devices import cores
from lightning_seg.machine.workers import start_server
from lightning_seg.runs.fingerprint import flatten
from lightning_seg.sweep.job import InProcess
from lightning_seg.sweep.orphans import end

_AHEAD = 2  # configurations for each worker that are composed before it is free
_here: InProcess | None = None  # of a worker


class CoresLauncher(Launcher):
    """Trains runs side by side on this machine.

    Args:
        n_jobs: how many at once; null for one a core.
    """

    def __init__(self, n_jobs: int | None = None) -> None:
        self.n_jobs = n_jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config

    def load_ahead(self) -> None:
        """Start the server now, which then loads the libraries beside whatever is still to be done here."""
        start_server(["lightning_seg.sweep.libraries"])  # a worker's first run listens to Ctrl-C

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run all and wait until they have ended.

        Raises:
            BrokenProcessPool: a worker was killed.
        """
        workers = min(self.n_jobs or cores(), max(len(job_overrides), 1))
        self.load_ahead()
        composer = Composer(self.context.config_loader, self.config)
        jobs: list[Future[Any]] = []
        begin = (self.context.callbacks, self.config)
        processes = multiprocessing.get_context("forkserver")
        with ProcessPoolExecutor(workers, processes, initializer=_begin, initargs=begin) as pool:
            for number, given in enumerate(job_overrides):
                if number >= _AHEAD * workers:
                    jobs[number - _AHEAD * workers].exception()  # which waits for it
                arguments = [each for each in given if each.startswith("+hydra.")]
                overrides = [each for each in given if each not in arguments]
                flat = flatten(OmegaConf.to_container(composer.compose(overrides), resolve=False))
                jobs.append(pool.submit(_work, flat, overrides, arguments, initial_job_idx + number))
            return [_return(job) for job in jobs]


def _begin(callbacks: Callbacks, config: DictConfig) -> None:
    """Make a process a worker."""
    import torch

    from lightning_seg.sweep.worker import run_isolated

    global _here
    # Where one worker is killed, the pool sends this to all others; the sweep goes on, with new ones.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end, daemon=True).start())
    torch.set_num_threads(1)
    _here = InProcess(callbacks, run_isolated, config)


def _work(flat: dict[str, Any], overrides: list[str], arguments: list[str], number: int) -> Any:
    assert _here is not None
    return _here.run(flat, overrides, arguments, number)


def _return(job: Future[Any]) -> JobReturn:
    """What Hydra's launchers return for a job.

    Raises:
        BrokenProcessPool: its worker was killed.
    """
    error = job.exception()
    if isinstance(error, BrokenProcessPool):
        raise error
    if error is not None:
        return JobReturn(status=JobStatus.FAILED, _return_value=error)
    return JobReturn(status=JobStatus.COMPLETED, _return_value=job.result())
