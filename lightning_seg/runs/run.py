"""One run, from its configuration to its record."""

import csv
import io
import json
import logging
import platform
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.callbacks import EarlyStopping
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_file
from torch import Tensor

from lightning_seg.catalogue import COUNTS, METRICS
from lightning_seg.config.compose import check
from lightning_seg.errors import UserError
from lightning_seg.files import write_atomic, write_text
from lightning_seg.machine import memory
from lightning_seg.metrics import image_scores
from lightning_seg.runs import stop
from lightning_seg.runs.claim import ClaimedError, claim, refuse_lost, tidy
from lightning_seg.runs.failure import refuse_failed
from lightning_seg.runs.position import position
from lightning_seg.runs.record import (
    ERROR,
    RESULT,
    STARTED,
    WEIGHTS,
    differences,
    fingerprint,
    flatten,
    leftovers,
    read_result,
    run_directory,
    versions,
    write_result,
)
from lightning_seg.runs.resume import ResumeCheckpoint
from lightning_seg.runs.stop import StoppedError
from lightning_seg.seed import derive_seed
from lightning_seg.training.callbacks import BestWeights, EpochSeed
from lightning_seg.training.cases import Cases, predictions, save_cases
from lightning_seg.training.factory import make_data, make_module, make_trainer
from lightning_seg.training.history import History
from lightning_seg.training.progress import EpochProgress

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> float:
    """Train, test and record one run; a finished one is left alone and a half-done one goes on.

    Returns:
        The best validation Dice, in [0, 1].

    Raises:
        UserError: the configuration, the data or the environment is wrong, or the finished run in this place had
            another configuration.
        ClaimedError: a live process works on it, or has taken it over.
        FailedElsewhereError: another process has tried it since this one's sweep began, and failed.
        StoppedError: a stop was requested.
    """
    check(cfg)
    stop.listen()
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    directory = run_directory(flatten(cfg))
    title = f"{position()}{cfg.dataset.name} {cfg.model.name} {cfg.loss.name} repeat {cfg.repeat}"
    if (finished := _finished(cfg, directory, title)) is not None:
        return finished
    with claim(directory):
        # Another process may have ended the run between that look and the claim.
        if (finished := _finished(cfg, directory, title)) is not None:
            return finished
        refuse_failed(directory)
        try:
            with memory.explained(cfg):
                return _train(cfg, directory, title)
        except (StoppedError, ClaimedError):
            raise
        except Exception:
            write_text(directory / ERROR, traceback.format_exc())
            raise


def _finished(cfg: DictConfig, directory: Path, title: str) -> float | None:
    """The best validation Dice of the finished run in ``directory``, or ``None`` if there is one to train."""
    record = read_result(directory)
    if record is None or cfg.rerun:
        return None
    tidy(directory)
    if changed := differences(flatten(cfg), record):
        raise UserError(
            f"{directory} holds a finished run of another configuration ({'; '.join(changed)}); "
            "name another study with study=..., or replace the run with rerun=true."
        )
    log.info("%s: finished before (val Dice %.4f), nothing to train", title, record["best_val_dice"])
    return record["best_val_dice"]


def _train(cfg: DictConfig, directory: Path, title: str) -> float:
    started, clock = datetime.now(UTC), time.perf_counter()
    (directory / ERROR).unlink(missing_ok=True)
    _save_hydra(cfg, directory)
    with _log_file(directory / "train.log"):
        data = make_data(cfg)
        torch.manual_seed(derive_seed(cfg.seed, cfg.repeat))
        module = make_module(cfg)
        data.setup()  # after the network: decoding may take minutes, and a mistake in the network a moment
        siblings = data.siblings_in_training()  # now, while the source files are there
        write_text(directory / "split.json", json.dumps(data.ids(), indent=1) + "\n")
        prepared = time.perf_counter()

        best, history = BestWeights(), History(directory / "metrics.csv" if cfg.logger.csv else None)
        checkpoint = directory / f"resume-{fingerprint(cfg)}.ckpt"
        resume_checkpoint = ResumeCheckpoint(checkpoint, cfg.checkpoint.every_minutes)
        cases = Cases(data, cfg.cases)
        callbacks = [
            EpochSeed(cfg.seed, cfg.repeat),
            EarlyStopping("val_dice", mode="max", check_on_train_epoch_end=False, **cfg.early_stopping),
            _stop_where_loss_is_not_finite(cfg.trainer.max_epochs),
            best,
            history,
            EpochProgress(title),
            cases,
            resume_checkpoint,
        ]
        with _wandb(cfg, directory) as wandb:
            trainer = make_trainer(cfg, directory, callbacks, wandb)
            resume = checkpoint if checkpoint.is_file() else None
            (directory / RESULT).unlink(missing_ok=True)  # of a rerun, now that all parts could be built
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
            if resume_checkpoint.stopped:
                raise StoppedError(
                    f"{title}: stopped after epoch {len(history.rows)}; the same command goes on from there"
                )
            fitted = time.perf_counter()

            module.model.load_state_dict(best.weights)
            trainer.test(module, datamodule=data, verbose=False)
            refuse_lost(directory)
            scores = image_scores(module.test_counts)
            contrasts = data.cache.contrasts[data.split.test]
            _write_test_images(directory / "test_images.csv", data.ids()["test"], module.test_counts, scores, contrasts)
            write_atomic(directory / "cases.npz", lambda path: save_cases(path, cases.arrays))
            means = {name: scores[name].mean().item() for name in METRICS}
            if wandb is not None:
                wandb.log_test(means, predictions(cases.arrays))
        if _keeps_weights(cfg):
            marked = {"fingerprint": fingerprint(cfg)}  # so that weights are not taken for another run's
            write_atomic(directory / WEIGHTS, lambda path: save_file(best.weights, path, metadata=marked))
        diverged = not all(np.isfinite(row["train_loss"]) for row in history.rows)
        write_result(
            directory,
            {
                "status": "diverged" if diverged else "finished",
                "study": cfg.study,
                "dataset": cfg.dataset.name,
                "model": cfg.model.name,
                "loss": cfg.loss.name,
                "repeat": cfg.repeat,
                "fingerprint": fingerprint(cfg),
                "overrides": list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else [],
                "config": _plain(cfg),
                "seed": cfg.seed,
                "versions": versions(),
                "host": platform.node(),
                "device": _device_name(trainer.strategy.root_device),
                "parameters": sum(p.numel() for p in module.model.parameters()),
                "weights_source": getattr(module.model, "weights_source", None),
                "epochs": len(history.rows),
                "best_epoch": best.epoch,
                "best_val_dice": best.score,
                "test": means,
                "images": {name: len(ids) for name, ids in data.ids().items()},
                "siblings_in_training": siblings,
                "reading": data.cache.reading,
                "started": started.isoformat(timespec="seconds"),
                "seconds": {
                    "data": round(prepared - clock, 3),
                    "fit": round(sum(row["seconds"] for row in history.rows), 3),
                    "test": round(time.perf_counter() - fitted, 3),
                },
            },
        )
        for leftover in leftovers(directory):
            leftover.unlink(missing_ok=True)
        if diverged:
            log.warning("%s: DIVERGED, the loss was no longer finite at epoch %d", title, len(history.rows))
        log.info("%s: test Dice %.4f, best val Dice %.4f at epoch %d", title, means["dice"], best.score, best.epoch + 1)
    return best.score


def _stop_where_loss_is_not_finite(max_epochs: int) -> EarlyStopping:
    """Ends training with the epoch whose loss is NaN or infinite, and never for want of progress."""
    return EarlyStopping("train_loss", mode="min", patience=max_epochs, check_on_train_epoch_end=False)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def _plain(node: DictConfig) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))


def _keeps_weights(cfg: DictConfig) -> bool:
    if cfg.keep_weights is not None:
        return cfg.keep_weights
    return not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN


def _write_test_images(
    path: Path, ids: list[str], counts: Tensor, scores: dict[str, Tensor], contrasts: np.ndarray
) -> None:
    columns = [ids, *counts.T.tolist(), *(scores[name].tolist() for name in METRICS), np.abs(contrasts).tolist()]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("id", *COUNTS, *METRICS, "contrast"))
    table.writerows(zip(*columns, strict=True))
    write_text(path, text.getvalue())


def _save_hydra(cfg: DictConfig, directory: Path) -> None:
    """The ``.hydra`` folder that Hydra itself would write, but only once a run really starts."""
    folder = directory / ".hydra"
    folder.mkdir(exist_ok=True)
    write_text(directory / STARTED, OmegaConf.to_yaml(cfg))
    if HydraConfig.initialized():
        hydra_cfg = HydraConfig.get()
        write_text(folder / "hydra.yaml", OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra_cfg})))
        write_text(folder / "overrides.yaml", OmegaConf.to_yaml(hydra_cfg.overrides.task))


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Send the log to ``path`` too."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@contextmanager
def _wandb(cfg: DictConfig, directory: Path) -> Iterator[Any]:
    """The cell's W&B logger or ``None``; closed with the run's true exit code."""
    if not cfg.logger.wandb:
        yield None
        return
    from lightning_seg.training.wandb_logger import CellLogger

    address = (cfg.study, cfg.dataset.name, cfg.model.name, cfg.loss.name, f"repeat_{cfg.repeat}")
    logger = CellLogger(address, directory, _plain(cfg), **_plain(cfg.logger.wandb))
    try:
        yield logger if logger.works else None
    except BaseException:
        logger.close(exit_code=1)
        raise
    logger.close(exit_code=0)
