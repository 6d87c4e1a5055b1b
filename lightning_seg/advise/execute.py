"""Runs a proposal through the training application, all at once or look by look."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd

from lightning_seg.advise.halving import Halving, Rule, follow
from lightning_seg.advise.proposal import Proposal
from lightning_seg.config.build import build_nameless
from lightning_seg.errors import UnreadableError
from lightning_seg.predicted import THRESHOLDS, best_threshold
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.predictions import read
from lightning_seg.runs.record import Record
from lightning_seg.studies.folder import StudyFolder
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
    chosen_threshold: bool = False,
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
        chosen_threshold: whether losses are compared at the threshold that each run's validation images choose.
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
    state = follow(_dice(places, _records(places), chosen_threshold), losses, models, rule)
    tell(follow(_dice(places, {}, chosen_threshold), losses, models, rule), state)
    while state.todo:
        records = _records(places)
        lengths = [record.total_seconds for record in records.values()]
        wanted = [(loss, repeat, model) for loss in state.left for repeat in state.todo for model in models]
        needed = sum(key not in records for key in wanted) * (sum(lengths) / len(lengths) if lengths else 0.0)
        if state.repeats and sum(lengths) + _trial_seconds(cells[0].folder) + needed > seconds:
            return Halved(state, len(models), 0, True)
        arguments = proposal.line([choice_of[loss] for loss in state.left], state.todo)
        announce(arguments)
        code = train(arguments)
        before, state = state, follow(_dice(places, _records(places), chosen_threshold), losses, models, rule)
        if state.todo == before.todo:
            return Halved(state, len(models), code or 1, False)
        tell(before, state)
    return Halved(state, len(models), 0, False)


Key = tuple[str, int, str]  # loss, repeat, model


def _records(places: dict[Key, RunFolder]) -> dict[Key, Record]:
    found = ((key, folder.record()) for key, folder in places.items())
    return {key: record for key, record in found if record is not None and "dice" in record.test}


def _dice(places: dict[Key, RunFolder], records: dict[Key, Record], chosen_threshold: bool) -> pd.Series:
    """Test Dice by (loss, repeat, model), of all runs at 0.5 or of all at the thresholds that are chosen for them."""
    dice = {key: record.test["dice"] for key, record in records.items()}
    if chosen_threshold:
        with suppress(FileNotFoundError, UnreadableError):  # of a study that an older version has begun
            dice = {key: _at_chosen_threshold(places[key]) for key in records}
    index = pd.MultiIndex.from_arrays(
        [[key[level] for key in records] for level in range(3)], names=["loss", "repeat", "model"]
    )
    return pd.Series(list(dice.values()), index, dtype=float)


def _at_chosen_threshold(folder: RunFolder) -> float:
    found = read(folder, masks=False)
    return float(found.test.dice[:, THRESHOLDS.index(best_threshold(found.val))].mean())


def _trial_seconds(folder: RunFolder) -> float:
    """What the trials of a run's study have taken."""
    trials = [run for study in StudyFolder(folder.study).trial_studies() for run in study.runs()[0]]
    return sum(record.total_seconds for run in trials if (record := run.record()) is not None)
