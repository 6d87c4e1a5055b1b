"""From a configuration group to the object that it names."""

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from lightning_seg.config.allowed import targets
from lightning_seg.config.plugins import import_from_working_directory
from lightning_seg.errors import UserError


def build(node: DictConfig, what: str, **extra: Any) -> Any:
    """Instantiate a group's ``_target_`` with its other keys as arguments.

    Args:
        node: the group.
        what: its name in errors.
        extra: more arguments.

    Raises:
        UserError: there is no ``_target_``, or it refuses the arguments.
        RuntimeError, MemoryError: memory could not be had, see :mod:`lightning_seg.machine.memory`.
    """
    if "_target_" not in node:
        raise UserError(f"{what} has no _target_, the class to build.")
    if _is_own(node):
        import_from_working_directory()  # here too: a launcher's worker starts without Hydra
    try:
        return instantiate(node, **extra)
    except (InstantiationException, TypeError) as error:  # the latter of Hydra's own keys alone, such as _recursive_
        from lightning_seg.machine.memory import is_out_of_memory  # here: it loads torch, which --help needs not

        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from error
        if cause is not None and is_out_of_memory(cause):
            raise cause from error
        detail = f"{type(cause).__name__}: {cause}" if cause is not None else str(error)
        raise UserError(f"{what} cannot be built from {node._target_}: {' '.join(detail.split())}") from error


def build_nameless(node: DictConfig, what: str) -> Any:
    """:func:`build` for a model or a loss, whose ``name`` says where its results go and is no argument."""
    nameless = node.copy()  # which keeps its place in the whole, for interpolations
    with open_dict(nameless):
        nameless.pop("name", None)
    return build(nameless, what)


def _is_own(node: DictConfig) -> bool:
    """Whether a class lies in no installed package; only then does the working directory join where modules are found.

    A module there would else be taken for a package that is not installed, such as an extra.
    """
    names = {target.split(".")[0] for target in targets(OmegaConf.to_container(node))}
    return any(name not in sys.modules and not (name.isidentifier() and find_spec(name)) for name in names)


def without_weights(model: DictConfig) -> DictConfig:
    """A network's configuration without its encoders' weights, which the run's own replace; nested ones too."""
    model = model.copy()
    for node in _parts(model):
        if "pretrained" in node or str(node._get_node("_target_")).endswith(".SMP"):  # whose default are weights
            node.pretrained = False
        if "weights" in node:
            node.weights = dict.fromkeys(node.weights) if isinstance(node.weights, DictConfig) else None
    return model


def _parts(node: object) -> Iterator[DictConfig]:
    """Every part of a configuration that names a class."""
    if isinstance(node, DictConfig) and "_target_" in node:
        yield node
    if isinstance(node, DictConfig | ListConfig):
        for child in node._content.values() if isinstance(node, DictConfig) else node._content:  # type: ignore[union-attr]
            yield from _parts(child)
