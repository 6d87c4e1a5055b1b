"""The smallest training that the module's own tests need: two images a batch, two batches, on the CPU."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningDataModule, Trainer
from torch import Tensor, nn

from lightning_seg.data.batch import Batch
from lightning_seg.training.module import SegmentationModule


class TinyData(LightningDataModule):
    """Six images of 8 x 8, whose masks say where they are bright."""

    def __init__(self) -> None:
        super().__init__()
        images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        self.batches = [Batch(part, (part.mean(1, keepdim=True) > 0).float()) for part in images.split(2)]

    def _loader(self) -> "TinyLoader":
        return TinyLoader(self.batches)

    train_dataloader = val_dataloader = test_dataloader = _loader


class TinyLoader:
    """Gives batches as they are."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)


class FailingStep(SegmentationModule):
    """Fails in its second training step."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if batch_idx == 1:
            raise ArithmeticError
        return super().training_step(batch, batch_idx)


def make_module(
    kind: type[SegmentationModule] = SegmentationModule,
    model: nn.Module | None = None,
    optimizer: Callable[..., Any] = torch.optim.SGD,
    scheduler: Callable[..., Any] | None = None,
    **options: Any,
) -> SegmentationModule:
    torch.manual_seed(0)
    model = model or nn.Conv2d(3, 1, 1)
    return kind(model, nn.BCEWithLogitsLoss(), lambda p: optimizer(p, **({"lr": 0.1} | options)), scheduler)


def fit(
    callbacks: list[Callback] | None = None,
    epochs: int = 2,
    module: type[SegmentationModule] | SegmentationModule = SegmentationModule,
    data: TinyData | None = None,
    ckpt_path: Path | None = None,
    **options: Any,
) -> Trainer:
    """Train, and return the trainer."""
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    module = module if isinstance(module, SegmentationModule) else make_module(module)
    trainer.fit(module, datamodule=data or TinyData(), ckpt_path=ckpt_path)
    return trainer
