"""How far a run is: a live bar on a terminal, and one line an epoch in the log."""

import logging
import time

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import TextColumn

from lightning_seg.terminal import Bars, errors

log = logging.getLogger(__name__)


class EpochProgress(Callback):
    """Show epoch, loss and validation Dice.

    On a terminal, below the title, a bar runs over the epochs and one over the steps of the current epoch. Each epoch
    is one log line without control characters, kept from a terminal with a bar
    (:class:`lightning_seg.training.logs.NotDrawn`). Nothing is read from the device but what was logged anyway.

    Args:
        title: what is being trained.
        console: where the bar is drawn; a console that is not a terminal gets none.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.title = title
        self.console = console or errors()
        self._bar: Bars | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.console.is_terminal:
            return
        state = (TextColumn("{task.fields[dice]}"), TextColumn("{task.fields[loss]}"))
        self._bar = Bars(self.console, self.title, further=state)
        self._bar.start()
        done = trainer.current_epoch
        self._epochs = self._bar.add_task("epochs", total=trainer.max_epochs, completed=done, dice="", loss="")
        self._steps = self._bar.add_task("steps", total=trainer.num_training_batches, dice="", loss="")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()
        if self._bar is not None:
            self._bar.reset(self._steps)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        if self._bar is not None:
            self._bar.advance(self._steps)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        values = trainer.callback_metrics
        loss, dice = f"loss {values['train_loss']:.4f}", f"val Dice {values['val_dice']:.4f}"
        if self._bar is not None:
            self._bar.update(self._epochs, advance=1, dice=dice, loss=loss)
        seconds = time.perf_counter() - self._started
        drawn = {"drawn": self._bar is not None}
        epoch = trainer.current_epoch + 1
        log.info("%s: epoch %d, %s, %s, %.1f s", self.title, epoch, loss, dice, seconds, extra=drawn)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()  # a run that fails gets no teardown

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
