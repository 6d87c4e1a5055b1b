"""The datasets of runs that are about to start: opened and divided, but not decoded."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from omegaconf import OmegaConf

from lightning_seg.config.build import build
from lightning_seg.config.compose import group_of, nest
from lightning_seg.config.external import external_nodes, refuse_absent
from lightning_seg.data.dataset import LesionDataset
from lightning_seg.data.split import Fractions, compares_images, make_split

Flat = Mapping[str, Any]
T = TypeVar("T")


def check_datasets(configs: Iterable[Flat]) -> None:
    """Open each dataset of some runs, divide it, and open those on which they are tested beside it.

    No image is decoded, so that what is wrong is told before anything is waited for or written; splits for which
    images are compared are left to the runs.

    Args:
        configs: of the runs, flat.

    Raises:
        UserError: a dataset is missing, its files do not fit together, or it cannot be divided in this way: no run on
            it could succeed.
    """
    configs = list(configs)
    opened: dict[str, Any] = {}
    for node in _distinct(node for config in configs if (node := group_of(config, "dataset."))):
        opened[repr(node)] = build(OmegaConf.create(nest(node)), "dataset")
    for node, data, seed, repeat in _distinct(
        (group_of(config, "dataset."), group_of(config, "data."), config["seed"], config["repeat"])
        for config in configs
        if "data.split" in config
    ):
        _divide(opened.get(repr(node)), data, seed, repeat)
    for choices, data_dir, own in _distinct(
        (config["external"], config["data_dir"], group_of(config, "dataset."))
        for config in configs
        if config.get("external") and config["test"]
    ):
        others = external_nodes(choices, data_dir, own)
        refuse_absent(others)
        for other in others.values():
            build(other, "dataset")


def _divide(dataset: Any, data: Flat, seed: int, repeat: int) -> None:
    split, groups = data["split"], data.get("groups")
    if isinstance(dataset, LesionDataset) and not compares_images(split, groups):
        fractions = Fractions(**group_of(data, "fractions."))
        make_split(split, dataset, fractions, seed, repeat, groups=groups, cache_dir=data.get("cache_dir"))


def _distinct(values: Iterable[T]) -> list[T]:
    return list({repr(value): value for value in values}.values())
