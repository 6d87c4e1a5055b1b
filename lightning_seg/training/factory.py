"""What a training is made of, built from its configuration: data, module, metrics, trainer, logger."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from lightning import Callback, Trainer
from lightning.pytorch.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from omegaconf import DictConfig
from torch import nn

from lightning_seg.catalogue import METRICS
from lightning_seg.config.build import build, build_nameless
from lightning_seg.config.compose import plain
from lightning_seg.data.augmentation import Augmentation
from lightning_seg.data.datamodule import LesionDataModule
from lightning_seg.data.split import Fractions
from lightning_seg.errors import UserError
from lightning_seg.machine.speed import apply_switches, keep_freed_memory
from lightning_seg.metrics import MEASURES, MaskMetric, Metric
from lightning_seg.training.module import SegmentationModule

if TYPE_CHECKING:
    from lightning_seg.training.wandb_logger import CellLogger

PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}

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
        augmentation=make_augmentation(cfg),
        **options,
    )


def make_augmentation(cfg: DictConfig) -> Augmentation | None:
    """What changes training batches, or ``None`` for nothing.

    Raises:
        UserError: it cannot be built.
    """
    return build(cfg.augmentation, "augmentation") if cfg.get("augmentation") else None


def make_module(cfg: DictConfig) -> SegmentationModule:
    """Network, loss, optimizer and scheduler, with the configured switches for speed.

    Raises:
        UserError: one of them cannot be built, or the network cannot be trained as configured.
    """
    _refuse_float16_on_cpu(cfg.trainer)
    keep_freed_memory()
    model = build_nameless(cfg.model, "model")
    if cfg.data.batch_size == 1:
        _refuse_lone_images(model, cfg)
    apply_switches(model, **cfg.speed)
    return SegmentationModule(
        model,
        build_nameless(cfg.loss, "loss"),
        build(cfg.optimizer, "optimizer", _partial_=True),
        build(cfg.scheduler, "scheduler", _partial_=True) if cfg.get("scheduler") else None,
    )


class OwnMetrics(NamedTuple):
    """A user's metrics by name: those of counts of pixels, and those of masks, which have a method ``of_masks``."""

    of_counts: dict[str, Metric]
    of_masks: dict[str, MaskMetric]


def make_metrics(cfg: DictConfig) -> OwnMetrics:
    """The metrics that are measured beside those that every run has.

    Raises:
        UserError: one of them cannot be built, or has the name of one that is always measured.
    """
    chosen = cfg.get("metric") or {}
    if taken := [name for name in chosen if name in METRICS or name in MEASURES]:
        raise UserError(f"metric.{taken[0]}: that name is one of the metrics that are always measured.")
    built = {str(name): build(node, f"metric {name}") for name, node in chosen.items()}
    of_masks = {name: metric for name, metric in built.items() if hasattr(metric, "of_masks")}
    return OwnMetrics({name: metric for name, metric in built.items() if name not in of_masks}, of_masks)


def make_trainer(cfg: DictConfig, directory: Path, callbacks: list[Callback], logger: Any = None) -> Trainer:
    """Lightning's trainer; a profiler's report is all that it writes into ``directory``."""
    options: dict[str, Any] = {}
    if (name := cfg.trainer.get("profiler")) in PROFILERS:  # which of that name alone would report to a silent log
        options["profiler"] = PROFILERS[name](dirpath=directory, filename="profile")
    return build(
        cfg.trainer,
        "trainer",
        callbacks=callbacks,
        logger=logger or False,
        default_root_dir=directory,
        enable_checkpointing=False,
        enable_progress_bar=False,
        **options,
    )


@contextmanager
def logging_to_wandb(cfg: DictConfig, directory: Path) -> "Iterator[CellLogger | None]":
    """The cell's W&B logger, or ``None`` where W&B is off or does not work; closed with the run's true exit code."""
    if not cfg.logger.wandb:
        yield None
        return
    from lightning_seg.training.wandb_logger import CellLogger  # here: it loads wandb

    address = (cfg.study, cfg.dataset.name, cfg.model.name, cfg.loss.name, f"repeat_{cfg.repeat}")
    logger = CellLogger(address, directory, plain(cfg), **plain(cfg.logger.wandb))
    try:
        yield logger if logger.works else None
    except BaseException:
        logger.close(exit_code=1)
        raise
    logger.close(exit_code=0)


def _refuse_float16_on_cpu(trainer: DictConfig) -> None:
    """Lightning would train in bfloat16 instead, and the run's record would not say so."""
    on_cpu = trainer.get("accelerator", "auto") == "cpu" or not (
        torch.cuda.is_available() or torch.backends.mps.is_available()
    )
    if on_cpu and str(trainer.get("precision")) in ("16", "16-mixed"):
        raise UserError(
            f"trainer.precision={trainer.precision} needs a GPU, and this run trains on a CPU; "
            "use trainer.precision=bf16-mixed."
        )


def _refuse_lone_images(model: nn.Module, cfg: DictConfig) -> None:
    """Batch normalisation takes no statistics of a map of one pixel, which some networks have, in a batch of one."""
    size = cfg.data.image_size
    try:
        copy.deepcopy(model).to("meta").train()(torch.empty(1, 3, size, size, device="meta"))  # shapes alone
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise UserError(
                f"{cfg.model.name} at {size} pixels cannot be trained with data.batch_size=1, since its batch "
                "normalisation needs two images; use 2 or more."
            ) from error
    except Exception as error:  # whatever a network that needs numbers does without; training will tell
        logging.getLogger(__name__).debug("%s cannot be run on shapes alone: %s", cfg.model.name, error)
