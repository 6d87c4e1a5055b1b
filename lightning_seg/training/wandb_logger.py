"""The W&B run of a training; no failure of it ends the training."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import wandb
from lightning.pytorch.loggers import WandbLogger
from numpy.typing import NDArray

from lightning_seg.training import wandb_run
from lightning_seg.training.wandb_run import in_one_line, run_id, start_run

log = logging.getLogger(__name__)


class CellLogger(WandbLogger):
    """The W&B run of one cell of the grid: its curves, its test metrics, its example predictions.

    The run's id follows from its address, so that a resumed run continues its curve. The first call that fails is
    reported as a warning, and later ones are left out.

    Attributes:
        works: whether nothing has failed yet. A logger that does not work from the start must not be given to a
            trainer: Lightning would try to start a W&B run itself.

    Args:
        address: study, dataset, model, loss and repeat; they name and tag the run.
        directory: of the run; W&B's local files go below it.
        config: the resolved configuration.
        project: W&B project.
        entity: W&B user or team; ``None`` for the login's own.
        group: what runs share; ``None`` for ``dataset/model/loss``.
        job_type: W&B's job type; ``None`` for the loss.
        tags: more W&B tags.
        mode: as for :func:`start_run`.
    """

    def __init__(
        self,
        address: tuple[str, str, str, str, str],
        directory: Path,
        config: dict[str, Any],
        *,
        project: str,
        entity: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: list[str] | None = None,
        mode: Literal["auto", "online", "offline"] = "auto",
    ) -> None:
        study, dataset, model, loss, repeat = address
        self.works = True
        run = self._attempt(
            lambda: start_run(
                mode,
                project=project,
                entity=entity,
                name=f"{dataset} {model} {loss} {repeat}",
                group=group or f"{dataset}/{model}/{loss}",
                job_type=job_type or loss,
                tags=[study, dataset, model, loss, *(tags or [])],
                id=run_id(*address),
                config=config,
                dir=directory,
            )
        )
        super().__init__(experiment=run, save_dir=directory)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log what Lightning hands over, with the epoch counted from 1 as everywhere; Lightning counts from 0."""
        shown = {name: value + (name == "epoch") for name, value in metrics.items()}
        self._attempt(lambda: super(CellLogger, self).log_metrics(shown, step))

    def log_test(self, scores: Mapping[str, float], cases: list[tuple[str, NDArray, NDArray, NDArray]]) -> None:
        """Put the test metrics into the run's summary and show example predictions.

        Args:
            scores: mean of each metric.
            cases: id, RGB image uint8 ``(H, W, 3)``, true mask bool ``(H, W)`` and predicted mask bool ``(H, W)``.
        """

        def overlay(mask: NDArray) -> dict[str, Any]:
            return {"mask_data": mask.astype(np.uint8), "class_labels": {0: "background", 1: "lesion"}}

        def write() -> None:
            self.experiment.summary.update({f"test_{name}": value for name, value in scores.items()})
            images = [
                wandb.Image(image, caption=name, masks={"truth": overlay(truth), "prediction": overlay(prediction)})
                for name, image, truth, prediction in cases
            ]
            self.experiment.log({"test_examples": images})

        self._attempt(write)

    def close(self, exit_code: int) -> None:
        """End the W&B run as succeeded (0) or failed; an upload that does not end is left to ``wandb sync``."""
        run = self._experiment
        if run is None:
            return
        closing = threading.Thread(target=lambda: self._attempt(lambda: run.finish(exit_code)), daemon=True)
        closing.start()
        closing.join(wandb_run.PATIENCE_SECONDS)
        if closing.is_alive():
            wandb_run.unreachable.set()
            log.warning("W&B did not finish its upload; `wandb sync %s` completes it later.", self.save_dir)

    def _attempt(self, call: Callable[[], Any]) -> Any:
        if not self.works:
            return None
        try:
            return call()
        except Exception as error:
            self.works = False
            log.warning("W&B logging is off for this run (%s); training goes on.", in_one_line(error))
            return None
