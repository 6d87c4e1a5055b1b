"""Runs a grid unit by unit, in the order in which runs tell most for their time, until its answer is settled."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
import pandas as pd

from lightning_seg.advise.settling import LEVELS, Bounds, Settling, Unit, follow, in_order
from lightning_seg.errors import UserError
from lightning_seg.runs.record import Record
from lightning_seg.studies.cost import static_cost
from lightning_seg.sweep.cells import Cell, bare, grid_cells


@dataclass(frozen=True)
class Settled:
    """How the loop ended.

    Attributes:
        end: its last state.
        runs: how many are finished, and how many the full grid has.
        code: exit code of the training that ended it; 0 unless it failed or was stopped.
        out_of_time: whether the next unit would take longer than there is time.
    """

    end: Settling
    runs: tuple[int, int]
    code: int
    out_of_time: bool


class Grid:
    """The cells of a grid as units.

    Args:
        overrides: of ``train.py -m``.
        bounds: how sure one has to be.

    Raises:
        UserError: an argument is wrong, or the grid is none of datasets, networks, losses and repeats alone.
    """

    def __init__(self, overrides: Sequence[str], bounds: Bounds | None = None) -> None:
        self._bounds = bounds
        self._cells: dict[tuple[Unit, str], Cell] = {}
        cells = grid_cells(list(overrides))
        for cell in cells:
            place = cell.folder
            self._cells[(place.dataset, place.model, place.repeat), place.loss] = cell
        self.study = cells[0].folder.study
        self.losses = list(dict.fromkeys(loss for _, loss in self._cells))
        known = list(dict.fromkeys(unit for unit, _ in self._cells))
        sizes = [len({unit[level] for unit in known}) for level in range(len(LEVELS))]
        if len({cell.folder.study for cell in cells}) > 1:
            raise UserError("A study that ends when it is settled has one name; give one, with study=... .")
        if len(self.losses) < 2 or sizes[2] < 2 or int(np.prod(sizes)) * len(self.losses) != len(cells):
            raise UserError(
                "A study is settled by comparing two losses or more over two repeats or more, the same for every "
                "dataset and model; this grid has others."
            )
        if any(cell.config["rerun"] for cell in cells):
            raise UserError("rerun=true would train the same runs for ever here; leave it out.")
        pairs = {unit[:2] for unit in known}
        self.units = in_order(known, {pair: static_cost(*pair) for pair in pairs})

    def records(self) -> dict[tuple[Unit, str], Record]:
        """Of the runs that are finished."""
        found = ((key, cell.folder.record()) for key, cell in self._cells.items())
        return {key: record for key, record in found if record is not None and "dice" in record.test}

    def state(self, records: dict[tuple[Unit, str], Record]) -> Settling:
        """What is known."""
        dice = pd.DataFrame(
            [
                [records[unit, loss].test["dice"] if (unit, loss) in records else np.nan for loss in self.losses]
                for unit in self.units
            ],
            pd.MultiIndex.from_tuples(self.units, names=LEVELS),
            self.losses,
            dtype=float,
        )
        return follow(dice, self.losses, self.units, self._bounds)

    def lines(self, unit: Unit, losses: Sequence[str]) -> list[list[str]]:
        """The arguments of the trainings of a unit: one, unless a loss takes more than its name."""
        cells = [self._cells[unit, loss] for loss in losses]
        common = [each for each in cells[0].overrides if all(each in cell.overrides for cell in cells)]
        own = [[each for each in cell.overrides if each not in common] for cell in cells]
        if all(len(each) == 1 and bare(each[0]).startswith("loss=") for each in own):
            choices = ",".join(each[0].partition("=")[2] for each in own)
            return [[*common, f"loss={choices}"]]
        return [list(cell.overrides) for cell in cells]

    def __len__(self) -> int:
        return len(self._cells)


def settle(
    grid: Grid,
    seconds: float,
    tell: Callable[[Settling, Settling], None],
    announce: Callable[[list[str]], None],
    train: Callable[[Sequence[str]], int],
) -> Settled:
    """Train unit by unit, only the losses that are left, until the answer is settled.

    Where it stands follows from the finished runs alone, so that a second call goes on.

    Args:
        grid: what the study is of.
        seconds: that this call may take; at least one unit is trained.
        tell: called with the states before and after each unit.
        announce: called with the arguments of each training.
        train: trains with these arguments and returns the exit code.
    """
    started, lengths = time.monotonic(), list[float]()
    records = grid.records()
    state = grid.state(records)
    while (unit := state.todo) is not None:
        spent = time.monotonic() - started
        if lengths and spent + mean(lengths) > seconds:
            return Settled(state, (len(records), len(grid)), 0, True)
        code = 0
        for line in grid.lines(unit, state.losses):
            arguments = ["-m", *line]
            announce(arguments)
            code = code or train(arguments)
        lengths.append(time.monotonic() - started - spent)
        records = grid.records()
        before, state = state, grid.state(records)
        if code or state.todo == before.todo:
            return Settled(state, (len(records), len(grid)), code or 1, False)
        tell(before, state)
    return Settled(state, (len(records), len(grid)), 0, False)
