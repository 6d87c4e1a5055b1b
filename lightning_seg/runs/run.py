"""One run, from its configuration to its record: the paper's protocol."""

import logging
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from omegaconf import DictConfig, OmegaConf

from lightning_seg.arrays import save_arrays
from lightning_seg.config.compose import plain
from lightning_seg.config.overrides import settings_overrides
from lightning_seg.config.rules import check_training
from lightning_seg.data.datamodule import LesionDataModule
from lightning_seg.errors import UserError
from lightning_seg.files import csv_text, write_atomic, write_json, write_text
from lightning_seg.losses.distance import needs_distances
from lightning_seg.machine.memory import in_one_sentence
from lightning_seg.metrics import MaskMetric, Scores
from lightning_seg.runs import measures, predictions, stop
from lightning_seg.runs.claim import ClaimedError
from lightning_seg.runs.elsewhere import Elsewhere, image_table, make_external
from lightning_seg.runs.fingerprint import differences, fingerprint, flatten
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.position import title
from lightning_seg.runs.record import SCHEMA, TEST_LATER, Record, versions
from lightning_seg.runs.resume import ForeignCheckpointError, ResumeCheckpoint
from lightning_seg.runs.stop import StoppedError
from lightning_seg.runs.tuning import Choice, choice_of
from lightning_seg.runs.unfinished import refuse_half_done
from lightning_seg.runs.weights import BEST, drop_lesser, keeps_weights, write_weights
from lightning_seg.seed import derive_seed
from lightning_seg.training.callbacks import BestWeights, EpochSeed
from lightning_seg.training.cases import Cases, shown_masks
from lightning_seg.training.factory import logging_to_wandb, make_data, make_metrics, make_module, make_trainer
from lightning_seg.training.history import History
from lightning_seg.training.logs import log_to
from lightning_seg.training.module import SegmentationModule
from lightning_seg.training.predictions import KeepPredictions
from lightning_seg.training.progress import EpochProgress

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> float:
    """Train, test and record one run; a finished one is left alone and a half-done one goes on.

    One that is refused before its training begins leaves nothing behind.

    Returns:
        The best validation Dice, in [0, 1].

    Raises:
        UserError: the configuration, the data or the environment is wrong, or the finished run in this place had
            another configuration.
        ClaimedError: a live process works on it, or has taken it over.
        FailedElsewhereError: another process has tried it since this one's sweep began, and failed.
        StoppedError: a stop was requested.
    """
    return train_or_find(cfg, keep_refusal=False)[0]


def train_or_find(cfg: DictConfig, keep_refusal: bool = True) -> tuple[float, bool]:
    """:func:`run`, and whether it was trained here: it may have been finished before.

    Args:
        keep_refusal: record it as a failure, as a grid does, which goes on with other runs.
    """
    check_training(cfg)
    stop.listen()
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    flat = flatten(cfg)
    folder = RunFolder.of(flat)
    choice = choice_of(flat, folder)
    name = title(cfg)
    if (finished := _finished(flat, folder, name)) is not None:
        return finished, False
    made = folder.missing()
    with folder.claim():
        # Another process may have ended the run between that look and the claim.
        if (finished := _finished(flat, folder, name)) is not None:
            return finished, False
        folder.refuse_failed()
        refuse_half_done(folder, flat)
        try:
            with in_one_sentence(cfg):
                try:
                    return _train(cfg, folder, name, choice), True
                except ForeignCheckpointError:  # which is set aside
                    return _train(cfg, folder, name, choice), True
        except (StoppedError, ClaimedError):
            raise
        except Exception as error:
            if not folder.path.is_dir():
                raise UserError(
                    f"{folder.path} has vanished in training (was it removed, or its disk unmounted?); once its disk "
                    "is there, the same command begins anew."
                ) from error
            if isinstance(error, UserError) and made and not keep_refusal and not folder.has_begun():
                folder.remove(made)
                raise
            with suppress(OSError):  # of a full disk, of which the error itself tells
                folder.write_failure(error)
            raise


def _finished(flat: dict[str, Any], folder: RunFolder, name: str) -> float | None:
    """The best validation Dice of the finished run in ``folder``, or ``None`` if there is one to train."""
    record = folder.record()
    if record is None or record.best_val_dice is None or flat["rerun"]:
        return None
    folder.tidy()
    if changed := differences(flat, record.config):
        raise UserError(
            f"{folder.path} holds a finished run of another configuration ({'; '.join(changed)}); "
            "name another study with study=..., or replace the run with rerun=true."
        )
    for where in record.untested(flat):
        log.warning("%s was not tested %s; %s", name, where, TEST_LATER)
    log.info("%s: finished before (val Dice %.4f), nothing to train", name, record.best_val_dice)
    return record.best_val_dice


def _train(cfg: DictConfig, folder: RunFolder, name: str, choice: Choice | None) -> float:
    """Split, train until validation Dice no longer rises, test the best weights unless told not to, record."""
    started, clock = datetime.now(UTC), time.perf_counter()
    folder.clear_failure()
    _save_hydra(cfg, folder)
    with log_to(folder.log):
        data, others = make_data(cfg), make_external(cfg) if cfg.test else {}
        torch.manual_seed(derive_seed(cfg.seed, cfg.repeat))
        module = make_module(cfg)
        data.serve_distances = needs_distances(module.loss)
        metrics = make_metrics(cfg)
        data.setup()  # after the network: decoding may take minutes, and a mistake in the network a moment
        # Now, while the source files are there.
        siblings = data.siblings_in_training() if cfg.test else None
        prepared = time.perf_counter()
        elsewhere = Elsewhere(folder, data, others, metrics.of_counts, cfg.test and cfg.corruptions == "standard")
        watch = _Watch(cfg, folder, data, name, elsewhere)
        with logging_to_wandb(cfg, folder.path) as wandb:
            trainer = make_trainer(cfg, folder.path, watch.callbacks, wandb)
            write_json(folder.split, data.ids())  # now that all parts could be built, training begins
            folder.result.unlink(missing_ok=True)  # of a rerun
            folder.clear_elsewhere()
            watch.fit(trainer, module)
            fitted = time.perf_counter()
            module.model.load_state_dict(watch.best.weights)
            test: dict[str, float] = {}
            if cfg.test:
                trainer.test(module, datamodule=data, verbose=False)
                folder.refuse_lost()
                scores = Scores.of(module.test_counts, metrics.of_counts)
                _write_test(folder, data, scores, watch, metrics.of_masks)
                test = scores.means
                if wandb is not None:
                    wandb.log_test(test, shown_masks(watch.cases.arrays))
            if keeps_weights(cfg):
                write_weights(cfg, folder, watch.best.weights)
        seconds = {"data": prepared - clock, "fit": watch.history.seconds, "test": time.perf_counter() - fitted}
        record = _record(cfg, data, module, test, watch, siblings, started, seconds, choice)
        folder.write(record)
        if cfg.keep_weights == BEST:
            drop_lesser(folder)
        folder.clear_leftovers()
        _announce(record, name)
    return watch.best.score


class _Watch:
    """The callbacks of a run, in the order in which they are called.

    Args:
        cfg: of the run.
        folder: of the run.
        data: its data.
        name: of the run in the log.
        elsewhere: tests on other images.

    Attributes:
        best: keeps the best weights.
        history: keeps the table of epochs.
        elsewhere: tests the best weights on other images.
        cases: keeps the logits of a few test images.
        predictions: keeps what is kept of the predictions for all validation and test images.
        callbacks: these and all others.
    """

    def __init__(
        self, cfg: DictConfig, folder: RunFolder, data: LesionDataModule, name: str, elsewhere: Elsewhere
    ) -> None:
        self.data = data
        self.name = name
        self.elsewhere = elsewhere
        self.best = BestWeights()
        self.history = History(folder.history if cfg.logger.csv else None)
        self.cases = Cases(data, cfg.cases)
        self.predictions = KeepPredictions(data)
        self._checkpoint = ResumeCheckpoint(folder, fingerprint(cfg), cfg.checkpoint.every_minutes)
        self.callbacks: list[Callback] = [
            EpochSeed(cfg.seed, cfg.repeat),
            EarlyStopping("val_dice", mode="max", check_on_train_epoch_end=False, **cfg.early_stopping),
            # Ends training with the epoch whose loss is NaN or infinite, and never for want of progress.
            EarlyStopping("train_loss", mode="min", patience=cfg.trainer.max_epochs, check_on_train_epoch_end=False),
            self.best,
            self.history,
            EpochProgress(name),
            self.cases,
            self.predictions,
            elsewhere,
            self._checkpoint,
        ]

    def fit(self, trainer: Trainer, module: SegmentationModule) -> None:
        """Train from the start, or from where an interrupted training was saved.

        Raises:
            StoppedError: a stop was requested.
            ForeignCheckpointError: what was saved is of another training, and is set aside.
        """
        saved = self._checkpoint.usable()
        try:
            trainer.fit(module, datamodule=self.data, ckpt_path=saved, weights_only=True)
        except Exception as error:
            if saved is not None:
                self._checkpoint.refuse_foreign(error)
            raise
        if self._checkpoint.stopped:
            epochs = len(self.history.rows)
            raise StoppedError(f"{self.name}: stopped after epoch {epochs}; the same command goes on from there")


def _write_test(
    folder: RunFolder, data: LesionDataModule, scores: Scores, watch: _Watch, of_masks: Mapping[str, MaskMetric]
) -> None:
    """Write the tables of test images, the cases and what is kept of the predictions."""
    contrasts = data.cache.contrasts[data.split.test]
    write_text(folder.test_images, csv_text(image_table(data.ids()["test"], scores, contrasts)))
    write_atomic(folder.cases, lambda path: save_arrays(path, watch.cases.arrays))
    predictions.write(folder, predictions.Predictions(watch.predictions.val, watch.predictions.test))
    measures.write(folder, watch.predictions.test, data.cache.masks[data.split.test][:, 0], of_masks)


def _record(
    cfg: DictConfig,
    data: LesionDataModule,
    module: SegmentationModule,
    test: dict[str, float],
    watch: _Watch,
    siblings: int | None,
    started: datetime,
    seconds: dict[str, float],
    choice: Choice | None,
) -> Record:
    diverged = not all(np.isfinite(row["train_loss"]) for row in watch.history.rows)
    return Record(
        schema=SCHEMA,
        status="diverged" if diverged else "finished",
        study=cfg.study,
        dataset=cfg.dataset.name,
        model=cfg.model.name,
        loss=cfg.loss.name,
        repeat=cfg.repeat,
        fingerprint=fingerprint(cfg),
        overrides=_arguments(choice),
        config=plain(cfg),
        seed=cfg.seed,
        versions=versions(),
        host=platform.node(),
        device=_device_name(module.device),
        parameters=sum(p.numel() for p in module.model.parameters()),
        weights_source=getattr(module.model, "weights_source", None),
        training_version=getattr(module.model, "training_version", 1),
        epochs=len(watch.history.rows),
        best_epoch=watch.best.epoch + 1,
        best_val_dice=watch.best.score,
        test=test,
        external=watch.elsewhere.external,
        corruptions=watch.elsewhere.corruptions,
        images={name: len(ids) for name, ids in data.ids().items()},
        siblings_in_training=siblings,
        reading=data.cache.reading,
        started=started.isoformat(timespec="seconds"),
        seconds={part: round(length, 3) for part, length in seconds.items()},
        tuning=choice.as_json() if choice is not None else None,
    )


def _arguments(choice: Choice | None) -> list[str]:
    """The command line's arguments, without those by which a grid has set what was chosen."""
    if not HydraConfig.initialized():
        return []
    chosen = settings_overrides(choice.settings) if choice is not None else []
    return [argument for argument in HydraConfig.get().overrides.task if argument not in chosen]


def _announce(record: Record, name: str) -> None:
    if record.status == "diverged":
        log.warning("%s: DIVERGED, the loss was no longer finite at epoch %d", name, record.epochs)
    tested = f"test Dice {record.test['dice']:.4f}, " if record.test else ""
    log.info("%s: %sbest val Dice %.4f at epoch %d", name, tested, record.best_val_dice, record.best_epoch)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def _save_hydra(cfg: DictConfig, folder: RunFolder) -> None:
    """The ``.hydra`` folder that Hydra itself would write, but only once a run really starts."""
    place = folder.configuration.parent
    place.mkdir(exist_ok=True)
    write_text(folder.configuration, OmegaConf.to_yaml(cfg))
    if HydraConfig.initialized():
        hydra_cfg = HydraConfig.get()
        write_text(place / "hydra.yaml", OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra_cfg})))
        write_text(place / "overrides.yaml", OmegaConf.to_yaml(hydra_cfg.overrides.task))
