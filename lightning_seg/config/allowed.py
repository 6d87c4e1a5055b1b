"""Which classes a record may name: records come from anywhere, so what they say is compared before it is imported.

Allowed are the built-in datasets, models and losses, those of installed packages' configuration (entry points), and
those of the working directory's own ``conf``. All else in a record is text and numbers, and nothing in it is resolved.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from lightning_seg.config.compose import CONFIG_DIR
from lightning_seg.config.plugins import ENTRY_POINT_GROUP, import_from_working_directory, own_conf
from lightning_seg.errors import UserError

GROUPS = ("dataset", "model", "loss")
_TARGET = "_target_"
_MOST_PARTS = 100  # of one model or loss: published ones have up to three
_DEEPEST = 16
_LONGEST = 4096  # characters of a text
# Beyond these no argument lies; a loss's numbers may be counts of steps, which the report would wait for.
_LARGEST = {"dataset": 2**63, "model": 2**31, "loss": 1000}


class ForeignPartError(UserError):
    """A record names a class that neither this program nor the user has chosen."""


def allowed(group: str) -> frozenset[str]:
    """The classes that a record may name for a dataset, a model or a loss, nested ones among them."""
    own = own_conf()
    return _built_in(group) | _packaged(group) | (_named_in(own, group) if own else frozenset())


def refuse_foreign(node: object, group: str, where: str) -> None:
    """Make sure, before anything is imported, that a part of a record names nothing but allowed classes.

    Args:
        node: what the record says, as JSON has it.
        group: ``dataset``, ``model`` or ``loss``.
        where: the record, in errors.

    Raises:
        ForeignPartError: it names a class that is not allowed.
        UserError: it is no part, too deep or too large, or holds something else than text and numbers.
    """
    if not isinstance(node, dict) or _TARGET not in node:
        raise UserError(f"{where} does not say which {group} it is of: its config.{group} names no class.")
    permitted, parts = allowed(group), 0
    for level, value in _walk(node):
        if level > _DEEPEST:
            raise UserError(f"{where}: its config.{group} is nested too deeply.")
        if isinstance(value, dict) and _TARGET in value:
            parts += 1
            target = value[_TARGET]
            if not isinstance(target, str) or target not in permitted:
                raise ForeignPartError(
                    f"{where} names the {group} {str(target)[:100]!r}, which is no part of lightning-seg, of an "
                    f"installed package's configuration or of ./conf, so nothing of it was run; if it is your own, "
                    f"name it in conf/{group}/<name>.yaml, as 'lightning-seg new' does."
                )
        elif isinstance(value, str) and ("${" in value or value == "???"):  # Hydra would resolve it where it builds
            raise UserError(f"{where}: its config.{group} holds {value[:100]!r}, and what is recorded is resolved.")
        elif isinstance(value, str) and len(value) > _LONGEST:
            raise UserError(f"{where}: its config.{group} holds a text of {len(value):,} characters.")
        elif isinstance(value, int | float) and abs(value) > _LARGEST[group]:
            raise UserError(f"{where}: its config.{group} holds the number {str(value)[:24]}, which is out of range.")
    if parts > _MOST_PARTS:
        raise UserError(f"{where}: its config.{group} is made of {parts} parts; {_MOST_PARTS} are the most.")
    for target in sorted(set(targets(node)) - _built_in(group)):
        _refuse_foreign_function(target, where)


def _refuse_foreign_function(target: str, where: str) -> None:
    """One's own configuration may call any function with one's own arguments; a record would bring others."""
    import_from_working_directory()
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:  # building it says what is missing
        return
    if inspect.isclass(found):
        return
    home = own_conf()
    file = inspect.getsourcefile(found) if inspect.isfunction(found) else None
    if home is None or file is None or not Path(file).resolve().is_relative_to(home.parent.resolve()):
        raise ForeignPartError(
            f"{where} names {target!r}, which is no class: of a record only classes are built, and functions of the "
            "modules beside ./conf."
        )


def as_text(tree: dict[str, Any]) -> DictConfig:
    """A record's configuration with every ``${...}`` in it as the text that it is: never resolved."""
    return OmegaConf.create(_escaped(tree))


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    if value == "???":  # which OmegaConf takes for a value that is missing
        return "??? "
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value


def _walk(value: object, level: int = 0) -> Iterator[tuple[int, object]]:
    """Every value with how deep it lies; what is too deep is not gone into."""
    yield level, value
    if level <= _DEEPEST and isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _walk(child, level + 1)


@cache
def _built_in(group: str) -> frozenset[str]:
    return _named_in(CONFIG_DIR, group)


def _packaged(group: str) -> frozenset[str]:
    found: set[str] = set()
    for point in entry_points(group=ENTRY_POINT_GROUP):
        with suppress(ImportError):  # of a package that is broken, which composing tells
            found |= _named_in(files(point.value), group)
    return frozenset(found)


def _named_in(conf: Traversable, group: str) -> frozenset[str]:
    """Every ``_target_`` in the choices of a group, and in what experiments set of it."""
    found = {target for content in _contents(conf / group) for target in targets(content)}
    for content in _contents(conf / "experiment"):
        found |= set(targets(content.get(group) if isinstance(content, dict) else None))
    return frozenset(found)


def _contents(folder: Traversable) -> Iterator[object]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from _contents(path)
        elif path.name.endswith((".yaml", ".yml")):
            try:
                yield yaml.safe_load(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError):  # whoever chooses it is told
                continue


def targets(node: object) -> Iterator[str]:
    """Every ``_target_`` of a configuration in plain containers."""
    for _, value in _walk(node):
        if isinstance(value, dict) and isinstance(value.get(_TARGET), str):
            yield value[_TARGET]
