"""Runs a proposal through the training application, all at once or look by look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from lightning_seg.advise.halving import Halving, Rule, follow
from lightning_seg.advise.proposal import Proposal
from lightning_seg.config.build import build_nameless
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.record import Record
from lightning_seg.sweep.cells import grid_cells, nested


def check_models(proposal: Proposal) -> None:
    """Build each network once, so that weights which cannot be downloaded are known before anything is trained.

    Raises:
        UserError: a network cannot be built.
    """
    cells = grid_cells(proposal.line(proposal.losses[:1], range(1))[1:])
    for cell in cells:
        build_nameless(nested(cell.config).model, "model")


@dataclass(frozen=True)
class Halved:
    """How a halving ended.

    Attributes:
        end: its last state.
        models: how many models are averaged.
        code: exit code of the training that ended it; 0 unless it failed or was stopped.
        out_of_time: whether the next look would take longer than there is time.
    """

    end: Halving
    models: int
    code: int
    out_of_time: bool


def halve(
    proposal: Proposal,
    rule: Rule,
    seconds: float,
    tell: Callable[[Halving, Halving], None],
    announce: Callable[[list[str]], None],
    train: Callable[[Sequence[str]], int],
) -> Halved:
    """Train look by look, only the losses that are left.

    Where it stands follows from the finished runs alone, so that a second call goes on.

    Args:
        proposal: losses and models; its repeats do not matter.
        rule: when a loss is dropped.
        seconds: of training that all looks may take, those of earlier calls included; the first look is always taken.
        tell: called with the states before and after, when a look has been taken.
        announce: called with the arguments of each training.
        train: trains with these arguments and returns the exit code.
    """
    cells = grid_cells(proposal.line(repeats=range(rule.looks[-1]))[1:])
    choice_of = {
        cell.config["loss.name"]: next(value for value in cell.overrides if value.startswith("loss=")).split("=", 1)[1]
        for cell in cells
    }
    models = list(dict.fromkeys(cell.config["model.name"] for cell in cells))
    places = {
        (cell.config["loss.name"], cell.config["repeat"], cell.config["model.name"]): cell.folder for cell in cells
    }
    losses = list(choice_of)
    state = follow(_dice(_records(places)), losses, models, rule)
    tell(follow(_dice({}), losses, models, rule), state)
    while state.todo:
        records = _records(places)
        lengths = [record.total_seconds for record in records.values()]
        wanted = [(loss, repeat, model) for loss in state.left for repeat in state.todo for model in models]
        needed = sum(key not in records for key in wanted) * (sum(lengths) / len(lengths) if lengths else 0.0)
        if state.repeats and sum(lengths) + needed > seconds:
            return Halved(state, len(models), 0, True)
        arguments = proposal.line([choice_of[loss] for loss in state.left], state.todo)
        announce(arguments)
        code = train(arguments)
        before, state = state, follow(_dice(_records(places)), losses, models, rule)
        if state.todo == before.todo:
            return Halved(state, len(models), code or 1, False)
        tell(before, state)
    return Halved(state, len(models), 0, False)


Key = tuple[str, int, str]  # loss, repeat, model


def _records(places: dict[Key, RunFolder]) -> dict[Key, Record]:
    found = ((key, folder.record()) for key, folder in places.items())
    return {key: record for key, record in found if record is not None and "dice" in record.test}


def _dice(records: dict[Key, Record]) -> pd.Series:
    """Test Dice by (loss, repeat, model)."""
    index = pd.MultiIndex.from_arrays(
        [[key[level] for key in records] for level in range(3)], names=["loss", "repeat", "model"]
    )
    return pd.Series([record.test["dice"] for record in records.values()], index, dtype=float)
