"""The configuration: where it lies, what makes it valid, and its errors in one sentence."""

import difflib
import re
import sys
from collections.abc import Iterable, Mapping
from itertools import pairwise
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

from lightning_seg.config.overrides import line_to_type, readable
from lightning_seg.errors import UserError
from lightning_seg.extras import install_line
from lightning_seg.machine.devices import gpus_of_a_run, side_by_side
from lightning_seg.machine.layout import channels_last_helps

_PACKAGE = Path(__file__).parents[1]
# A wheel carries the configuration inside the package; a checkout has it beside the package.
CONFIG_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"

OmegaConf.register_new_resolver("side_by_side", side_by_side, replace=True)
OmegaConf.register_new_resolver("gpus_of_a_run", gpus_of_a_run, replace=True)
OmegaConf.register_new_resolver("channels_last_helps", channels_last_helps, replace=True)


def _basename(path: str) -> str:
    """The name of a folder, with underscores for what the names of results' folders cannot hold."""
    return re.sub(r"[^\w.+=-]+", "_", Path(str(path)).expanduser().resolve().name).lstrip(".")


OmegaConf.register_new_resolver("basename", _basename, replace=True)
OmegaConf.register_new_resolver("home", lambda path: str(Path(str(path)).expanduser()), replace=True)


def compose_config(overrides: list[str]) -> DictConfig:
    """Compose the configuration of one run outside the Hydra application.

    Raises:
        UserError: an override is wrong.
    """
    overrides = readable(overrides)
    try:
        if GlobalHydra.instance().is_initialized():
            return compose("config", overrides)
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            return compose("config", overrides)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(explain(error)) from error


def plain(node: DictConfig) -> dict[str, Any]:
    """A node as plain containers, with its interpolations resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))


def group_of(flat: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The keys of one group of a flat configuration, without their prefix, such as ``"data."``."""
    return {key.removeprefix(prefix): value for key, value in flat.items() if key.startswith(prefix)}


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping of dotted keys as nested mappings."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, name = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return tree


def explain(error: Exception) -> str:
    """One sentence for an error of Hydra or OmegaConf: what is wrong, and what would be right."""
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options is not None and error.missing_cfg_file:
        if error.missing_cfg_file.startswith("dataset/"):
            return _no_dataset(error.missing_cfg_file.removeprefix("dataset/"), error.options)
        group, _, choice = error.missing_cfg_file.rpartition("/")
        by_small = {option.lower(): option for option in error.options}
        near = difflib.get_close_matches(choice.lower(), by_small, n=1)
        hint = f"did you mean {group}={by_small[near[0]]}? There are" if near else "choose one of"
        return f"There is no {group} {choice!r}; {hint} {', '.join(sorted(error.options))}."
    if plugin := re.search(r"hydra_plugins\.hydra_(joblib|submitit|ray)_launcher", text):
        extra = {"joblib": "gpus", "submitit": "slurm", "ray": "ray"}[plugin.group(1)]
        return f"The launcher is not installed; {install_line(extra)} adds it."
    if missing := re.search(r"Missing mandatory value: ([\w.]+)", text):
        return f"{missing.group(1)} has no value; give one with {missing.group(1)}=... ."
    if isinstance(error, OverrideParseException):
        if re.match(r"[\w.@/+~]+=.", error.override):
            return f"The override {error.override!r} cannot be read; type it as {line_to_type(error.override)} ."
        return (
            f"The override {error.override!r} cannot be read; write key=value, with quotes around special characters."
        )
    if isinstance(error, ConfigCompositionException) and (wrong := re.search(r"Could not override '(.+?)'", text)):
        return _unknown_key(wrong.group(1).split("=")[0])
    if wrong := re.search(r"Error merging override '?([\w.]+)=", text):
        return _not_single(wrong.group(1))
    if "Config group override must be a string" in text:
        return _no_choice()
    if wrong := re.search(r"Ambiguous value for argument '(.+?)'", text):
        return f"{wrong.group(1)} names several values: add -m to run a grid, or quote the value."
    if "Key '" in text and "is not in struct" in text:
        return _unknown_key(getattr(error, "full_key", None) or re.findall(r"Key '(.+?)'", text)[0])
    return " ".join(text.split())


def _no_dataset(choice: str, options: Iterable[str]) -> str:
    """The sentence for a dataset that is none, by its name or as a folder."""
    path = Path(choice).expanduser()
    if path.is_dir():
        return f"{choice} is a folder; type dataset=folder {line_to_type(f'dataset.root={choice}')} ."
    if path.name == choice:
        known = ", ".join(sorted(options))
        return f"There is no dataset {choice!r}, nor a folder of that name here; choose one of {known}, or a folder."
    above = [path.absolute(), *path.absolute().parents]
    missing, there = next((a, b) for a, b in pairwise(above) if b.is_dir())
    return f"There is no folder {choice}: {there} has no {missing.name!r}."


def _not_single(key: str) -> str:
    """The sentence for a value given to a key that holds others."""
    inner = [known for known in _known_keys() if known.rpartition(".")[0] == key]
    if not inner:
        return f"{key} cannot take this value."
    return f"{key} is no single value: it holds {', '.join(inner)}; set each of them, such as {inner[0]}=... ."


def _no_choice() -> str:
    """The sentence for a group that is given null, true, false or a number."""
    given = [argument for argument in sys.argv[1:] if re.fullmatch(r"[\w/]+=(null|true|false|\d+)", argument, re.I)]
    wrong = next((argument for argument in given if (CONFIG_DIR / argument.split("=")[0]).is_dir()), None)
    if wrong is None:
        return "A group of the configuration takes the name of a choice."
    group = wrong.split("=")[0]
    choices = ", ".join(sorted(path.stem for path in (CONFIG_DIR / group).glob("*.yaml")))
    return f"{wrong} names no choice of {group}; choose one of {choices}, or leave {group} out for the usual."


def _lacking(key: str) -> list[str]:
    """Of the choices that a grid names for the key's group, those that do not have the key."""
    group = key.split(".")[0]
    listed = [argument.split("=")[1] for argument in sys.argv[1:] if re.fullmatch(rf"{group}=[\w,]+", argument)]
    choices = listed[-1].split(",") if listed else []
    return [choice for choice in choices if key not in _keys([f"{group}={choice}"])] if len(choices) > 1 else []


def _unknown_key(key: str) -> str:
    if lacking := _lacking(key):
        group = key.split(".")[0]
        names = " and ".join(f"{group}={choice}" for choice in lacking)
        return f"There is no configuration key {key!r} with {names}; give it only with the choices that have it."
    known = _known_keys()
    if key in known:  # of the usual choice, where the command line or the program has another
        group = key.split(".")[0]
        return (
            f"There is no configuration key {key!r} with the {group} that is chosen here; leave it out, or name a "
            f"{group} that has it ({group}={_usual(group)})."
        )
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


def _usual(group: str) -> str:
    """The choice of a group that holds where none is named."""
    return str(next(each[group] for each in OmegaConf.load(CONFIG_DIR / "config.yaml").defaults if group in each))


def _known_keys() -> list[str]:
    """Every dotted key of the configuration that the command line's group choices make."""
    GlobalHydra.instance().clear()
    chosen = r"(dataset|model|loss|logger)=(\w+|'[^']+')"
    choices = [argument for argument in sys.argv[1:] if re.fullmatch(chosen, argument)]
    try:
        return _keys(choices)
    except UserError:  # choices from a --config-dir
        return _keys([])


def _keys(choices: list[str]) -> list[str]:
    keys: list[str] = []

    def walk(node: DictConfig, prefix: str) -> None:
        for name in map(str, node):
            keys.append(prefix + name)
            child = node._get_node(name)
            if isinstance(child, DictConfig) and not child._is_none():
                walk(child, f"{prefix}{name}.")

    walk(compose_config(choices), "")
    return keys
