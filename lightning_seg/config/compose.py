"""The configuration: where it lies, what makes it valid, and its errors in one sentence."""

import difflib
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_seg.errors import UserError
from lightning_seg.machine.devices import gpus_of_a_run, side_by_side

_PACKAGE = Path(__file__).parents[1]
# A wheel carries the configuration inside the package; a checkout has it beside the package.
CONFIG_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"

OmegaConf.register_new_resolver("side_by_side", side_by_side, replace=True)
OmegaConf.register_new_resolver("gpus_of_a_run", gpus_of_a_run, replace=True)


def _basename(path: str) -> str:
    """The name of a folder, with underscores for what the names of results' folders cannot hold."""
    return re.sub(r"[^\w.+=-]+", "_", Path(str(path)).expanduser().resolve().name).lstrip(".")


OmegaConf.register_new_resolver("basename", _basename, replace=True)


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _share_or_count(value: Any) -> bool:
    """Whether Lightning takes at least one batch for it: null for all, a number of batches, or a share of them."""
    return value is None or (isinstance(value, float) and 0 < value <= 1) or _whole(1)(value)


def _channels(least: float) -> Callable[[Any], bool]:
    """Whether a value is three numbers above ``least``."""
    return lambda value: (
        isinstance(value, ListConfig) and len(value) == 3 and all(_number(each) and each > least for each in value)
    )


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and Path(value).expanduser().is_file()


_BATCHES = "null for all batches, a whole number of them from 1, or a share above 0.0 and up to 1.0"

_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (_whole(0), "a whole number from 0"),
    "repeat": (_whole(0), "a whole number from 0"),
    "pretrained": (lambda value: isinstance(value, bool), "true or false"),
    "cases": (_whole(0), "a whole number from 0"),
    "data.image_size": (_whole(16), "a whole number of pixels from 16"),
    "data.batch_size": (_whole(1), "a whole number from 1"),
    "data.eval_batch_size": (_whole(1), "a whole number from 1"),
    "data.split": (
        lambda value: value in ("random", "grouped", "official", "kfold") or _is_file(value),
        "random, grouped, official, kfold, or a file of ids that is there",
    ),
    "data.groups": (lambda value: value is None or _is_file(value), "null or a CSV file of id,group that is there"),
    "data.mean": (_channels(-math.inf), "three numbers, of red, green and blue"),
    "data.std": (_channels(0), "three numbers above 0, of red, green and blue"),
    "data.resident": (lambda value: isinstance(value, bool), "true or false"),
    "logger.csv": (lambda value: isinstance(value, bool), "true or false"),
    "logger.wandb": (
        lambda value: value is None or isinstance(value, DictConfig),
        "null or W&B's settings; logger=wandb turns it on",
    ),
    "optimizer.lr": (lambda value: value is None or (_number(value) and value > 0), "a number above 0"),
    "early_stopping.patience": (_whole(1), "a whole number of epochs from 1"),
    "early_stopping.min_delta": (lambda value: _number(value) and value >= 0, "a number from 0"),
    "checkpoint.every_minutes": (lambda value: _number(value) and value >= 0, "a number from 0"),
    "speed.channels_last": (lambda value: isinstance(value, bool), "true or false"),
    "speed.compile": (
        lambda value: value in (None, "default", "reduce-overhead", "max-autotune"),
        "null, default, reduce-overhead or max-autotune",
    ),
    "speed.matmul_precision": (lambda value: value in ("highest", "high", "medium"), "highest, high or medium"),
    "trainer.max_epochs": (_whole(1), "a whole number from 1"),
    "trainer.limit_train_batches": (_share_or_count, _BATCHES),
    "trainer.limit_val_batches": (_share_or_count, _BATCHES),
    "trainer.devices": (
        lambda value: value in (None, 1, "1") or (isinstance(value, ListConfig) and len(value) == 1),
        "1, since a run trains on one device; a grid uses several with hydra/launcher=gpus, slurm or ray",
    ),
    "model.in_channels": (lambda value: value in (None, 3), "3, since all images are read as RGB"),
    "model.classes": (lambda value: value in (None, 1), "1, since masks tell lesion from background alone"),
    "retry": (_whole(0), "a whole number from 0"),
    "runs_per_gpu": (_whole(1), "a whole number from 1"),
    "threads": (lambda value: value is None or _whole(1)(value), "a whole number from 1, or null"),
    "fail_fast": (lambda value: isinstance(value, bool), "true or false"),
    "keep_weights": (lambda value: value in (True, False, None), "true, false or null"),
    "rerun": (lambda value: isinstance(value, bool), "true or false"),
    "study": (lambda value: _is_folder_name(str(value)), "a folder name"),
    "dataset.name": (lambda value: _is_folder_name(str(value)), "a folder name"),
    "model.name": (lambda value: _is_folder_name(str(value)), "a folder name"),
    "loss.name": (lambda value: _is_folder_name(str(value)), "a folder name"),
}


def _is_folder_name(name: str) -> bool:
    return re.fullmatch(r"[\w.+=-]+", name) is not None and not name.startswith(".")


def check(cfg: DictConfig) -> None:
    """Check everything that can be checked without reading data.

    Raises:
        UserError: a value is out of range; the sentence says which, and what is valid.
    """
    try:
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error
    for key, (is_valid, meaning) in _RULES.items():
        value: Any = OmegaConf.select(cfg, key)
        if not is_valid(value):
            raise UserError(f"{key}={value} is not valid: it must be {meaning}.")
    shares = [OmegaConf.select(cfg, f"data.fractions.{subset}") for subset in ("train", "val", "test")]
    if not all(_number(share) and share > 0 for share in shares) or abs(sum(shares) - 1) > 1e-9:
        raise UserError(
            f"data.fractions {' / '.join(map(str, shares))} are not valid: train, val and test must be positive "
            "and sum to 1."
        )


def compose_config(overrides: list[str]) -> DictConfig:
    """Compose the configuration of one run outside the Hydra application.

    Raises:
        UserError: an override is wrong.
    """
    try:
        if GlobalHydra.instance().is_initialized():
            return compose("config", overrides)
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            return compose("config", overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error


def plain(node: DictConfig) -> dict[str, Any]:
    """A node as plain containers, with its interpolations resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))


def explain(error: Exception) -> str:
    """One sentence for an error of Hydra or OmegaConf: what is wrong, and what would be right."""
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options is not None and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        return f"There is no {group} {choice!r}; choose one of {', '.join(sorted(error.options))}."
    if plugin := re.search(r"hydra_plugins\.hydra_(joblib|submitit|ray)_launcher", text):
        extra = {"joblib": "gpus", "submitit": "slurm", "ray": "ray"}[plugin.group(1)]
        return f"The launcher is not installed; pip install 'lightning-seg[{extra}]' adds it."
    if missing := re.search(r"Missing mandatory value: ([\w.]+)", text):
        return f"{missing.group(1)} has no value; give one with {missing.group(1)}=... ."
    if isinstance(error, OverrideParseException):
        return (
            f"The override {error.override!r} cannot be read; write key=value, with quotes around special characters."
        )
    if isinstance(error, ConfigCompositionException) and (wrong := re.search(r"Could not override '(.+?)'", text)):
        return _unknown_key(wrong.group(1).split("=")[0])
    if wrong := re.search(r"Ambiguous value for argument '(.+?)'", text):
        return f"{wrong.group(1)} names several values: add -m to run a grid, or quote the value."
    if "Key '" in text and "is not in struct" in text:
        return _unknown_key(getattr(error, "full_key", None) or re.findall(r"Key '(.+?)'", text)[0])
    return " ".join(text.split())


def _unknown_key(key: str) -> str:
    known = _known_keys()
    parent, _, name = key.rpartition(".")
    siblings = {
        known_key.rpartition(".")[2]: known_key for known_key in known if known_key.rpartition(".")[0] == parent
    }
    near = (
        [siblings[similar] for similar in difflib.get_close_matches(name, siblings, n=1)]
        or [known_key for known_key in known if known_key.rpartition(".")[2] == name]  # in another group
        or difflib.get_close_matches(key, known, n=1, cutoff=0.85)
    )
    where = f"keys of {parent} are" if siblings and parent else "keys are"
    hint = f"did you mean {near[0]}?" if near else f"valid {where} {', '.join(sorted(siblings or known))}."
    if "_target_" in siblings:
        hint += f" What else {parent} takes is added by +{key}=... ."
    if parent == "loss" and any(re.match(r"loss=.*,", argument) for argument in sys.argv[1:]):
        hint += " In a grid, what one of several losses takes stands with it: loss=monai(class=DiceLoss),tversky ."
    return f"There is no configuration key {key!r}; {hint}"


def _known_keys() -> list[str]:
    """Every dotted key of the configuration that the command line's group choices make."""
    GlobalHydra.instance().clear()
    chosen = r"(dataset|model|loss|logger)=(\w+|'[^']+')"
    choices = [argument for argument in sys.argv[1:] if re.fullmatch(chosen, argument)]
    keys: list[str] = []

    def walk(node: DictConfig, prefix: str) -> None:
        for name in map(str, node):
            keys.append(prefix + name)
            child = node._get_node(name)
            if isinstance(child, DictConfig) and not child._is_none():
                walk(child, f"{prefix}{name}.")

    try:
        walk(compose_config(choices), "")
    except UserError:  # choices from a --config-dir
        walk(compose_config([]), "")
    return keys
