"""The three parts of a run, made from its configuration."""

import logging
import warnings
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from omegaconf import DictConfig

from lightning_seg.build import build, build_nameless
from lightning_seg.data.datamodule import LesionDataModule
from lightning_seg.data.split import Fractions
from lightning_seg.module import SegmentationModule
from lightning_seg.speed import apply_switches, keep_freed_memory

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its banner, once a run
warnings.filterwarnings("ignore", module="lightning.pytorch.utilities._pytree")  # deprecations inside Lightning
warnings.filterwarnings("ignore", message="The number of training batches")  # nothing is logged by steps


def make_data(cfg: DictConfig) -> LesionDataModule:
    """The dataset, its split and its batches."""
    options = {key: value for key, value in cfg.data.items() if key != "fractions"}
    return LesionDataModule(
        build(cfg.dataset, "dataset"),
        fractions=Fractions(**cfg.data.fractions),
        seed=cfg.seed,
        repeat=cfg.repeat,
        **options,
    )


def make_module(cfg: DictConfig) -> SegmentationModule:
    """Network, loss, optimizer and scheduler, with the configured switches for speed."""
    keep_freed_memory()
    model = build_nameless(cfg.model, "model")
    apply_switches(model, **cfg.speed)
    return SegmentationModule(
        model,
        build_nameless(cfg.loss, "loss"),
        build(cfg.optimizer, "optimizer", _partial_=True),
        build(cfg.scheduler, "scheduler", _partial_=True) if cfg.get("scheduler") else None,
    )


def make_trainer(cfg: DictConfig, directory: Path, callbacks: list[Callback], logger: Any = None) -> Trainer:
    """Lightning's trainer; ``directory`` is where it would write, had it anything to write."""
    return build(
        cfg.trainer,
        "trainer",
        callbacks=callbacks,
        logger=logger or False,
        default_root_dir=directory,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
