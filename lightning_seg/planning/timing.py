"""How long a network's training steps take on this device, and how much memory: measured on random images."""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from omegaconf import DictConfig

from lightning_seg.data.datamodule import LesionDataModule
from lightning_seg.data.split import Split
from lightning_seg.losses.distance import distance_maps, needs_distances
from lightning_seg.machine.memory import in_one_sentence
from lightning_seg.planning.timed import EVAL_BATCHES, MOST_EPOCHS, MOST_SECONDS, STEPS, TIMED_SECONDS, Timing
from lightning_seg.training.callbacks import BestWeights
from lightning_seg.training.factory import make_augmentation, make_module, make_trainer
from lightning_seg.training.history import History
from lightning_seg.wording import counted


class _RandomImages(LesionDataModule):
    """Random images of the configured size in place of a dataset."""

    def __init__(self, cfg: DictConfig) -> None:
        data: dict[str, Any] = {name: cfg.data[name] for name in ("image_size", "batch_size", "eval_batch_size")}
        super().__init__(
            None,  # type: ignore[arg-type]
            **data,
            fractions=None,  # type: ignore[arg-type]
            seed=0,
            repeat=0,
            cache_dir="",
            mean=cfg.data.mean,
            std=cfg.data.std,
            resident=cfg.data.resident,
            augmentation=make_augmentation(cfg),
        )

    def prepare_data(self) -> None:
        pass

    def setup(self, stage: str = "") -> None:
        train, evaluation = (
            np.arange(count) for count in (STEPS * self.batch_size, EVAL_BATCHES * self.eval_batch_size)
        )
        self.split = Split(train, evaluation, evaluation)
        shape = (max(len(train), len(evaluation)), 1, self.image_size, self.image_size)
        draw = torch.Generator().manual_seed(0)
        self._masks = torch.rand(shape, generator=draw) < 0.2
        self._images = torch.randint(0, 256, (shape[0], 3, *shape[2:]), dtype=torch.uint8, generator=draw)
        self._distances = distance_maps(self._masks).half() if self.serve_distances else None


class _Clock(Callback):
    """Times the parts of short epochs until enough of them are timed, or the time is up.

    Args:
        warms_up: whether the first epoch is to end however long it takes, as where ``torch.compile`` works in it.
    """

    def __init__(self, warms_up: bool) -> None:
        self.epochs: list[dict[str, float]] = []
        self._warms_up = warms_up

    def _now(self, trainer: Trainer) -> float:
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _is_up(self, now: float) -> bool:
        """Whether the time is up."""
        if not self._warms_up:
            return now - self.started >= MOST_SECONDS
        return bool(self.epochs) and now - self.started - self.epochs[0]["all"] >= MOST_SECONDS

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = self._now(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._train, self._steps = 0.0, 0
        self._epoch = self._step = self._now(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        now = self._now(trainer)
        self._train, self._steps = now - self._step, self._steps + 1
        if self._is_up(now):
            trainer.should_stop = True  # after a validation

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._eval = 0.0
        self._batch = self._now(trainer)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object, **__: object) -> None:
        self._eval = self._now(trainer) - self._batch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        now = self._now(trainer)
        self.epochs.append({"all": now - self._epoch, "train": self._train, "eval": self._eval, "steps": self._steps})
        timed = now - self.started - self.epochs[0]["all"]
        enough = len(self.epochs) > 1 and (timed >= TIMED_SECONDS or len(self.epochs) > MOST_EPOCHS)
        trainer.should_stop = enough or self._is_up(now)

    @property
    def steps(self) -> int:
        """How many were timed."""
        return int(sum(epoch["steps"] for epoch in self._timed()))

    def median(self, value: Callable[[dict[str, float]], float]) -> float:
        return float(np.median([value(epoch) for epoch in self._timed()]))

    def _timed(self) -> list[dict[str, float]]:
        """All epochs but the one that warms up, where the time has sufficed for more."""
        return self.epochs[1:] or self.epochs


def time_training(cfg: DictConfig) -> Timing:
    """Train the configured network for a few steps on random images and measure; nothing is left on disk.

    It trains for ``MOST_SECONDS``, and until a step and the validation after it have ended; with ``torch.compile``, not
    counting the first epoch.

    Its encoder starts at random: that takes as long, and downloads nothing. To be called in a process of its own, whose
    memory nothing else has filled.

    Args:
        cfg: of a run; its dataset does not matter.

    Raises:
        UserError: the network cannot be built.
        OutOfMemoryError: it does not fit into memory.
    """
    if cfg.get("threads"):
        torch.set_num_threads(cfg.threads)
    before, started = _resident_bytes(), time.perf_counter()
    clock = _Clock(warms_up=cfg.speed.compile is not None)
    with in_one_sentence(cfg), tempfile.TemporaryDirectory() as name:
        module = make_module(cfg)
        # Those of a run that take time at an epoch's end; the clock comes last and so measures them.
        callbacks: list[Callback] = [
            EarlyStopping("val_dice", mode="max", patience=10**9, check_on_train_epoch_end=False),
            BestWeights(),
            History(Path(name) / "metrics.csv"),
            clock,
        ]
        trainer = make_trainer(cfg, Path(name), callbacks)
        data = _RandomImages(cfg)
        data.serve_distances = needs_distances(module.loss)
        trainer.fit(module, datamodule=data)
    device = trainer.strategy.root_device
    setup = clock.started - started
    if cfg.speed.compile is not None:
        setup += clock.epochs[0]["all"] - clock.median(lambda epoch: epoch["all"])
    on_gpu = device.type == "cuda"
    return Timing(
        setup=setup,
        train_step=clock.median(lambda epoch: epoch["train"] / epoch["steps"]),
        eval_batch=clock.median(lambda epoch: epoch["eval"] / EVAL_BATCHES),
        epoch_end=clock.median(lambda epoch: epoch["all"] - epoch["train"] - epoch["eval"]),
        peak_bytes=torch.cuda.max_memory_reserved(device) if on_gpu else _peak_bytes() - before,
        device_bytes=torch.cuda.get_device_properties(device).total_memory if on_gpu else 0,
        device=torch.cuda.get_device_name(device) if on_gpu else f"CPU, {counted(torch.get_num_threads(), 'thread')}",
        parameters=sum(p.numel() for p in module.model.parameters()),
        steps=clock.steps,
    )


def _resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return _peak_bytes()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
