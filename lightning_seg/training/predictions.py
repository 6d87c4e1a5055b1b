"""What is kept of a run's predictions for its validation and test images, all made with the same weights."""

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from lightning_seg.data.batch import Batch
from lightning_seg.data.datamodule import LesionDataModule
from lightning_seg.predicted import BINS, THRESHOLDS, Predicted

_THRESHOLDS = torch.tensor(THRESHOLDS)
_EDGES = torch.linspace(0, 1, BINS + 1)


class KeepPredictions(Callback):
    """Takes the test's own logits as they are made, and those of the validation images in one pass after it.

    Args:
        data: whose images.

    Attributes:
        val, test: there after a test.
    """

    def __init__(self, data: LesionDataModule) -> None:
        self.data = data
        self.val: Predicted
        self.test: Predicted
        self._collected = Collected()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._collected = Collected()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        assert isinstance(outputs, Tensor)  # what test_step returns
        self._collected.add(outputs, batch.masks)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data, ids = self.data, self.data.ids()
        self.test = self._collected.of(ids["test"])
        collected = Collected()
        with torch.inference_mode(), trainer.precision_plugin.forward_context():
            pl_module.eval()
            for batch in data.val_dataloader():
                moved = data.transfer_batch_to_device(batch._replace(distances=None), pl_module.device, 0)
                ready = data.on_after_batch_transfer(moved, 0)
                collected.add(pl_module(ready.images), ready.masks)
        self.val = collected.of(ids["val"])


class Collected:
    """Sums over batches. Summed on the CPU in float64, so that they repeat on every device."""

    def __init__(self) -> None:
        self._counts: list[NDArray[np.int32]] = []
        self._packed: list[NDArray[np.uint8]] = []
        self._calibration: list[NDArray[np.float64]] = []
        self._width = 0

    def add(self, logits: Tensor, masks: Tensor) -> None:
        """Take one batch: logits (N, 1, H, W), floating point, and masks of the same shape, 0 and 1."""
        probabilities = torch.sigmoid(logits.float()).cpu()  # of the device, as the counts of the test are
        lesion = (masks > 0).long().cpu()
        self._counts.append(_counts(probabilities, lesion))
        self._calibration.append(_calibration(probabilities, lesion))
        self._packed.append(np.packbits((probabilities[:, 0] > 0.5).numpy(), axis=-1))
        self._width = probabilities.shape[-1]

    def of(self, ids: list[str]) -> Predicted:
        """All of it, of images with these ids."""
        # Image by image, so that the sums do not depend on the size of batches.
        pixels, probability, squared_error = np.concatenate(self._calibration).sum(axis=0)
        return Predicted(
            ids=ids,
            counts=np.concatenate(self._counts),
            pixels=pixels.astype(np.int64),
            probability=probability,
            squared_error=squared_error,
            packed=np.concatenate(self._packed),
            width=self._width,
        )


def _counts(probabilities: Tensor, lesion: Tensor) -> NDArray[np.int32]:
    """Pixels of each image at each threshold, (N, 19, 4), from probabilities and masks (N, 1, H, W)."""
    images, steps = len(probabilities), len(THRESHOLDS) + 1
    passed = torch.bucketize(probabilities, _THRESHOLDS)  # how many thresholds lie below
    cell = (torch.arange(images).view(-1, 1, 1, 1) * 2 + lesion) * steps + passed
    by_step = torch.bincount(cell.flatten(), minlength=images * 2 * steps).view(images, 2, steps)
    positive = by_step.flip(-1).cumsum(-1).flip(-1)  # how many pixels pass so many thresholds at least
    whole, called = positive[..., :1], positive[..., 1:]
    fp, tp = called.unbind(1)
    tn, fn = (whole - called).unbind(1)
    return torch.stack((tp, fp, fn, tn), dim=-1).int().numpy()


def _calibration(probabilities: Tensor, lesion: Tensor) -> NDArray[np.float64]:
    """Of each image by class and bin: pixels, sum of probabilities, sum of squared errors, (N, 3, 2, 16)."""
    images, cells = len(probabilities), 2 * len(_EDGES)
    cell = torch.arange(images).view(-1, 1, 1, 1) * cells + lesion * len(_EDGES)
    cell = (cell + torch.bucketize(probabilities, _EDGES, right=True) - 1).flatten()
    exact = probabilities.double()
    weights = (None, exact.flatten(), ((exact - lesion) ** 2).flatten())
    sums = [torch.bincount(cell, each, images * cells).double().view(images, 2, -1) for each in weights]
    return torch.stack(sums, dim=1).numpy()
