"""What a grid will take before it is started: time, memory, disk and money, from steps that are really timed here."""

import csv
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.resources import files
from math import ceil
from statistics import mean
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf.errors import OmegaConfBaseException

from lightning_seg.config import CONFIG_DIR, explain
from lightning_seg.errors import UserError
from lightning_seg.runs.record import read_result
from lightning_seg.sweep.cells import Cell, expand, nested
from lightning_seg.sweep.timing import Timing, time_training

BETWEEN_RUNS_SECONDS = 0.3  # composing the next configuration, opening the cache, writing the record
CUDA_CONTEXT_BYTES = 600 * 2**20  # of a process beside its tensors
# The keys that decide how many images there are, and how long a step takes.
_DATASET_KEYS = ("dataset.", "data.fractions.")
_NETWORK_KEYS = (
    *("model.", "optimizer.", "trainer.", "speed.", "threads"),
    *("data.image_size", "data.batch_size", "data.eval_batch_size", "data.resident"),
)


@dataclass(frozen=True)
class Sizes:
    """Images of each subset."""

    train: int
    val: int
    test: int


@dataclass(frozen=True)
class Epochs:
    """How many epochs a run is taken to train, between what bounds, and why."""

    expected: float
    least: int
    most: int
    reason: str


@dataclass(frozen=True)
class Run:
    """A run that is left, and what its time follows from."""

    cell: Cell
    sizes: Sizes
    timing: Timing
    epochs: Epochs

    def seconds(self, epochs: float | None = None) -> float:
        """How long it lasts, for a number of epochs or the expected one."""
        data, timing = self.cell.group("data."), self.timing
        steps = ceil(self.sizes.train / data["batch_size"])
        val_batches = ceil(self.sizes.val / data["eval_batch_size"])
        test_batches = ceil(self.sizes.test / data["eval_batch_size"])
        epoch = steps * timing.train_step + val_batches * timing.eval_batch + timing.epoch_end
        once = BETWEEN_RUNS_SECONDS + timing.setup + test_batches * timing.eval_batch
        return once + (self.epochs.expected if epochs is None else epochs) * epoch

    def disk_bytes(self) -> int:
        """What it leaves behind: records, tables, examples and, where kept, the weights."""
        config = self.cell.config
        texts = 40_000 + 120 * ceil(self.epochs.expected) + 100 * self.sizes.test
        examples = config["cases"] * config["data.image_size"] ** 2 * 7  # float32 logits and RGB, hardly compressible
        return texts + examples + (4 * self.timing.parameters if config["keep_weights"] else 0)


@dataclass(frozen=True)
class Plan:
    """What of a grid is done and what is left.

    Attributes:
        done: cells with a result.
        left: runs without, in the grid's order.
        gains: by network, how many times the work of one run two side by side get done; empty if that was not timed.
    """

    done: list[Cell]
    left: list[Run]
    gains: dict[str, float]


def grid_cells(overrides: list[str]) -> list[Cell]:
    """The cells that ``train.py -m`` with these arguments would run.

    Raises:
        UserError: an argument is wrong.
    """
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            config = loader.load_configuration("config", overrides, run_mode=RunMode.MULTIRUN)
            return expand(loader, config, config.hydra.sweeper.params, list(config.hydra.overrides.task))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error


def make_plan(cells: list[Cell], side_by_side: bool = False, announce: Callable[[str], object] = print) -> Plan:
    """Time each distinct network of the cells that are left, and foretell how long each of them takes.

    Args:
        cells: of the grid.
        side_by_side: time two runs of each network at once as well.
        announce: told the name of each network before it is timed.

    Raises:
        UserError: a network cannot be built or does not fit into memory, or a dataset's size is not known.
    """
    records = {cell.directory: read_result(cell.directory) for cell in cells}
    done = [cell for cell in cells if records[cell.directory] is not None and not cell.config["rerun"]]
    left = [cell for cell in cells if records[cell.directory] is None or cell.config["rerun"]]
    epochs = EpochsKnown(record for record in records.values() if record is not None)
    sizes: dict[str, Sizes] = {}
    timings: dict[str, Timing] = {}
    gains: dict[str, float] = {}
    for cell in left:
        dataset, network = _key(cell, _DATASET_KEYS), _key(cell, _NETWORK_KEYS)
        if dataset not in sizes:
            sizes[dataset] = subset_sizes(cell)
        if network not in timings:
            announce(cell.config["model.name"])
            [timings[network]] = _time(cell, 1)
            if side_by_side:
                gains[cell.config["model.name"]] = sum(
                    timings[network].train_step / timing.train_step for timing in _time(cell, 2)
                )
    runs = [
        Run(cell, sizes[_key(cell, _DATASET_KEYS)], timings[_key(cell, _NETWORK_KEYS)], epochs.of(cell))
        for cell in left
    ]
    return Plan(done, runs, gains)


def _key(cell: Cell, parts: tuple[str, ...]) -> str:
    """The part of a cell's configuration whose keys begin with one of ``parts``."""
    return repr([item for item in cell.config.items() if item[0].startswith(parts)])


def _time(cell: Cell, together: int) -> list[Timing]:
    """Time a cell's network in as many processes at once."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["lightning_seg.sweep.timing", "lightning_seg.models", "lightning_seg.losses"])
    # A process serves once, so that its memory tells what this network takes.
    with ProcessPoolExecutor(together, processes, max_tasks_per_child=1) as pool:
        try:
            return list(pool.map(_time_cell, [cell.config] * together))
        except BrokenProcessPool as error:
            raise UserError(
                f"Timing {cell.config['model.name']} ended its process, most likely for want of memory; set "
                "data.batch_size to less."
            ) from error


def _time_cell(flat: dict[str, Any]) -> Timing:
    changes = {"trainer.max_epochs": 1000, "trainer.limit_train_batches": None, "trainer.limit_val_batches": None}
    if "model.pretrained" in flat:
        changes["model.pretrained"] = False
    return time_training(nested(flat | changes))


def subset_sizes(cell: Cell) -> Sizes:
    """Images of each subset of a cell's dataset, by the configured fractions.

    Of a published dataset that is not here, the published number of images is taken.

    Raises:
        UserError: the dataset is not here, and not a published one.
    """
    name = cell.config["dataset.name"]
    try:
        count = len(instantiate(cell.group("dataset.")).ids())
    except InstantiationException as error:
        table = files("lightning_seg.data") / "published" / f"{name}.csv"
        if not table.is_file():
            raise (error.__cause__ if isinstance(error.__cause__, UserError) else error) from error
        with table.open() as file:
            count = sum(1 for _ in csv.DictReader(file))
    fractions = cell.group("data.fractions.")
    train, val = round(fractions["train"] * count), round(fractions["val"] * count)
    return Sizes(train, val, count - train - val)


class EpochsKnown:
    """How many epochs finished runs have trained, by dataset and model.

    Args:
        records: of the finished runs.
    """

    def __init__(self, records: Iterable[dict[str, Any]]) -> None:
        self._epochs: dict[tuple[str | None, str | None], list[int]] = defaultdict(list)
        for record in records:
            dataset, model = record["dataset"], record["model"]
            for key in ((dataset, model), (None, model), (dataset, None), (None, None)):
                self._epochs[key].append(record["epochs"])

    def of(self, cell: Cell) -> Epochs:
        """The mean over finished runs of the same dataset and model, else of the model, the dataset or the study.

        With no run finished, half-way between the earliest possible stop and the last epoch is assumed.
        """
        dataset, model = cell.config["dataset.name"], cell.config["model.name"]
        for key in ((dataset, model), (None, model), (dataset, None), (None, None)):
            if known := self._epochs.get(key):
                return Epochs(mean(known), min(known), max(known), "as in finished runs")
        most = cell.config["trainer.max_epochs"]
        least = min(most, cell.config["early_stopping.patience"] + 1)
        if least == most:
            return Epochs(most, least, most, "too few to stop early")
        return Epochs((least + most) / 2, least, most, "assumed half-way between earliest stop and last epoch")
