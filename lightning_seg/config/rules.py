"""Whether a configuration is valid: the rules of the rooms that own its parts, joined with those of the run itself."""

import re
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_seg.config.compose import explain
from lightning_seg.data.rules import RULES as DATA_RULES
from lightning_seg.data.rules import refuse_fractions, refuse_idle_groups
from lightning_seg.errors import UserError
from lightning_seg.machine.rules import RULES as MACHINE_RULES
from lightning_seg.rules import Rule, Rules, boolean, is_whole, number, one_of, optional, whole


def _share_or_count(value: Any) -> bool:
    """Whether Lightning takes at least one batch for it: null for all, a number of batches, or a share of them."""
    return value is None or (isinstance(value, float) and 0 < value <= 1) or is_whole(value, 1)


def _is_folder_name(value: Any) -> bool:
    return re.fullmatch(r"[\w.+=-]+", str(value)) is not None and not str(value).startswith(".")


def _is_one_device(value: Any) -> bool:
    is_list = not isinstance(value, str) and isinstance(value, Sequence)
    return len(value) == 1 if is_list else value in (None, 1, "1")


def _are_choices(value: Any) -> bool:
    is_list = not isinstance(value, str) and isinstance(value, Sequence)
    return is_list and all(isinstance(each, str) and each for each in value) and len(set(value)) == len(value)


_BATCHES = Rule(
    _share_or_count, "null for all batches, a whole number of them from 1, or a share above 0.0 and up to 1.0"
)
_FOLDER_NAME = Rule(_is_folder_name, "a folder name")

RUN_RULES: Rules = {
    "seed": whole(0),
    "repeat": whole(0),
    "pretrained": boolean(),
    "test": boolean(),
    "cases": whole(0),
    "external": Rule(_are_choices, "a list of other datasets, each once, such as [clinicdb,kvasir]"),
    "corruptions": one_of("none", "standard"),
    "tune.repeats": optional(whole(1)),
    "tune.epochs": optional(whole(1)),
    "logger.csv": boolean(),
    "logger.wandb": Rule(
        lambda value: value is None or isinstance(value, DictConfig),
        "null or W&B's settings; logger=wandb turns it on",
    ),
    "optimizer.lr": optional(number(0, open_end=True)),
    "early_stopping.patience": whole(1, "a whole number of epochs"),
    "early_stopping.min_delta": number(0),
    "checkpoint.every_minutes": number(0),
    "trainer.max_epochs": whole(1),
    "trainer.limit_train_batches": _BATCHES,
    "trainer.limit_val_batches": _BATCHES,
    "trainer.devices": Rule(
        _is_one_device,
        "1, since a run trains on one device; a grid uses several with hydra/launcher=gpus, slurm or ray",
    ),
    "model.in_channels": Rule(lambda value: value in (None, 3), "3, since all images are read as RGB"),
    "model.classes": Rule(lambda value: value in (None, 1), "1, since masks tell lesion from background alone"),
    "retry": whole(0),
    "fail_fast": boolean(),
    "keep_weights": Rule(lambda value: value in (True, False, None, "best"), "true, false, best or null"),
    "rerun": boolean(),
    "study": _FOLDER_NAME,
    "dataset.name": _FOLDER_NAME,
    "model.name": _FOLDER_NAME,
    "loss.name": _FOLDER_NAME,
}


def check(cfg: DictConfig) -> None:
    """Check everything that can be checked without reading data.

    Raises:
        UserError: a value is out of range; the sentence says which, and what is valid.
    """
    try:
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error
    for key, rule in {**RUN_RULES, **DATA_RULES, **MACHINE_RULES}.items():
        value: Any = OmegaConf.select(cfg, key)
        if not rule.holds(value):
            raise UserError(f"{key}={value} is not valid: it must be {rule.meaning}.")
    shares = [OmegaConf.select(cfg, f"data.fractions.{subset}") for subset in ("train", "val", "test")]
    if (wrong := refuse_fractions(shares)) is not None:
        raise UserError(wrong)


def check_training(cfg: DictConfig) -> None:
    """:func:`check`, and what holds for training alone.

    Raises:
        UserError: as :func:`check`; or groups are given that the split would divide.
    """
    check(cfg)
    if (wrong := refuse_idle_groups(cfg.data.split, cfg.data.groups)) is not None:
        raise UserError(wrong)
