"""The configuration: where it lies, what makes it valid, and its errors in one sentence."""

import difflib
import re
import sys
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
from omegaconf import DictConfig, OmegaConf
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
