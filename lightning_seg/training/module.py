"""Training, validation and test of any network with any loss."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_seg.catalogue import METRICS
from lightning_seg.data.batch import Batch
from lightning_seg.losses.distance import compare
from lightning_seg.metrics import confusion_counts, image_scores


class SegmentationModule(LightningModule):
    """One network and one loss.

    A network that returns several logit maps in training mode (see :class:`lightning_seg.models.SegmentationModel`)
    is trained with the same loss on each, weighted by its ``output_weights``. Losses and counts stay on the device
    and are read once an epoch.

    Logged at each validation's end: ``train_loss``, ``val_loss`` and ``val_<metric>`` for each of the four metrics,
    means over images.

    Args:
        model: maps normalised images ``(N, 3, H, W)`` to logits ``(N, 1, H, W)``.
        loss: maps logits and masks in {0, 1}, both ``(N, 1, H, W)``, to a scalar. If it, or a part of it, has a method
            ``set_epoch(epoch, epochs)``, that is called before each epoch of training, counted from 0.
        optimizer: makes the optimizer from the parameters.
        scheduler: makes an epoch-wise learning-rate scheduler from the optimizer.

    Attributes:
        test_counts: after a test, int64 ``(images, 4)`` on the CPU: tp, fp, fn, tn of each test image.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.test_counts: Tensor
        self._counts: list[Tensor] = []
        self._losses: dict[str, list[tuple[Tensor, int]]] = {"train_loss": [], "val_loss": []}

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, 1, H, W)``; every logit map in training mode."""
        return self.model(images)

    def on_train_epoch_start(self) -> None:
        # From the epoch alone, so that a resumed training has the very same weights.
        for part in self.loss.modules():
            if callable(set_epoch := getattr(part, "set_epoch", None)):
                set_epoch(self.current_epoch, self.trainer.max_epochs)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        outputs = self.model(batch.images)
        if isinstance(outputs, Tensor):
            loss = self._compare(outputs, batch)
        else:
            weights = cast(Sequence[float], self.model.output_weights)
            parts = (w * self._compare(logits, batch) for w, logits in zip(weights, outputs, strict=True))
            loss = cast(Tensor, sum(parts))
        self._add_loss("train_loss", loss, batch)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self.model(batch.images)
        self._add_loss("val_loss", self._compare(logits, batch), batch)
        self._counts.append(confusion_counts(logits, batch.masks))

    def on_validation_epoch_end(self) -> None:
        scores = image_scores(self._take_counts())
        self.log_dict({f"val_{name}": scores[name].mean() for name in METRICS}, batch_size=1)
        self.log_dict({name: self._take_loss(name) for name, parts in self._losses.items() if parts}, batch_size=1)
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau) and not self.trainer.sanity_checking:
            scheduler.step(scores["dice"].mean())

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = self.model(batch.images)
        self._counts.append(confusion_counts(logits, batch.masks))
        return logits  # to callbacks

    def on_test_epoch_end(self) -> None:
        self.test_counts = self._take_counts().cpu()

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.model.parameters())
        if self.make_scheduler is None:
            return optimizer
        scheduler = {"scheduler": self.make_scheduler(optimizer), "monitor": "val_dice"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        # Lightning steps by a metric only after the last hook of an epoch, too late for that epoch's resume checkpoint.
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def _compare(self, logits: Tensor, batch: Batch) -> Tensor:
        return compare(self.loss, logits, batch.masks, batch.distances)

    def _add_loss(self, name: str, loss: Tensor, batch: Batch) -> None:
        self._losses[name].append((loss.detach(), len(batch.images)))

    def _take_loss(self, name: str) -> Tensor:
        losses, sizes = zip(*self._losses[name], strict=True)
        self._losses[name] = []
        per_batch = torch.stack(losses).float()
        return (per_batch * per_batch.new_tensor(sizes)).sum() / sum(sizes)

    def _take_counts(self) -> Tensor:
        counts = torch.cat(self._counts)
        self._counts = []
        return counts
