"""How long the paper's 3,600 runs take on 1 to 64 devices: a simulation from step times measured here or given.

    python benchmarks/scaling.py                     # times every model on this device first: minutes on a GPU
    python benchmarks/scaling.py --steps steps.json  # {"unet": [train_step, eval_batch], ...} in seconds
    python benchmarks/scaling.py --parameters-only   # step times in proportion to parameters: a picture, no forecast

Each run stops after a number of epochs drawn from those that early stopping allows. Every launcher hands the next run
to whichever worker is free; they differ in what they add.
"""

import argparse
import json
import random
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from lightning_seg.planning.estimate import EpochsKnown, PlannedRun, make_plan, subset_sizes
from lightning_seg.planning.schedule import LAUNCHERS, scaling
from lightning_seg.planning.timed import Timing
from lightning_seg.sweep.cells import grid_cells
from lightning_seg.wording import duration

# Parameters in millions, of the networks as configured.
PARAMETERS = {
    "fcn": 134,
    "deeplabv3plus": 40,
    "unet": 31,
    "unetplusplus": 9,
    "colonsegnet": 5,
    "fatnet": 29,
    "fcbformer": 53,
    "colonformer": 53,
    "caranet": 45,
    "esfpnet": 27,
    "ducknet": 39,
    "emcadnet": 27,
}


def given_runs(steps: dict[str, list[float]]) -> list[PlannedRun]:
    """The paper's runs, with these seconds of a training step and an evaluation batch for each model."""
    cells = grid_cells(["experiment=paper", "study=scaling"])
    epochs = EpochsKnown([])
    sizes = {name: subset_sizes(cell) for name, cell in {c.config["dataset.name"]: c for c in cells}.items()}
    timings = {
        model: Timing(
            setup=1.0,
            train_step=train,
            eval_batch=evaluate,
            epoch_end=0.03,
            peak_bytes=0,
            device_bytes=0,
            device="given",
            parameters=0,
        )
        for model, (train, evaluate) in steps.items()
    }
    return [
        PlannedRun(cell, sizes[cell.config["dataset.name"]], timings[cell.config["model.name"]], epochs.of(cell))
        for cell in cells
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=Path)
    parser.add_argument("--parameters-only", action="store_true")
    arguments = parser.parse_args()
    if arguments.steps:
        runs = given_runs(json.loads(arguments.steps.read_text()))
    elif arguments.parameters_only:
        runs = given_runs({name: [0.02 + 0.001 * count, 0.007 + 0.0003 * count] for name, count in PARAMETERS.items()})
    else:
        runs = make_plan(grid_cells(["experiment=paper", "study=scaling"])).left
    draw = random.Random(0)
    batches: dict[int, list[float]] = {}
    for run in runs:
        seconds = run.seconds(draw.randint(run.epochs.least, run.epochs.most))
        batches.setdefault(run.cell.config["repeat"], []).append(seconds)
    for launcher in LAUNCHERS:
        table = Table(title=f"{len(runs)} runs, {launcher.name}", title_justify="left", box=box.SIMPLE_HEAD)
        for name in (
            "devices",
            "grid's order",
            "longest first in a repeat",
            "longest first",
            "bound",
            "ordering saves",
        ):
            table.add_column(name, justify="right")
        for workers in (1, 2, 4, 8, 16, 32, 64):
            result = scaling(list(batches.values()), workers, launcher)
            times = (result.in_order, result.by_repeat, result.longest_first, result.bound)
            saved = 1 - result.by_repeat / result.in_order
            table.add_row(str(workers), *map(duration, times), f"{saved:.1%}")
        Console().print(table)


if __name__ == "__main__":
    main()
