"""The table of a run's epochs."""

import logging
import time
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from lightning_seg.files import csv_text, write_text

log = logging.getLogger(__name__)


class History(Callback):
    """One row an epoch in ``metrics.csv``: epoch (from 1), all logged metrics, learning rate, seconds.

    The rows travel inside the resume checkpoint and the file is rewritten whole, so that an interrupted run's table
    has each epoch once. Where it cannot be written, one warning says so and each epoch tries again.

    Args:
        path: of the table; ``None`` keeps it in memory only.

    Attributes:
        rows: the table, one mapping an epoch.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self._started = 0.0
        self._warned = False
        self._learning_rate = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()
        self._learning_rate = trainer.optimizers[0].param_groups[0]["lr"]  # later a scheduler has changed it

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
        seconds = round(time.perf_counter() - self._started, 3)
        self.rows.append(
            {"epoch": trainer.current_epoch + 1, **metrics, "learning_rate": self._learning_rate, "seconds": seconds}
        )
        if self.path is not None:
            try:
                write_text(self.path, csv_text([self.rows[0], *(row.values() for row in self.rows)]))
            except OSError as error:
                if not self._warned:
                    log.warning("%s cannot be written (%s); training goes on and tries again.", self.path, error)
                self._warned = True

    @property
    def seconds(self) -> float:
        """All epochs together, those before an interruption included."""
        return sum(row["seconds"] for row in self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rows = state_dict["rows"]
        older = bool(rows) and rows[0]["epoch"] == 0  # the first version counted from 0
        self.rows = [row | {"epoch": row["epoch"] + older} for row in rows]
