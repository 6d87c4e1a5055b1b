"""A run as a job of this process: what Hydra's own launcher does, without composing the configuration anew."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus, configure_log, env_override, setup_globals
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from lightning_seg.sweep.cells import nested


class InProcess:
    """Runs jobs one by one.

    Args:
        callbacks: Hydra's, which are told.
        task: what a job does.
        config: what Hydra has loaded for the whole grid.
    """

    def __init__(self, callbacks: Callbacks, task: TaskFunction, config: DictConfig) -> None:
        self._callbacks, self._task, self._config = callbacks, task, config

    def run(self, flat: dict[str, Any], overrides: Sequence[str], arguments: Sequence[str], number: int) -> Any:
        """Run one job.

        Args:
            flat: its flat configuration, references left.
            overrides: what of the command line has made it.
            arguments: for the job's environment, ``+hydra.job.env_set.NAME=value``.
            number: of the job.

        Returns:
            What the task returns.
        """
        setup_globals()
        task, job = nested(flat), nested(flat)
        for cfg in (task, job):
            OmegaConf.set_struct(cfg, True)
        self._add_hydra(job, overrides, arguments, number)
        Path(job.hydra.runtime.output_dir).mkdir(parents=True, exist_ok=True)
        configure_log(job.hydra.job_logging, job.hydra.verbose)
        hydra, before = HydraConfig.instance(), HydraConfig.instance().cfg
        hydra.set_config(job)
        result = JobReturn(overrides=[*overrides], cfg=task, hydra_cfg=cast(DictConfig, hydra.cfg))
        try:
            with env_override({str(key): str(value) for key, value in job.hydra.job.env_set.items()}):
                self._callbacks.on_job_start(config=job, task_function=self._task)
                result.return_value = value = self._task(task)
                result.status = JobStatus.COMPLETED
                return value
        except Exception as error:
            result.return_value, result.status = error, JobStatus.FAILED
            raise
        finally:
            self._callbacks.on_job_end(config=job, job_return=result)
            hydra.cfg = before
            configure_log(self._config.hydra.hydra_logging, self._config.hydra.verbose)

    def _add_hydra(self, job: DictConfig, overrides: Sequence[str], arguments: Sequence[str], number: int) -> None:
        """Give a job's configuration Hydra's node, as it stands for this job."""
        with open_dict(job):
            job.hydra = self._config.hydra
            own = job.hydra
        OmegaConf.set_readonly(own, False)
        with open_dict(own):
            own.overrides.task = [*overrides]
            own.job.id, own.job.num = str(number), number
            own.job.override_dirname = ",".join(overrides)
            # Without those of parts of a loss, which are the first cell's.
            choices = {key: value for key, value in own.runtime.choices.items() if "@" not in key}
            pairs = (override.partition("=") for override in overrides)
            choices.update({key: value.strip("'\"") for key, _, value in pairs if key in choices})
            own.runtime.choices = choices
            for each in OverridesParser.create().parse_overrides(list(arguments)):
                own.job.env_set[each.key_or_group.rpartition(".")[2]] = each.value()
            own.runtime.output_dir = str(Path(str(job.hydra.sweep.dir)).absolute())
