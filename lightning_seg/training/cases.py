"""A few test images with their logits: what pictures of a run are made of."""

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer

from lightning_seg.arrays import Arrays
from lightning_seg.data.datamodule import LesionDataModule, normalise


class Cases(Callback):
    """Takes the logits of some test images at the test's end, on the device and in the precision of the test.

    The images are evenly spread in id order, so that every model and loss shows the same ones.

    Args:
        data: whose test images.
        count: how many.

    Attributes:
        arrays: ``ids`` ``(N,)``, ``images`` uint8 ``(N, 3, H, W)``, ``masks`` bool ``(N, H, W)``, ``logits`` float32
            ``(N, H, W)``.
    """

    def __init__(self, data: LesionDataModule, count: int) -> None:
        self.data = data
        self.count = count
        self.arrays: Arrays = {}

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data, test = self.data, self.data.split.test
        positions = test[np.linspace(0, len(test) - 1, min(self.count, len(test)), dtype=int)]
        images = np.ascontiguousarray(data.cache.images[positions])
        batch = normalise(torch.from_numpy(images).to(pl_module.device), data.mean, data.std)
        with torch.inference_mode(), trainer.precision_plugin.forward_context():
            logits = pl_module.eval()(batch)
        self.arrays = {
            "ids": np.array([data.cache.ids[i] for i in positions]),
            "images": images,
            "masks": data.cache.masks[positions][:, 0],
            "logits": logits.float().cpu().numpy()[:, 0],
        }


def shown_masks(arrays: Arrays) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Of each case its id, image ``(H, W, 3)``, mask and predicted mask."""
    return [
        (str(name), image.transpose(1, 2, 0), mask, logits > 0)
        for name, image, mask, logits in zip(*(arrays[k] for k in ("ids", "images", "masks", "logits")), strict=True)
    ]
