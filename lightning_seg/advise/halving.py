"""Successive halving over losses: which can be dropped, and whether more repeats could settle anything.

Losses are compared on paired repeats. After a few of them (a *look*), each loss that is surely worse than another is
dropped, and the others go on to the next look. The rule errs, in the whole procedure, with a probability of at most
``Rule.error_rate``: that the truly best loss (of the highest expected Dice on images like these, averaged over the
models) is ever dropped, or that it is better than the one then leading by more than the stated ``gap``.

Why it holds. Only what happens to the one best loss can be an error, so its rivals are counted and not all pairs:
losses - 1 of them, each with one chance per look. Each of these (losses - 1) x looks one-sided tests gets the same
share of the error rate (Bonferroni), which holds whatever the dependence between losses that share their splits, or
between looks that share their repeats. Rivals are counted as of the start even when some have been dropped, since the
same data chose those that are left. Stopping early, for whatever reason, can only take errors away.

The single test is that of the report for one block (:mod:`lightning_seg.report.contrasts`): the corrected resampled
t-test (Nadeau & Bengio, Machine Learning 52, 2003), since repeats re-split the same images: the variance of a mean
over r repeats is s^2 (1/r + test/train), which does not vanish with more of them. Models are averaged first, because
those of one repeat share its split and are no further repeats. Few repeats say little on s^2, so that of all losses
left is pooled, and a pair that is noisier than that is judged by its own: a loss that has been dropped does not come
back, so the error is kept on the safe side. This supposes normal errors of about equal size. In
400 simulated studies of ten losses the worst case that the correction allows for gave 3.0 % errors, heavy tails (t3)
3.2 %, skewed noise 1.5 %, unequal noise 3.0 %, and losses that a split favours by .006 for all of three models (runs:
.012) none, but a best loss three times as noisy as all others 9.2 %: see ``benchmarks/halving_rates.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import inf

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lightning_seg.errors import UserError
from lightning_seg.report.contrasts import components

LOOKS = (3, 5, 8, 12)
# A loss whose chance of being dropped at the last look, as things stand, is below this is not waited for.
_HOPELESS = 0.1


def looks_within(repeats: int | None) -> tuple[int, ...]:
    """The looks of a study whose split has so many repeats; ``None`` for as many as one likes.

    Raises:
        UserError: these are too few to compare losses.
    """
    if repeats is None or repeats >= LOOKS[-1]:
        return LOOKS
    if repeats < 2:
        raise UserError(f"--halving needs at least 2 repeats, and data.split has {repeats}: choose another split.")
    return (*(look for look in LOOKS if look < repeats), repeats)


class Stop(StrEnum):
    """Why the halving ends."""

    WINNER = "winner"  # one loss is left
    ALIKE = "alike"  # every loss left has the very same Dice in every repeat, as where none of them learns anything
    EQUIVALENT = "equivalent"  # no other can be better by more than what matters
    HOPELESS = "hopeless"  # the repeats that are left would most likely drop none
    SPENT = "spent"  # the last look has been taken


@dataclass(frozen=True)
class Rule:
    """When a loss is dropped.

    Attributes:
        looks: numbers of repeats after which is looked, rising; the first at least 2.
        error_rate: bound on the probability that the best loss is dropped at any look.
        rope: difference that matters, in Dice (0-1).
        test_to_train: test images over training images of a split.
    """

    looks: tuple[int, ...] = LOOKS
    error_rate: float = 0.05
    rope: float = 0.005
    test_to_train: float = 1 / 3

    def level(self, losses: int) -> float:
        """The level of each one-sided test among ``losses`` losses."""
        return self.error_rate / (max(losses - 1, 1) * len(self.looks))


@dataclass(frozen=True)
class Dropped:
    """A loss that was dropped.

    Attributes:
        loss: its name.
        repeats: after how many.
        rival: the loss that it is most surely worse than.
        difference: of their mean Dice (0-1) then, positive.
    """

    loss: str
    repeats: int
    rival: str
    difference: float


@dataclass(frozen=True)
class Halving:
    """How far the procedure has come.

    Attributes:
        left: losses still in doubt, the highest mean Dice first.
        dropped: the others, in the order in which they were dropped.
        repeats: how many the last look has seen; 0 before the first.
        gap: the most, in Dice (0-1), that any loss left may still be better than the first of them; None before the
            first look.
        todo: repeats that the losses left need for the next look; empty when the procedure has ended.
        stop: why it has ended; None while it has not.
    """

    left: list[str]
    dropped: list[Dropped]
    repeats: int
    gap: float | None
    todo: range
    stop: Stop | None


def follow(dice: pd.Series, losses: Sequence[str], models: Sequence[str], rule: Rule | None = None) -> Halving:
    """Take every look that the finished runs allow, from the first on.

    The same runs always lead to the same decisions, so that nothing but the runs has to be kept.

    Args:
        dice: mean test Dice (0-1), finite, of finished runs, by the index (loss, repeat, model). What no look asks for
            is not looked at.
        losses: that the procedure began with.
        models: that every loss is trained with.
        rule: the rule.
    """
    rule = rule or Rule()
    table = dice.unstack("model").reindex(columns=list(models)).mean(axis=1, skipna=False).unstack("loss")
    left, dropped = list(losses), list[Dropped]()
    seen, gap = 0, None
    for look in rule.looks:
        block = table.reindex(index=range(look), columns=left)
        if block.isna().to_numpy().any():
            return Halving(left, dropped, seen, gap, range(seen, look), None)
        # Of each look there is one set of tests; what is said after dropping must not rest on another.
        evidence = _Evidence.of(block, rule.level(len(losses)), rule.test_to_train)
        for index in np.flatnonzero(evidence.surely_better.max(axis=0) > 0):
            rival = int(evidence.surely_better[:, index].argmax())
            difference = evidence.means[rival] - evidence.means[index]
            dropped.append(Dropped(left[index], look, left[rival], float(difference)))
        best = int(evidence.means.argmax())
        kept = [int(index) for index in np.argsort(-evidence.means) if evidence.surely_better[:, index].max() <= 0]
        others = [index for index in kept if index != best]
        gap = max((-float(evidence.surely_better[best, index]) for index in others), default=0.0)
        left, seen = [left[index] for index in kept], look
        if not others:
            stop: Stop | None = Stop.WINNER
        elif not evidence.variance.any():
            stop = Stop.ALIKE
        elif gap <= rule.rope:
            stop = Stop.EQUIVALENT
        elif look == rule.looks[-1]:
            stop = Stop.SPENT
        else:
            stop = Stop.HOPELESS if evidence.is_hopeless(best, others, rule) else None
        if stop is not None:
            return Halving(left, dropped, seen, gap, range(0), stop)
    raise ValueError("a rule needs at least one look")


def chance_to_tell(
    difference: NDArray[np.float64],
    margin: NDArray[np.float64],
    single: NDArray[np.float64],
    seen: float,
    last: float,
    df: float = inf,
) -> NDArray[np.float64]:
    """The chance that a difference of means will be larger than its margin once all repeats are there.

    Args:
        difference: as it is now.
        margin: that it will be held against.
        single: variance of the difference in a single repeat.
        seen: repeats that there are.
        last: repeats that there will be.
        df: degrees of freedom of ``single``.
    """
    moved = np.sqrt(single * max(1 / seen - 1 / last, 0.0))
    return stats.t.sf((margin - difference) / np.maximum(moved, 1e-12), df)


@dataclass(frozen=True)
class _Evidence:
    """What one look knows.

    Attributes:
        means: Dice of each loss, float ``(L,)``.
        variance: of the difference of every two means, float ``(L, L)``.
        df: degrees of freedom of each variance.
        repeats: how many were seen.
        level: of each one-sided test.
        test_to_train: see :class:`Rule`.
    """

    means: NDArray[np.float64]
    variance: NDArray[np.float64]
    df: float
    repeats: int
    level: float
    test_to_train: float

    @classmethod
    def of(cls, block: pd.DataFrame, level: float, test_to_train: float) -> "_Evidence":
        """From a complete table, repeats x losses."""
        index = pd.MultiIndex.from_product([["one"], ["all"], block.index], names=["dataset", "model", "repeat"])
        found = components(block.set_axis(index), test_to_train).here()
        losses = len(found.losses)
        variance = np.maximum(found.own, 2 * found.size) if found.tested else np.zeros((losses, losses))
        df = found.df * max(losses - 1, 1) if found.tested else 1.0
        return cls(found.means, variance, df, len(block), level, test_to_train)

    @cached_property
    def surely_better(self) -> NDArray[np.float64]:
        """Lower bound of how much better the loss of the row is than that of the column, ``(L, L)``."""
        bounds = self.means[:, None] - self.means[None, :] - self.margin(self.repeats)
        np.fill_diagonal(bounds, 0.0)
        return bounds

    def margin(self, repeats: int) -> NDArray[np.float64]:
        """How far two means must differ after a number of repeats for the better one to be surely better, (L, L)."""
        df = self.df * (repeats - 1) / max(self.repeats - 1, 1)
        return stats.t.isf(self.level, df) * np.sqrt(self.variance * self._shrinks_to(repeats))

    def is_hopeless(self, best: int, others: list[int], rule: Rule) -> bool:
        """Whether the last look would most likely neither drop one of the others nor find all of them equivalent.

        It is estimated from the differences as they are, and from how far the repeats to come may move them.
        """
        last = rule.looks[-1]
        difference, margin = self.means[best] - self.means[others], self.margin(last)[best, others]
        single = self.variance[best, others] / (1 / self.repeats + self.test_to_train)
        chance = chance_to_tell(difference, margin, single, self.repeats, last)
        return bool(chance.max() < _HOPELESS and (margin - difference).max() > rule.rope)

    def _shrinks_to(self, repeats: int) -> float:
        return (1 / repeats + self.test_to_train) / (1 / self.repeats + self.test_to_train)
