"""When a study's answer is settled before all of its runs are there: the answer that the full grid would give.

The answer is the report's: the one loss that is better than every other (Tukey over all pairs), or that there is none.
Runs come in *units*, all losses of one dataset, network and repeat: repeats slowest, so that every dataset and network
is seen first, and what takes least time first. After each unit it is asked how likely the full grid is to tell the
leading loss from each other one, from the differences as they are and how far the runs to come may move them. A loss
from which it is nearly sure to be told gets no more runs. The answer is settled when all are told, or when some rival
nearly surely never will be.

The bounds were chosen on studies made from recorded trainings and are checked on others: see
``benchmarks/settling_rates.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightning_seg.advise.halving import chance_to_tell
from lightning_seg.report.contrasts import ALPHA, TEST_TO_TRAIN, Contrasts, components
from lightning_seg.report.studentized import critical_range

Unit = tuple[str, str, int]  # dataset, model, repeat
LEVELS = ["dataset", "model", "repeat"]


class Answer(StrEnum):
    """How far the question is."""

    WINNER = "winner"  # the full grid would most likely find the leading loss better than every other
    NONE = "none"  # it would most likely find no loss better than every other
    OPEN = "open"  # more units tell
    ENDED = "ended"  # all units are there; the report's own tests have answered


@dataclass(frozen=True)
class Bounds:
    """How sure one has to be.

    Attributes:
        told: chance that the full grid tells the leading loss from each other one, above which it is the winner.
        untold: the same chance of a single rival, below which there will be no winner.
        dropped: above which a loss gets no more runs.
        test_to_train: test images over training images of a split.
    """

    told: float = 0.95
    untold: float = 0.12
    dropped: float = 0.97
    test_to_train: float = TEST_TO_TRAIN


@dataclass(frozen=True)
class Left:
    """A loss that gets no more runs.

    Attributes:
        loss: its name.
        units: after how many.
        difference: of its mean Dice (0-1) to the leading one's then, positive.
    """

    loss: str
    units: int
    difference: float


@dataclass(frozen=True)
class Settling:
    """How far a study has come.

    Attributes:
        answer: what is known.
        losses: those that still get runs, the highest mean Dice first; as given before the first look.
        dropped: the others, in the order in which they were dropped.
        seen: units that have been looked at.
        chance: that the full grid tells the leading loss from its closest rival; None before the first look.
        todo: the next unit; None when the answer is settled or all are there.
    """

    answer: Answer
    losses: list[str]
    dropped: list[Left]
    seen: int
    chance: float | None
    todo: Unit | None


def in_order(units: Sequence[Unit], seconds: dict[tuple[str, str], float]) -> list[Unit]:
    """Units in the order in which they tell most for their time.

    Args:
        units: of the full grid.
        seconds: of a run, by dataset and model, in whatever unit.
    """
    return sorted(units, key=lambda unit: (unit[2], seconds[unit[0], unit[1]], unit[0], unit[1]))


def follow(dice: pd.DataFrame, losses: Sequence[str], units: Sequence[Unit], bounds: Bounds | None = None) -> Settling:
    """Take every look that the finished runs allow, unit by unit.

    The same runs always lead to the same decisions, so that nothing but the runs has to be kept.

    Args:
        dice: mean test Dice (0-1), (dataset, model, repeat) x losses, NaN where a run is not there.
        losses: that the study began with.
        units: of the full grid, in their order.
        bounds: how sure one has to be.
    """
    bounds = bounds or Bounds()
    blocks = len({unit[:2] for unit in units})
    table = dice.reindex(index=pd.MultiIndex.from_tuples(units, names=LEVELS), columns=list(losses))
    left, dropped = list(losses), list[Left]()
    chance: float | None = None
    for count, unit in enumerate(units, start=1):
        seen = table.iloc[:count][left]
        if seen.iloc[-1].isna().any():
            return Settling(Answer.OPEN, left, dropped, count - 1, chance, unit)
        if count == len(units):
            return Settling(Answer.ENDED, left, dropped, count, chance, None)
        if count <= blocks:  # until a block has a second repeat, nothing tells how much of a difference is luck
            continue
        found = components(seen, bounds.test_to_train).here()
        if not found.tested:
            continue
        best = int(found.means.argmax())
        others = [index for index in range(len(left)) if index != best]
        chances = _chances(found, best, count / blocks, len(units) / blocks, len(losses), bounds)
        chance = float(chances[others].min())
        order = [left[index] for index in np.argsort(-found.means)]
        if chance > bounds.told or chance < bounds.untold:
            answer = Answer.WINNER if chance > bounds.told else Answer.NONE
            return Settling(answer, order, dropped, count, chance, None)
        gone = [index for index in others if chances[index] > bounds.dropped]
        dropped += [Left(left[index], count, float(found.means[best] - found.means[index])) for index in gone]
        left = [loss for loss in order if loss not in {left[index] for index in gone}]
    raise ValueError("a study needs at least one unit")


def _chances(found: Contrasts, best: int, seen: float, last: float, losses: int, bounds: Bounds) -> NDArray[np.float64]:
    """Of each loss, the chance that the full grid tells the best one from it, float (L,).

    Args:
        found: what is known of the differences.
        best: the leading loss.
        seen: mean number of repeats of a block that there are.
        last: that there will be.
        losses: that the study began with, among which the full grid compares.
        bounds: how sure one has to be.
    """
    difference, variance = found.means[best] - found.means, found.variances[best]
    single = variance / (1 / seen + bounds.test_to_train)
    df = found.pair_df * (last - 1) / max(seen - 1, 1 / last)
    width = critical_range(ALPHA, losses, df) / sqrt(2)
    margin = width * np.sqrt(single * (1 / last + bounds.test_to_train))
    return chance_to_tell(difference, margin, single, seen, last, found.pair_df)
