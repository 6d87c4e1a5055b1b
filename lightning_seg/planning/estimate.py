"""What a grid will take before it is started: time, memory, disk and money, from steps that are really timed here."""

import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from math import ceil
from statistics import mean
from typing import Any

from lightning_seg.errors import UserError
from lightning_seg.machine.devices import cores
from lightning_seg.machine.workers import ctrl_c_waits, start_server
from lightning_seg.planning.sizes import Sizes, cache_bytes, cache_key, sizes_key, subset_sizes
from lightning_seg.planning.timed import Timing
from lightning_seg.runs.fingerprint import differences
from lightning_seg.runs.record import Record
from lightning_seg.sweep.cells import Cell, nested
from lightning_seg.wording import counted

BETWEEN_RUNS_SECONDS = 0.1  # composing the next configuration, opening the cache, writing the record
FEWEST_RUNS = 5  # whose epochs tell the range of those of others
CUDA_CONTEXT_BYTES = 600 * 2**20  # of a process beside its tensors
# The keys that decide how long a step takes.
_NETWORK_KEYS = (
    *("model.", "optimizer.", "trainer.", "speed.", "augmentation", "threads"),
    *("data.image_size", "data.batch_size", "data.eval_batch_size", "data.resident"),
)
_IDLE_KEYS = ("optimizer.lr", "trainer.max_epochs")  # among them; trials differ in these


@dataclass(frozen=True)
class Epochs:
    """How many epochs a run is taken to train, between what bounds, and why."""

    expected: float
    least: int
    most: int
    reason: str


@dataclass(frozen=True)
class PlannedRun:
    """A run that is left, and what its time follows from.

    Attributes:
        cell: it.
        sizes: of its subsets.
        timing: of its network, alone on the device.
        epochs: that it trains.
        beside: the same of its network with one thread while every other core trains one, too; None if not timed.
    """

    cell: Cell
    sizes: Sizes
    timing: Timing
    epochs: Epochs
    beside: Timing | None = None

    @property
    def is_trial(self) -> bool:
        """Whether it is a trial of ``tune=...``, which leaves the test images unread."""
        return _is_trial(self.cell)

    def seconds(self, epochs: float | None = None, timing: Timing | None = None) -> float:
        """How long it lasts, for a number of epochs or the expected one, and timed alone or as told."""
        data, trainer, timing = self.cell.group("data."), self.cell.group("trainer."), timing or self.timing
        steps = _limited(ceil(self.sizes.train / data["batch_size"]), trainer.get("limit_train_batches"))
        val_batches = _limited(ceil(self.sizes.val / data["eval_batch_size"]), trainer.get("limit_val_batches"))
        kept = sum(
            ceil(images / data["eval_batch_size"]) for images in (self.sizes.val, self.sizes.test, self.sizes.elsewhere)
        )
        epoch = steps * timing.train_step + val_batches * timing.eval_batch + timing.epoch_end
        once = BETWEEN_RUNS_SECONDS + timing.setup + (0 if self.is_trial else kept * timing.eval_batch)
        return once + (self.epochs.expected if epochs is None else epochs) * epoch

    def peak_bytes(self) -> int:
        """The most memory that it takes, its dataset included where that stays on the device."""
        data = self.cell.group("data.")
        images = self.sizes.images if data["resident"] else 0
        return self.timing.peak_bytes + 4 * data["image_size"] ** 2 * images

    def checkpoint_bytes(self) -> int:
        """What it needs while it trains: an old checkpoint and a new one, with Adam's state and two sets of weights."""
        return 2 * 16 * self.timing.parameters

    def disk_bytes(self) -> int:
        """What it leaves behind beside the dataset's cache: records, tables, examples and, where kept, the weights."""
        config = self.cell.config
        texts = 40_000 + 120 * ceil(self.epochs.expected) + 180 * (self.sizes.test + self.sizes.elsewhere)
        area = config["data.image_size"] ** 2
        examples = config["cases"] * area * 7  # float32 logits and RGB, hardly compressible
        masks = 0 if self.is_trial else (self.sizes.val + self.sizes.test) * (area // 80 + 150)  # in bits, and counts
        return texts + examples + masks + (4 * self.timing.parameters if config["keep_weights"] else 0)


@dataclass(frozen=True)
class Plan:
    """What of a grid is done and what is left.

    Attributes:
        done: cells with a result.
        left: runs without, in the grid's order.
        gains: by network, how many times the work of one run get done by two side by side on a GPU; empty if that was
            not timed.
        cache_bytes: of the decoded datasets that are not there yet.
        others: cells in whose place lies a finished run of another configuration, which training would not replace.
    """

    done: list[Cell]
    left: list[PlannedRun]
    gains: dict[str, float]
    cache_bytes: int
    others: list[Cell] = field(default_factory=list)


def make_plan(cells: list[Cell], side_by_side: bool = False, announce: Callable[[str], object] = print) -> Plan:
    """Time each distinct network of the cells that are left, and estimate how long each of them takes.

    Args:
        cells: of the grid, its trials before them.
        side_by_side: time runs of each network at once as well: two on a GPU, one a core on a CPU.
        announce: told what is timed next: "1 of 3: colonformer".

    Raises:
        UserError: networks cannot be trained, each in a line of its own; or a dataset's size is not known.
    """
    found = {cell.folder: cell.folder.record() for cell in cells}
    others = [cell for cell in cells if (record := found[cell.folder]) is not None and _is_other(cell, record)]
    records = found | dict.fromkeys((cell.folder for cell in others), None)
    done = [cell for cell in cells if records[cell.folder] is not None and not cell.config["rerun"]]
    left = [cell for cell in cells if records[cell.folder] is None or cell.config["rerun"]]
    epochs = {
        kind: EpochsKnown(record for cell in cells if _is_trial(cell) is kind and (record := records[cell.folder]))
        for kind in (False, True)  # trials may be shorter
    }
    sizes = {key: subset_sizes(cell) for key, cell in _distinct(left, sizes_key).items()}
    caches = dict(item for cell in _distinct(left, cache_key).values() for item in cache_bytes(cell).items())
    timings: dict[str, Timing] = {}
    beside: dict[str, Timing] = {}
    gains: dict[str, float] = {}
    failures: list[str] = []
    networks = _distinct(left, _network_key)
    for number, (key, cell) in enumerate(networks.items(), start=1):
        name = cell.config["model.name"]
        announce(f"{number} of {len(networks)}: {name}")
        try:
            [timings[key]] = _time(cell, 1)
            if side_by_side and timings[key].device_bytes:
                gains[name] = sum(timings[key].train_step / timing.train_step for timing in _time(cell, 2))
            elif side_by_side:
                beside[key] = _mean(_time(_of_one_thread(cell), cores()))
        except UserError as error:
            failures.append(str(error))
    if failures:
        raise UserError("\n".join(dict.fromkeys(failures)))
    runs = [
        PlannedRun(cell, sizes[sizes_key(cell)], timings[key], epochs[_is_trial(cell)].of(cell), beside.get(key))
        for cell, key in ((cell, _network_key(cell)) for cell in left)
    ]
    return Plan(done, runs, gains, sum(caches.values()), [cell for cell in others if not cell.config["rerun"]])


def _is_other(cell: Cell, record: Record) -> bool:
    """Whether a finished run has been made with another configuration, which neither counts nor tells anything."""
    return bool(differences(cell.config, record.config, record.tuned))


def _is_trial(cell: Cell) -> bool:
    return not cell.config.get("test", True)


def _distinct(cells: list[Cell], key: Callable[[Cell], str]) -> dict[str, Cell]:
    """The first cell of each key."""
    first: dict[str, Cell] = {}
    for cell in cells:
        first.setdefault(key(cell), cell)
    return first


def _network_key(cell: Cell) -> str:
    decisive = {key: value for key, value in cell.config.items() if key not in _IDLE_KEYS}
    return Cell(cell.overrides, decisive).key(*_NETWORK_KEYS)


def _of_one_thread(cell: Cell) -> Cell:
    """A cell as ``hydra/launcher=cpus`` trains it."""
    return Cell(cell.overrides, cell.config | {"threads": 1})


def _mean(timings: list[Timing]) -> Timing:
    """The mean of the times that processes have measured at once."""
    names = ("setup", "train_step", "eval_batch", "epoch_end")
    return replace(timings[0], **{name: mean(getattr(each, name) for each in timings) for name in names})


def _time(cell: Cell, together: int) -> list[Timing]:
    """Time a cell's network in as many processes at once.

    Raises:
        UserError: it cannot be trained.
    """
    start_server(["lightning_seg.planning.timing", "lightning_seg.models.encoders", "lightning_seg.losses"])
    processes = multiprocessing.get_context("forkserver")
    # A process serves once, so that its memory tells what this network takes.
    with ProcessPoolExecutor(together, processes, max_tasks_per_child=1) as pool:
        try:
            with ctrl_c_waits():
                timings = [pool.submit(_time_cell, cell.config) for _ in range(together)]
            return [timing.result() for timing in timings]
        except KeyboardInterrupt:
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
        except BrokenProcessPool as error:
            raise UserError(
                f"Timing {cell.config['model.name']} ended its process, most likely for want of memory; set "
                "data.batch_size to less."
            ) from error
        except UserError as error:
            if together == 1:
                raise
            raise UserError(f"{together} runs at once: {error}") from error


def _time_cell(flat: dict[str, Any]) -> Timing:
    changes: dict[str, Any] = {
        "trainer.max_epochs": 1000,
        "trainer.limit_train_batches": None,
        "trainer.limit_val_batches": None,
    }
    if "model.pretrained" in flat:
        changes |= {"model.pretrained": False} | dict.fromkeys(key for key in flat if key.startswith("model.weights"))
    from lightning_seg.planning.timing import time_training  # here: it loads torch, for which nobody waits elsewhere

    try:
        return time_training(nested(flat | changes))
    except UserError:
        raise
    except Exception as error:  # whatever a network may raise; not every error could leave this process
        reason = " ".join(str(error).split())
        raise UserError(f"{flat['model.name']} cannot be trained: {type(error).__name__}: {reason}") from error


def _limited(batches: int, limit: int | float | None) -> int:
    """How many of an epoch's batches Lightning's trainer takes: a share of them, or at most a number."""
    if limit is None:
        return batches
    return int(batches * limit) if isinstance(limit, float) else min(batches, limit)


class EpochsKnown:
    """How many epochs finished runs have trained, by dataset and model.

    Args:
        records: of the finished runs.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._epochs: dict[tuple[str | None, str | None], list[int]] = defaultdict(list)
        for record in records:
            if record.epochs is None:
                continue
            dataset, model = record.dataset, record.model
            for key in ((dataset, model), (None, model), (dataset, None), (None, None)):
                self._epochs[key].append(record.epochs)

    def of(self, cell: Cell) -> Epochs:
        """The mean over finished runs of the same dataset and model, else of the model, the dataset or the study.

        With no run finished, half-way between the earliest possible stop and the last epoch is assumed. A few runs tell
        little of how far others may be from their mean: the bounds are those of what is possible then.
        """
        dataset, model = cell.config["dataset.name"], cell.config["model.name"]
        most = cell.config["trainer.max_epochs"]
        least = min(most, cell.config["early_stopping.patience"] + 1)
        for key in ((dataset, model), (None, model), (dataset, None), (None, None)):
            if known := self._epochs.get(key):
                bounds = known if len(known) >= FEWEST_RUNS else [*known, least, most]
                return Epochs(mean(known), min(bounds), max(bounds), f"as in {counted(len(known), 'finished run')}")
        if least == most:
            return Epochs(most, least, most, "too few to stop early")
        return Epochs((least + most) / 2, least, most, "assumed half-way between earliest stop and last epoch")
