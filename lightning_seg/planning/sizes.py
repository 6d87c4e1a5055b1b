"""What a plan needs to know of a cell's dataset: how many images each subset has, and whether it is decoded."""

import csv
from dataclasses import dataclass, replace
from importlib.resources import files

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from lightning_seg.config.external import external_nodes
from lightning_seg.config.plugins import import_from_working_directory
from lightning_seg.data.cache import cache_folder
from lightning_seg.data.corruption import KINDS, STRENGTHS
from lightning_seg.data.dataset import LesionDataset
from lightning_seg.data.rules import BY_FRACTIONS
from lightning_seg.data.split import Fractions, make_split
from lightning_seg.errors import UserError
from lightning_seg.sweep.cells import Cell, nested


@dataclass(frozen=True)
class Sizes:
    """Images of each subset; ``assumed`` if the split could not be made and they follow ``data.fractions`` instead."""

    train: int
    val: int
    test: int
    assumed: bool = False
    elsewhere: int = 0  # images of other datasets, and test images made worse, that are tested as well

    @property
    def images(self) -> int:
        return self.train + self.val + self.test


def sizes_key(cell: Cell) -> str:
    """What a cell's subset sizes follow from."""
    parts = ["dataset.", "data.fractions.", "data.split", "data.groups", "test", "external", "corruptions"]
    if cell.config["data.split"] not in BY_FRACTIONS:
        parts += ["seed", "repeat"]
    return cell.key(*parts)


def subset_sizes(cell: Cell) -> Sizes:
    """Images of each subset of a cell's dataset, and of what else it is tested on.

    Raises:
        UserError: as :func:`_subsets`.
    """
    sizes = _subsets(cell)
    if not cell.config["test"]:
        return sizes
    worse = len(KINDS) * len(STRENGTHS) * sizes.test if cell.config["corruptions"] == "standard" else 0
    return replace(sizes, elsewhere=worse + sum(_opened(node)[1] for node in _others(cell)))


def _subsets(cell: Cell) -> Sizes:
    """Images of each subset of a cell's dataset.

    Of a published dataset that is not here, the published number of images is divided by the configured fractions.

    Raises:
        UserError: the dataset is not here, and not a published one; or it cannot be split as configured.
    """
    dataset, count = _dataset(cell)
    fractions, by_fractions = Fractions(**cell.group("data.fractions.")), cell.config["data.split"] in BY_FRACTIONS
    if dataset is not None and not by_fractions:
        data = cell.group("data.")
        split = make_split(
            data["split"],
            dataset,
            fractions,
            cell.config["seed"],
            cell.config["repeat"],
            groups=data["groups"],
            cache_dir=data["cache_dir"],
        )
        return Sizes(len(split.train), len(split.val), len(split.test))
    train, val = round(fractions.train * count), round(fractions.val * count)
    return Sizes(train, val, count - train - val, assumed=not by_fractions)


def cache_key(cell: Cell) -> str:
    """What decides where a cell's dataset is kept in decoded form."""
    return cell.key("dataset.", "data.image_size", "data.cache_dir", "external")


def cache_bytes(cell: Cell) -> dict[str, int]:
    """What decoding each of a cell's datasets will write that is not decoded yet: RGB images and masks, a byte a value.

    Raises:
        UserError: as :func:`subset_sizes`.
    """
    size, directory = cell.config["data.image_size"], cell.config["data.cache_dir"]
    written = {}
    for node in (nested(cell.group("dataset.")), *_others(cell)):
        dataset, count = _opened(node)
        if dataset is None or not cache_folder(dataset, size, directory).is_dir():
            written[repr((node, size, directory))] = 4 * size**2 * count
    return written


def _others(cell: Cell) -> list[DictConfig]:
    """What describes the other datasets that a cell is tested on."""
    config = cell.config
    choices = config["external"] if config["test"] else []
    return [*external_nodes(choices, config["data_dir"], cell.group("dataset.")).values()]


def _dataset(cell: Cell) -> tuple[LesionDataset | None, int]:
    """A cell's dataset, if it is here, and the number of its images."""
    return _opened(nested(cell.group("dataset.")))


def _opened(node: DictConfig) -> tuple[LesionDataset | None, int]:
    """A dataset, if it is here, and the number of its images."""
    try:
        import_from_working_directory()
        dataset = instantiate(node)
        return dataset, len(dataset.ids())
    except InstantiationException as error:
        table = files("lightning_seg.data") / "published" / f"{node.get('name')}.csv"
        if not table.is_file():
            raise (error.__cause__ if isinstance(error.__cause__, UserError) else error) from error
        with table.open() as file:
            return None, sum(1 for _ in csv.DictReader(file))
