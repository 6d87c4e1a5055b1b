"""What a plan needs to know of a cell's dataset: how many images each subset has, and whether it is decoded."""

import csv
from dataclasses import dataclass
from importlib.resources import files

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from lightning_seg.config.plugins import import_from_working_directory
from lightning_seg.data.cache import cache_folder
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

    @property
    def images(self) -> int:
        return self.train + self.val + self.test


def sizes_key(cell: Cell) -> str:
    """What a cell's subset sizes follow from."""
    parts = ["dataset.", "data.fractions.", "data.split", "data.groups"]
    if cell.config["data.split"] not in BY_FRACTIONS:
        parts += ["seed", "repeat"]
    return cell.key(*parts)


def subset_sizes(cell: Cell) -> Sizes:
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
    return cell.key("dataset.", "data.image_size", "data.cache_dir")


def cache_bytes(cell: Cell) -> int:
    """What decoding a cell's dataset will write: RGB images and masks, a byte a value; 0 where it is decoded already.

    Raises:
        UserError: as :func:`subset_sizes`.
    """
    dataset, count = _dataset(cell)
    size = cell.config["data.image_size"]
    if dataset is not None and cache_folder(dataset, size, cell.config["data.cache_dir"]).is_dir():
        return 0
    return 4 * size**2 * count


def _dataset(cell: Cell) -> tuple[LesionDataset | None, int]:
    """A cell's dataset, if it is here, and the number of its images."""
    try:
        import_from_working_directory()
        dataset = instantiate(nested(cell.group("dataset.")))
        return dataset, len(dataset.ids())
    except InstantiationException as error:
        table = files("lightning_seg.data") / "published" / f"{cell.config['dataset.name']}.csv"
        if not table.is_file():
            raise (error.__cause__ if isinstance(error.__cause__, UserError) else error) from error
        with table.open() as file:
            return None, sum(1 for _ in csv.DictReader(file))
