"""What the analysis supports: who is better, who cannot be told apart, for what, and where means and ranks disagree."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from lightning_seg.report.comparison import BLOCK, Comparison
from lightning_seg.report.contrasts import ALPHA, TEST_TO_TRAIN, Contrasts, Scope, components
from lightning_seg.report.power import Power, power_of
from lightning_seg.report.statistics import Omnibus, holm, omnibus
from lightning_seg.report.thresholds import HALF, ONE_CLASS, at
from lightning_seg.report.yardstick import DICE, Yardstick

# Where more runs than this predict one class everywhere, and so do more than these of every loss, none has learned.
_MANY_COLLAPSED, _SOME_COLLAPSED = 0.5, 0.25


@dataclass(frozen=True)
class Dispute:
    """A loss whose runs beat those of the highest mean in most repeats, and whose mean is lower all the same.

    Attributes:
        loss: its name.
        behind: how far its mean is behind the highest (0-1, positive).
        wins: share of the paired repeats in which it is better; ties count half.
        p: p-value of its mean rank against that of the loss with the highest mean, adjusted for all pairs.
        runs: (dataset, model, repeat, its Dice, Dice of the other) of the fewest repeats without which its mean would
            be the higher one, the most important first.
    """

    loss: str
    behind: float
    wins: float
    p: float
    runs: list[tuple[str, str, int, float, float]]


@dataclass(frozen=True)
class Reversal:
    """A dataset or a model on which another loss is better than the best one overall."""

    level: str
    name: str
    loss: str
    difference: float
    p: float


@dataclass
class Verdict:
    """What the analysis supports.

    Attributes:
        losses: compared losses, best mean first.
        winner: the one loss that is better than every other, or None.
        group: losses that cannot be told apart from the one with the best mean (itself first).
        worse: loss -> (mean difference to the best, adjusted p) of those that are worse.
        unit: "block", "repeat", "dataset", "row" (of a table without repeats), or "none" (nothing can be tested).
        scopes: the differences in each scope that there are enough units to speak of, :attr:`Scope.HERE` first.
        omnibus: Friedman's test of the blocks, the secondary reading.
        pairs: one row a pair (a, b), a with the larger mean: difference, low, high (all pairs at once), p, p_adjusted,
            improvement (share of paired repeats in which a is better) and p_<scope> of the wider scopes.
        power: what the design can see.
        disputes: where means and ranks disagree about the best loss; there is no winner then.
        reversals: where another loss is better than the best one.
        nothing_learned: a sentence where the networks have learned nothing that losses could be compared by, else "".
        collapsed: loss -> number of runs that predict one class everywhere there, of those that have any.
        set_aside: how many paired repeats hold such a run.
        without_collapsed: the verdict without these repeats, for all losses alike; None where there are none, or
            nothing else.
        same_images: whether all repeats are tested on the same images, so that only the seed varies.
        yardstick: what was compared.
        threshold: above which probability pixels were taken for lesion: "0.5", or "chosen" by validation images.
    """

    losses: list[str]
    winner: str | None
    group: list[str]
    worse: dict[str, tuple[float, float]]
    unit: str
    scopes: dict[Scope, Contrasts]
    omnibus: Omnibus
    pairs: pd.DataFrame
    power: Power
    disputes: list[Dispute] = field(default_factory=list)
    reversals: list[Reversal] = field(default_factory=list)
    nothing_learned: str = ""
    collapsed: dict[str, int] = field(default_factory=dict)
    set_aside: int = 0
    without_collapsed: "Verdict | None" = None
    same_images: bool = False
    yardstick: Yardstick = DICE
    threshold: str = HALF

    @property
    def here(self) -> Contrasts:
        """The differences on these datasets and models."""
        return self.scopes[Scope.HERE]

    def worse_in(self, scope: Scope) -> list[str]:
        """Losses that are worse than the best one in this scope, and in every narrower one; best first."""
        found = self.scopes.get(scope)
        if found is None or not self.losses:
            return []
        return [loss for loss in self.losses if loss in self.worse and found.told(self.losses[0], loss)]

    def alike(self, within: float) -> tuple[list[str], float]:
        """The most losses, from the best on, of which no two differ by more than ``within``, with 95 % confidence.

        Returns:
            the losses, at least two of them or none, and the bound that holds all their differences (0-1).
        """
        if self.unit == "none" or self.nothing_learned:
            return [], 0.0
        place = [self.here.losses.index(loss) for loss in self.losses]
        means = self.here.means[place]
        bounds = np.abs(means[:, None] - means[None, :]) + self.here.margins[np.ix_(place, place)]
        within_all = [bounds[:n, :n][np.triu_indices(n, 1)].max() for n in range(2, len(place) + 1)]
        count = 1 + int(np.searchsorted(np.maximum.accumulate(within_all), within, side="right")) if within_all else 1
        return (self.losses[:count], float(within_all[count - 2])) if count > 1 else ([], 0.0)


def judge(
    pairs: pd.DataFrame,
    collapsed: pd.DataFrame | None = None,
    test_to_train: float = TEST_TO_TRAIN,
    same_images: bool = False,
    threshold: str = HALF,
) -> Verdict:
    """Judge a study's pairs table, (dataset, model, repeat) x losses.

    Args:
        collapsed: whether a run predicts one class everywhere, of the same shape; None for none.
        test_to_train, same_images: see :class:`lightning_seg.report.comparison.Comparison`.
        threshold: see :class:`Verdict`.
    """
    if collapsed is None:
        collapsed = pd.DataFrame(False, index=pairs.index, columns=pairs.columns)
    verdict = _judged(pairs, test_to_train)
    verdict.same_images, verdict.threshold = same_images, threshold
    verdict.nothing_learned = _nothing_learned(pairs, collapsed, threshold)
    if verdict.nothing_learned:
        verdict.winner, verdict.group, verdict.worse = None, verdict.losses, {}
        verdict.disputes, verdict.reversals = [], []
        return verdict
    counts = collapsed.sum()
    verdict.collapsed = {str(loss): int(count) for loss, count in counts.items() if count}
    bad = collapsed.any(axis=1)
    verdict.set_aside = int(bad.sum())
    if bad.any() and not bad.all():
        verdict.without_collapsed = _judged(pairs[~bad], test_to_train)
        verdict.without_collapsed.same_images = same_images
    return verdict


def judge_comparison(comparison: Comparison) -> Verdict:
    """Judge what a study can be compared on."""
    verdict = judge(comparison.scores, comparison.collapsed, comparison.test_to_train, comparison.same_images)
    for each in (verdict, verdict.without_collapsed):
        if each is not None:
            each.yardstick = comparison.yardstick
    return verdict


def judge_rows(rows: pd.DataFrame) -> Verdict:
    """Judge a table of which no repeats are known (rows x losses), such as a published one."""
    index = pd.MultiIndex.from_arrays(
        [rows.index.astype(str), ["all"] * len(rows), [0] * len(rows)], names=["dataset", "model", "repeat"]
    )
    verdict = _judged(rows.set_axis(index), 0.0)
    verdict.scopes = {Scope.HERE: replace(verdict.here, unit="row")}
    verdict.unit = "row"
    verdict.reversals = []
    return verdict


def _judged(pairs: pd.DataFrame, test_to_train: float) -> Verdict:
    parts = components(pairs, test_to_train)
    here = parts.here()
    scopes = {Scope.HERE: here}
    for scope in (Scope.MODELS, Scope.DATASETS):
        if here.tested and (wider := parts.contrasts(scope)) is not None and wider.tested:
            scopes[scope] = wider
    losses = sorted(here.losses, key=lambda loss: (-here.means[here.losses.index(loss)], loss))
    table = _pairs(pairs, losses, scopes)
    to_best = table[table["a"] == losses[0]] if losses else table
    worse = {
        str(row.b): (float(row.difference), float(row.p_adjusted))  # type: ignore[arg-type]
        for row in to_best.itertuples()
        if row.p_adjusted < ALPHA and row.difference > 0  # type: ignore[operator]
    }
    verdict = Verdict(
        losses=losses,
        winner=None,
        group=losses,
        worse=worse,
        unit=here.unit if here.tested else "none",
        scopes=scopes,
        omnibus=omnibus(pairs.groupby(level=BLOCK, observed=True).mean()),
        pairs=table,
        power=power_of(parts, here),
    )
    if not here.tested:
        return verdict
    verdict.disputes = _disputes(pairs, losses, worse, test_to_train)
    disputed = {dispute.loss for dispute in verdict.disputes}
    verdict.worse = {loss: found for loss, found in worse.items() if loss not in disputed}
    verdict.group = [loss for loss in losses if loss not in verdict.worse]
    if len(losses) > 1 and len(verdict.group) == 1:
        verdict.winner = losses[0]
    verdict.reversals = _reversals(pairs, losses[0], test_to_train)
    return verdict


def _pairs(pairs: pd.DataFrame, losses: Sequence[str], scopes: dict[Scope, Contrasts]) -> pd.DataFrame:
    here = scopes[Scope.HERE]
    place = [here.losses.index(loss) for loss in losses]
    first, second = np.triu_indices(len(losses), 1)
    a, b = np.array(place, dtype=int)[first], np.array(place, dtype=int)[second]
    values = pairs[here.losses].to_numpy(dtype=float)
    difference, margin = here.means[a] - here.means[b], here.margins[a, b]
    delta = values[:, a] - values[:, b]
    columns = {
        "a": [losses[int(n)] for n in first],
        "b": [losses[int(n)] for n in second],
        "difference": difference,
        "low": difference - margin,
        "high": difference + margin,
        "p": here.p[a, b],
        "p_adjusted": here.p_adjusted[a, b],
        "improvement": (delta > 0).mean(axis=0) + (delta == 0).mean(axis=0) / 2 if len(delta) else np.nan,
    }
    for scope in (Scope.MODELS, Scope.DATASETS):
        if scope in scopes:
            columns[f"p_{scope}"] = np.maximum(scopes[scope].p_adjusted[a, b], here.p_adjusted[a, b])
    return pd.DataFrame(columns)


def _disputes(
    pairs: pd.DataFrame, losses: Sequence[str], worse: dict[str, tuple[float, float]], test_to_train: float
) -> list[Dispute]:
    """Losses that the mean and the rank put on different sides of the best mean, where either is told.

    Ranks within a repeat are judged as Dice is, with the noise that models share.
    """
    if len(losses) < 2:
        return []
    best = losses[0]
    ranks = components(pairs.rank(axis=1), test_to_train).here()
    place = {loss: n for n, loss in enumerate(ranks.losses)}
    means = pairs.groupby(level=BLOCK, observed=True).mean().mean()
    found = []
    for loss in losses[1:]:
        ahead = ranks.means[place[loss]] - ranks.means[place[best]]
        p = float(ranks.p_adjusted[place[loss], place[best]])
        if ahead > 0 and means[best] > means[loss] and (p < ALPHA or loss in worse):
            delta = pairs[loss] - pairs[best]
            wins = float((delta > 0).mean() + (delta == 0).mean() / 2)
            found.append(Dispute(loss, float(means[best] - means[loss]), wins, p, _deciding(pairs, loss, best)))
    return found


def _deciding(pairs: pd.DataFrame, loss: str, best: str) -> list[tuple[str, str, int, float, float]]:
    """The fewest repeats without which ``loss`` would have the higher mean, each block weighing the same."""
    delta = pairs[loss] - pairs[best]
    sizes = delta.groupby(level=BLOCK, observed=True).transform("size")
    weighted = (delta / sizes).sort_values()
    left = (weighted.sum() - weighted.cumsum()).to_numpy()
    count = int((left > 0).argmax()) + 1
    return [
        (str(key[0]), str(key[1]), int(key[2]), float(pairs.at[key, loss]), float(pairs.at[key, best]))
        for key in weighted.index[:count]
    ]


def _reversals(pairs: pd.DataFrame, best: str, test_to_train: float) -> list[Reversal]:
    """Datasets and models on which another loss is better than the overall best, Holm over all that are looked at."""
    looked_at = []
    for level in ("dataset", "model"):
        names = pairs.index.get_level_values(level)
        if names.nunique() < 2:
            continue
        for name in names.unique():
            found = components(pairs[names == name], test_to_train).here()
            if not found.tested:
                continue
            own = found.losses.index(best)
            for n, loss in enumerate(found.losses):
                if n != own:
                    ahead = float(found.means[n] - found.means[own])
                    looked_at.append((level, str(name), loss, ahead, float(found.p[n, own])))
    if not looked_at:
        return []
    adjusted = holm(np.array([row[-1] for row in looked_at]))
    rows = zip(looked_at, adjusted, strict=True)
    return [Reversal(*row[:-1], float(p)) for row, p in rows if p < ALPHA and row[3] > 0]


def _nothing_learned(pairs: pd.DataFrame, collapsed: pd.DataFrame, threshold: str) -> str:
    if pairs.shape[1] < 2 or pairs.empty:
        return ""
    if collapsed.to_numpy().mean() > _MANY_COLLAPSED and collapsed.mean().min() > _SOME_COLLAPSED:
        return (
            f"{int(collapsed.to_numpy().sum())} of the {collapsed.size} compared runs predict {ONE_CLASS}, "
            f"{at(threshold)}: most networks have learned nothing yet, and nothing can be concluded about the losses."
        )
    if len(pairs) > 1 and (pairs.sub(pairs.iloc[:, 0], axis=0) == 0).all(axis=None):
        return (
            f"All {pairs.shape[1]} losses have the very same Dice in each of {len(pairs)} repeats: their networks "
            "have most likely learned nothing yet, and nothing can be concluded about the losses."
        )
    return ""
