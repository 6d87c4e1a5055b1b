"""What every training does at the start and at the end of an epoch."""

from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lightning_seg.seed import derive_seed


class EpochSeed(Callback):
    """Seed all of torch's random numbers (dropout and the like) from (seed, repeat, epoch) at each epoch's start.

    An epoch then draws the same numbers whether or not training was interrupted before it.
    """

    def __init__(self, seed: int, repeat: int) -> None:
        self.seed = seed
        self.repeat = repeat

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.manual_seed(derive_seed(self.seed, self.repeat, trainer.current_epoch))


class BestWeights(Callback):
    """Keep the weights of the epoch with the highest validation Dice in memory; the first of equals wins.

    They travel inside the resume checkpoint as this callback's state, so that one file holds a consistent whole.

    Attributes:
        score: the highest validation Dice so far.
        epoch: its epoch, from 0.
        weights: the network's state then.
    """

    def __init__(self) -> None:
        self.score = -1.0
        self.epoch = -1
        self.weights: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        score = float(trainer.callback_metrics["val_dice"])
        if score > self.score:
            self.score = score
            self.epoch = trainer.current_epoch
            self.weights = {
                name: value.detach().clone(memory_format=torch.contiguous_format)  # as files keep them
                for name, value in cast(nn.Module, pl_module.model).state_dict().items()
            }

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.score, self.epoch, self.weights = state_dict["score"], state_dict["epoch"], state_dict["weights"]
