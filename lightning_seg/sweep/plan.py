"""What a grid will take before it is started: time, memory, disk and money, from steps that are really timed here."""

from dataclasses import dataclass
from math import ceil

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from lightning_seg.config import CONFIG_DIR, explain
from lightning_seg.errors import UserError
from lightning_seg.runs.record import read_result
from lightning_seg.sweep.cells import Cell, expand
from lightning_seg.sweep.timing import Timing

# Between two runs of a sweep: composing, importing nothing, opening the cache, writing the record.
BETWEEN_RUNS_SECONDS = 0.3
# What a process takes of a GPU's memory beside its tensors: context and kernels.
CUDA_CONTEXT_BYTES = 600 * 2**20


@dataclass(frozen=True)
class Epochs:
    """How many epochs a run is taken to train, and between what bounds."""

    expected: float
    least: int
    most: int
    reason: str


@dataclass(frozen=True)
class Sizes:
    """Images of each subset."""

    train: int
    val: int
    test: int


@dataclass(frozen=True)
class Run:
    """A run that is left, and what it takes.

    Attributes:
        cell: of the grid.
        sizes: of its dataset's subsets.
        timing: of its network.
        epochs: that it is taken to train.
    """

    cell: Cell
    sizes: Sizes
    timing: Timing
    epochs: Epochs

    def seconds(self, epochs: float | None = None) -> float:
        """How long it lasts, for a number of epochs or the expected one."""
        data = self.cell.group("data.")
        steps = ceil(self.sizes.train / data["batch_size"])
        val_batches, test_batches = (
            ceil(count / data["eval_batch_size"]) for count in (self.sizes.val, self.sizes.test)
        )
        timing = self.timing
        epoch = steps * timing.train_step + val_batches * timing.eval_batch + timing.epoch_end
        test = test_batches * timing.eval_batch
        return BETWEEN_RUNS_SECONDS + timing.setup + (epochs or self.epochs.expected) * epoch + test

    def disk_bytes(self) -> int:
        """What it leaves behind: records, tables, examples and, where kept, the weights."""
        size, cases = self.cell.config["data.image_size"], self.cell.config["cases"]
        texts = 40_000 + 120 * int(self.epochs.expected) + 100 * self.sizes.test
        weights = 4 * self.timing.parameters if self.cell.config["keep_weights"] else 0
        return texts + cases * size * size * 7 + weights  # float32 logits, which hardly compress, and RGB


@dataclass(frozen=True)
class Plan:
    """What of a grid is done and what is left.

    Attributes:
        done: cells with a result.
        runs: those without, in the grid's order.
    """

    done: list[Cell]
    runs: list[Run]


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


def make_plan(cells: list[Cell]) -> Plan:
    """Time each distinct network of the cells that are left and foretell how long each of them takes."""
    records = {cell.directory: read_result(cell.directory) for cell in cells}
    done = [cell for cell in cells if records[cell.directory] is not None and not cell.config["rerun"]]
    left = [cell for cell in cells if cell not in done]
    timings = time_models(left)
    finished = [record for record in records.values() if record is not None]
    return Plan(
        done,
        [
            Run(cell, _sizes(cell), timings[_network(cell)], expected_epochs(cell, finished))
            for cell in left
        ],
    )
