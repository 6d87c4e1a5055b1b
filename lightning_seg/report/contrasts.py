"""How much the losses' means differ, and how sure that is: one analysis in three scopes.

The estimate is the same in all of them, the difference of two losses' mean Dice over blocks (dataset x model cells,
each the mean of its repeats), so that direction and test cannot disagree. What differs is the noise it is held against:

====================================  =========  ===========================================================
scope                                 unit       error term
====================================  =========  ===========================================================
these datasets and models             block      block + split
other models like these, here         model      model + split
other datasets like these             dataset    dataset (its splits are in it) + model - block's interaction
====================================  =========  ===========================================================

**What a split favours is shared.** All models of a repeat are trained and tested on the same images, and what a loss
gains by them is common to its models: averaging over models does not remove it, and the spread between models does
not show it. It is a variance component of its own, taken from how the splits' means over models vary beyond what single
runs explain. Terms are added and subtracted as in two-way cluster-robust variances (Cameron, Gelbach & Miller, J. of
Business & Economic Statistics 29, 2011), with degrees of freedom after Satterthwaite.

**Few blocks.** Repeats re-split the same images, and what a block's repeats share does not show in their spread. Where
blocks are few, their spread is therefore mixed with what Nadeau & Bengio (Machine Learning 52, 2003) suppose of it,
test / train of a single run's variance; with one block there is nothing else.

**All pairs at once.** Tukey's studentized range over the losses. The variance of a pair is its own, drawn towards that
of all pairs by as much as their scatter is chance (the idea of Smyth, Statistical Applications in Genetics 3, 2004). As
far as it is the pair's own, Sidak's bound takes the range's place (:func:`~lightning_seg.report.studentized.pairs_sf`).
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import inf

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import fdtrc, stdtr, stdtrit

from lightning_seg.report.studentized import critical_t, pairs_sf

ALPHA = 0.05
# Test images over training images, of the 60:20:20 split, where records do not tell them.
TEST_TO_TRAIN = 1 / 3
# Models, and datasets, from which on the report speaks of others like them.
FEWEST_LEVELS = 3
# Degrees of freedom, over all losses, at which the blocks' own spread weighs as much as what Nadeau and Bengio suppose.
_PRIOR_DF = 4.5
# Degrees of freedom from which on a negative estimate of what splits favour is subtracted.
_STEADY_DF = 30
# p-value below which datasets or models clearly favour some losses.
_CLEAR = 0.001
# Variances below this are rounding errors of Dice.
_ROUNDING = 1e-18
# Subtracted terms leave at least this share of the leading one, whatever chance makes of them.
_LEAST_SHARE = 0.5

Array = NDArray[np.float64]


class Scope(StrEnum):
    """For what a difference is claimed; later ones claim more."""

    HERE = "here"  # these datasets and models: new splits and initial weights
    MODELS = "models"  # other models like these, on these datasets
    DATASETS = "datasets"  # other datasets like these


@dataclass(frozen=True)
class Term:
    """A part of a variance.

    Attributes:
        matrix: covariance that it adds to the losses' means, (losses, losses); rows sum to 0.
        df: degrees of freedom that each of its entries rests on; inf for what is supposed.
    """

    matrix: Array
    df: float

    @property
    def size(self) -> float:
        """Mean variance of a contrast: half of the mean variance of a difference of two losses."""
        return float(np.trace(self.matrix)) / max(len(self.matrix) - 1, 1)


@dataclass(frozen=True)
class Contrasts:
    """The differences between losses in one scope.

    Attributes:
        scope: for what they hold.
        unit: "block", "repeat", "model", "dataset" or "row": what is counted.
        units: how many of them there are.
        losses: names.
        means: mean Dice over blocks, (losses,).
        terms: the parts of the variance of ``means``.
    """

    scope: Scope
    unit: str
    units: int
    losses: list[str]
    means: Array
    terms: tuple[Term, ...]

    @cached_property
    def df(self) -> float:
        """Degrees of freedom of a single variance; pooled over all losses there are (losses - 1) times as many."""
        if any(term.df <= 0 for term in self.terms):
            return 0.0
        noise = sum(term.size**2 / term.df for term in self.terms)
        return self.size**2 / noise if noise > 0 else 0.0

    @cached_property
    def size(self) -> float:
        """Mean variance of a contrast, see :class:`Term`."""
        leading = max((term.size for term in self.terms), default=0.0)
        return max(sum(term.size for term in self.terms), _LEAST_SHARE * leading)

    @cached_property
    def _moderated(self) -> tuple[Array, float, float]:
        """Variances of differences, (losses, losses); their degrees of freedom; how much of them is a pair's own."""
        losses = len(self.losses)
        pooled, most = 2 * self.size, self.df * max(losses - 1, 1)
        variance, df, kept = np.full((losses, losses), pooled), most, 0.0
        if losses > 2 and pooled > 0 and self.df > 0:
            own = self.own
            pairs = own[np.triu_indices(losses, 1)]
            scatter = float(np.mean((pairs / pooled - 1) ** 2))
            # Pairs that have a loss in common vary together: a quarter of a variance's variance is shared.
            shared = 0.25 * 2 * (losses - 2) / (len(pairs) - 1)
            kept = max(0.0, 1 - 2 / self.df * (1 - shared) / max(scatter, 1e-12))
            variance = (1 - kept) * pooled + kept * own
            df = min(self.df / kept, most) if kept > 0 else most
        np.fill_diagonal(variance, 0.0)
        return variance, df, kept

    @property
    def own(self) -> Array:
        """Of every difference of two means by its own runs alone, with ``df`` degrees of freedom, (losses, losses)."""
        return np.maximum(_of_differences(np.sum([term.matrix for term in self.terms], axis=0)), 0.0)

    @property
    def variances(self) -> Array:
        """Of every difference of two means, (losses, losses)."""
        return self._moderated[0]

    @property
    def pair_df(self) -> float:
        """Degrees of freedom of each of ``variances``."""
        return self._moderated[1]

    @property
    def own_share(self) -> float:
        """How much of each of ``variances`` is the pair's own, 0 to 1; the rest is that of all pairs."""
        return self._moderated[2]

    @property
    def tested(self) -> bool:
        """Whether anything can be said: there is noise to hold differences against."""
        return len(self.losses) > 1 and self.pair_df >= 1 and self.size > _ROUNDING

    @cached_property
    def p_adjusted(self) -> Array:
        """p-value of every pair, adjusted for all of them (Tukey), (losses, losses)."""
        losses = len(self.losses)
        p = np.ones((losses, losses))
        if self.tested:
            upper = np.triu_indices(losses, 1)
            p[upper] = pairs_sf(self._t[upper], losses, self.pair_df, self.own_share)
            p = np.minimum(p, p.T)
        return p

    @cached_property
    def p(self) -> Array:
        """p-value of every pair as if it were the only one, (losses, losses)."""
        losses = len(self.losses)
        return 2 * stdtr(self.pair_df, -self._t) if self.tested else np.ones((losses, losses))

    @cached_property
    def margins(self) -> Array:
        """Half-width of the 95 % intervals of all differences at once (Tukey), (losses, losses)."""
        if not self.tested:
            return np.full((len(self.losses), len(self.losses)), inf)
        critical = critical_t(ALPHA, len(self.losses), self.pair_df, self.own_share)
        return critical * np.sqrt(self.variances)

    def told(self, better: str, worse: str) -> bool:
        """Whether the first loss is better than the second one, adjusted for all pairs."""
        a, b = self.losses.index(better), self.losses.index(worse)
        return bool(self.means[a] > self.means[b] and self.p_adjusted[a, b] < ALPHA)

    def intervals(self) -> pd.DataFrame:
        """Per loss: difference to the mean of all losses with its 95 % interval, and that to the best loss.

        The first is the interval of a single comparison. The second holds for all pairs at once, and so for the best
        loss too, which the data have chosen.
        """
        losses = len(self.losses)
        centred = self.means - self.means.mean()
        best = int(np.argmax(self.means))
        if self.tested:
            # Var(mean of a loss - mean of all), from the variances of its differences.
            rows = self.variances.mean(axis=1)
            half = stdtrit(self.pair_df, 1 - ALPHA / 2) * np.sqrt(np.maximum(rows - rows.mean() / 2, 0.0))
            margin = self.margins[best].copy()
        else:
            half, margin = np.full(losses, np.nan), np.full(losses, np.nan)
        margin[best] = 0.0
        to_best = self.means - self.means[best]
        columns = {
            "contrast": centred,
            "contrast_low": centred - half,
            "contrast_high": centred + half,
            "to_best": to_best,
            "to_best_low": to_best - margin,
            "to_best_high": np.minimum(to_best + margin, inf),
        }
        return pd.DataFrame(columns, index=self.losses)

    def probabilities(self, best: str, rope: float) -> pd.DataFrame:
        """Posterior probabilities that a loss is better than, equivalent to and worse than each other one.

        Those of the Bayesian correlated t-test (Benavoli et al., JMLR 18, 2017), with this analysis' error.

        Args:
            rope: half-width of the region of practical equivalence (0-1).

        Returns:
            one row for each other loss: better, equivalent and worse (of ``best``).
        """
        own = self.losses.index(best)
        others = [n for n in range(len(self.losses)) if n != own]
        difference = self.means[own] - self.means[others]
        error = np.sqrt(np.maximum(self.variances[own, others], 1e-300))
        better = stdtr(self.pair_df, (difference - rope) / error)
        worse = stdtr(self.pair_df, (-rope - difference) / error)
        columns = {"better": better, "equivalent": 1 - better - worse, "worse": worse}
        return pd.DataFrame(columns, index=[self.losses[n] for n in others])

    @property
    def _t(self) -> Array:
        difference = np.abs(self.means[:, None] - self.means[None, :])
        error = np.sqrt(self.variances)
        return np.divide(difference, error, out=np.zeros_like(difference), where=error > 0)


@dataclass(frozen=True)
class Components:
    """What single runs vary by, and how the runs are laid out.

    Attributes:
        losses: names.
        blocks: mean of every block, (blocks, losses), as contrasts to the mean of all losses.
        means: mean Dice over blocks, (losses,).
        dataset, model: codes of the blocks, (blocks,).
        family: the same code for datasets whose splits favour the same losses, as near copies' do, (blocks,).
        repeats: mean over blocks of 1 / repeats.
        split: covariance of what a split favours, for all models alike, (losses, losses), from ``split_df``.
        run: covariance of a single run beyond that, from ``run_df``.
        split_weight: how much of ``split`` is in the variance of the overall mean.
        split_between: how much of it is in the variance between blocks.
        models: mean number of models of a split.
        test_to_train: test images over training images; 0 where repeats do not re-split the same images.
    """

    losses: list[str]
    blocks: Array
    means: Array
    dataset: NDArray[np.intp]
    model: NDArray[np.intp]
    family: NDArray[np.intp]
    repeats: float
    split: Array
    split_df: float
    run: Array
    run_df: float
    split_weight: float
    split_between: float
    models: float
    test_to_train: float

    def contrasts(self, scope: Scope = Scope.HERE) -> Contrasts | None:
        """The differences in one scope; None where there are too few units to speak of it."""
        if scope is Scope.HERE:
            return self.here()
        if scope is Scope.MODELS:
            return self._models()
        return self._datasets()

    def here(self, between: Array | None = None) -> Contrasts:
        """The differences on these datasets and models.

        Args:
            between: covariance of the blocks' means, (losses, losses); by default that of ``blocks``.
        """
        count = len(self.blocks)
        if not self._sees_splits:
            # One repeat: what models share by its split shows between datasets alone.
            term, units = self._between(self.family)
            return self._named(Scope.HERE, "dataset", units, [term] if term and units >= FEWEST_LEVELS else [])
        if between is None and (rest := self._own_of_blocks()) is not None:
            terms = [*self._split_terms(self.split_weight), self._mixed(rest)]
            return self._named(Scope.HERE, "block", count, terms)
        terms = self._split_terms(self.split_weight - self.split_between / count)
        if between is None and count > 1:
            between = np.cov(self.blocks, rowvar=False).reshape(len(self.losses), -1)
        spread = Term(np.zeros_like(self.run) if between is None else between / count, float(count - 1))
        terms.append(self._mixed(spread, self.split * self.split_between))
        unit, units = ("block", count) if count > 1 else ("repeat", round(1 / self.repeats))
        return self._named(Scope.HERE, unit, units, terms)

    def _own_of_blocks(self) -> Term | None:
        """Blocks' spread beyond their dataset and model, where these clearly favour some losses; else None.

        What datasets and models favour is no noise here, but taking it out costs degrees of freedom. It is left in
        where it cannot be told from noise, which errs on the safe side.
        """
        rest = self._interaction()
        if rest is None or rest.df < 2 or rest.size <= 0:
            return None
        count, losses = len(self.blocks), len(self.losses)
        levels = count - 1 - rest.df
        whole = float(((self.blocks - self.blocks.mean(axis=0)) ** 2).sum()) / (losses - 1) / count
        ratio = (whole - rest.size * rest.df) / levels / rest.size
        p = fdtrc(levels * (losses - 1), rest.df * (losses - 1), max(ratio, 0.0))
        return rest if p < _CLEAR else None

    def _mixed(self, seen: Term, supposed: Array | float = 0.0) -> Term:
        """What is seen of blocks (or models), and where they are few what Nadeau and Bengio suppose of them.

        Args:
            seen: its part of the variance of the overall mean.
            supposed: what the spread of blocks holds beside the blocks' own.
        """
        if self.run_df <= 0:
            return seen
        guess = Term((self.run * (self.repeats + self.test_to_train) + supposed) / len(self.blocks), self.run_df)
        if guess.size < seen.size:
            return seen
        df = seen.df * max(len(self.losses) - 1, 1)
        weight = df**2 / (df**2 + _PRIOR_DF**2)
        matrix = weight * seen.matrix + (1 - weight) * guess.matrix
        parts = [Term(weight * seen.matrix, seen.df), Term((1 - weight) * guess.matrix, guess.df)]
        noise = sum(part.size**2 / part.df for part in parts if part.df)
        return Term(matrix, sum(part.size for part in parts) ** 2 / noise if noise > 0 else seen.df)

    def _models(self) -> Contrasts | None:
        term, units = self._between(self.model, within=self.dataset)
        if term is None or units < FEWEST_LEVELS or not self._sees_splits:
            return None
        return self._named(Scope.MODELS, "model", units, [self._mixed(term), *self._split_terms(self.split_weight)])

    def _datasets(self) -> Contrasts | None:
        term, units = self._between(self.family)
        if term is None or units < FEWEST_LEVELS:
            return None
        terms = [term]
        by_model, _ = self._between(self.model, within=self.dataset)
        rest = self._interaction()
        if by_model is not None and rest is not None and by_model.size > rest.size:
            terms += [by_model, Term(-rest.matrix, rest.df)]
        return self._named(Scope.DATASETS, "dataset", units, terms)

    @property
    def _sees_splits(self) -> bool:
        """Whether what models share by their splits has been seen, or there is nothing to share."""
        return self.split_df > 0 or len(self.blocks) == len(np.unique(self.family))

    def _split_terms(self, weight: float) -> list[Term]:
        """The split's share, taken apart into what has been measured: splits' means, and runs."""
        if self.split_df <= 0 or weight <= 0:
            return []
        # Below zero by chance it offsets where it is above; with few splits that is too wild to count on.
        if np.trace(self.split) < 0 and self.split_df * (len(self.losses) - 1) < _STEADY_DF:
            return []
        own = self.run / self.models
        return [Term(weight * (self.split + own), self.split_df), Term(-weight * own, self.run_df)]

    def _between(self, level: NDArray[np.intp], within: NDArray[np.intp] | None = None) -> tuple[Term | None, int]:
        """Variance of the overall mean by the units of a level, and how many units it rests on."""
        count = len(self.blocks)
        centring = np.eye(count) - (_same(within) if within is not None else np.full((count, count), 1 / count))
        units = (level[None, :] == np.unique(level)[:, None]).astype(float)
        sums = units @ centring / count
        alike = (level[:, None] == level[None, :]).astype(float)
        spread = sums @ alike @ sums.T
        if np.trace(spread) < 1e-12:
            return None, 0
        scale = float(alike.sum()) / count**2 / float(np.trace(spread))
        found = sums @ self.blocks
        df = float(np.trace(spread)) ** 2 / float((spread**2).sum())
        return Term(scale * found.T @ found, df), int((np.diag(spread) > 1e-12).sum())

    def _interaction(self) -> Term | None:
        """Variance of the overall mean by what is left of blocks beyond their dataset and their model."""
        count = len(self.blocks)
        levels = [(codes[:, None] == np.unique(codes)[None, :]).astype(float) for codes in (self.dataset, self.model)]
        basis = np.hstack(levels)
        fitted = basis @ np.linalg.pinv(basis)
        df = count - round(float(np.trace(fitted)))
        if df < 1:
            return None
        rest = self.blocks - fitted @ self.blocks
        return Term(rest.T @ rest / df / count, float(df))

    def _named(self, scope: Scope, unit: str, units: int, terms: list[Term]) -> Contrasts:
        return Contrasts(scope, unit, units, self.losses, self.means, tuple(terms))


def components(pairs: pd.DataFrame, test_to_train: float = TEST_TO_TRAIN) -> Components:
    """Take a study's noise apart.

    The components follow from sums of squares within blocks and their expectations, which are exact whatever the
    numbers of models and repeats: the splits' sums over models hold ``models`` ** 2 times the split's share and every
    run once, single runs hold both once.

    Args:
        pairs: (dataset, model, repeat) x losses, test Dice (0-1). Repeats of the same number are the same split for
            all models of a dataset.
        test_to_train: test images over training images, mean over blocks; 0 where repeats do not re-split the same
            images.
    """
    names = [pairs.index.get_level_values(level) for level in ("dataset", "model", "repeat")]
    dataset, model, repeat = (pd.factorize(labels, sort=True)[0] for labels in names)
    losses = [str(name) for name in pairs.columns]
    return components_of(pairs.to_numpy(dtype=float), dataset, model, repeat, losses, test_to_train)


def components_of(
    values: Array,
    dataset: NDArray[np.intp],
    model: NDArray[np.intp],
    repeat: NDArray[np.intp],
    names: list[str],
    test_to_train: float = TEST_TO_TRAIN,
) -> Components:
    """The same of values, (rows, losses), with the codes of the rows' datasets, models and repeats, from 0."""
    _, first, block = np.unique(dataset * (model.max(initial=0) + 1) + model, return_index=True, return_inverse=True)
    sizes = np.bincount(block)
    count, losses = len(sizes), values.shape[1]
    sums = np.zeros((count, losses))
    np.add.at(sums, block, values)
    averages = sums / sizes[:, None]
    blocks = averages - averages.mean(axis=1, keepdims=True)
    contrast = values - values.mean(axis=1, keepdims=True)
    inside = contrast - blocks[block]
    family = _families(inside, dataset, repeat)
    parts = [_Within.of(inside[rows], block[rows], repeat[rows], count) for rows in _rows_of(family)]
    split, split_df, run, run_df, models = _solved(parts, losses)
    # Blocks of a dataset share what its splits favour: as far as they have the same repeats.
    splits = np.unique(family * (repeat.max(initial=0) + 1) + repeat, return_inverse=True)[1]
    seen = np.zeros((count, int(splits.max(initial=-1)) + 1))
    seen[block, splits] = 1 / sizes[block]
    crossed = seen @ seen.T
    between = (np.trace(crossed) - crossed.sum() / count) / (count - 1) if count > 1 else 0.0
    return Components(
        losses=names,
        blocks=blocks,
        means=averages.mean(axis=0),
        dataset=dataset[first],
        family=family[first],
        model=model[first],
        repeats=float(np.mean(1 / sizes)),
        split=split,
        split_df=split_df,
        run=run,
        run_df=run_df,
        split_weight=float(crossed.sum()) / count**2,
        split_between=float(between),
        models=models,
        test_to_train=test_to_train,
    )


@dataclass(frozen=True)
class _Within:
    """Sums of squares within the blocks of one dataset, and how often they hold each component.

    Attributes:
        splits, runs: of the splits' sums over models, and of single runs, (losses, losses).
        expected: [[split in splits, run in splits], [split in runs, run in runs]].
        free_splits, free_runs: degrees of freedom between splits, and of what is left.
        models: mean number of models of a split.
    """

    splits: Array
    runs: Array
    expected: Array
    free_splits: int
    free_runs: int
    models: float

    @classmethod
    def of(cls, inside: Array, block: NDArray[np.intp], repeat: NDArray[np.intp], count: int) -> "_Within":
        """From deviations from the blocks' means, (rows, losses)."""
        own = (block[:, None] == np.unique(block)[None, :]).astype(float)
        split = (repeat[:, None] == np.unique(repeat)[None, :]).astype(float)
        centring = np.eye(len(block)) - (own / own.sum(axis=0)) @ own.T
        # Each run counts as it does in the overall mean.
        weights = (1 / own.sum(axis=0) / count)[own.argmax(axis=1)]
        weighted = weights[:, None] * centring
        by_split = split.T @ weighted
        sums, single = split.T @ (weights[:, None] * inside), weights[:, None] * inside
        expected = [[(by_split @ split) ** 2, by_split**2], [(weighted @ split) ** 2, weighted**2]]
        free = len(block) - own.shape[1]
        shared = split.shape[1] - 1 if own.shape[1] > 1 else 0
        return cls(
            sums.T @ sums,
            single.T @ single,
            np.array([[part.sum() for part in row] for row in expected]),
            min(shared, free),
            free - min(shared, free),
            len(block) / split.shape[1],
        )


def _solved(parts: list[_Within], losses: int) -> tuple[Array, float, Array, float, float]:
    """Split and run components with their degrees of freedom, and the mean number of models of a split."""
    zero = np.zeros((losses, losses))
    splits, runs = (sum((getattr(part, name) for part in parts), zero) for name in ("splits", "runs"))
    expected = sum((part.expected for part in parts), np.zeros((2, 2)))
    free_splits, free_runs = (sum(getattr(part, name) for part in parts) for name in ("free_splits", "free_runs"))
    models = float(np.mean([part.models for part in parts])) if parts else 1.0
    # Singular where the splits of two models have but one repeat in common, or none.
    if free_splits and free_runs and np.linalg.cond(expected) < 1e8:
        solved = np.linalg.solve(expected, np.stack([splits.ravel(), runs.ravel()]))
        split, run = solved.reshape(2, losses, losses)
        return split, float(free_splits), run, float(free_runs), models
    # No split has two models: what a split favours is a part of its runs.
    return zero, 0.0, runs / expected[1, 1] if expected[1, 1] > 0 else zero, float(free_splits + free_runs), 1.0


def _families(inside: Array, dataset: NDArray[np.intp], repeat: NDArray[np.intp]) -> NDArray[np.intp]:
    """A code for each row: that of its dataset, or of the first one whose splits favour the same losses.

    Repeats of two datasets have nothing in common but where their images do, as near copies' have, since equal numbers
    of images are divided alike. Then what a split favours is shared, which the correlation of the splits' means shows.

    Args:
        inside: deviations from the blocks' means, (rows, losses).
    """
    count, repeats, losses = int(dataset.max(initial=0)) + 1, int(repeat.max(initial=0)) + 1, inside.shape[1]
    code = np.arange(count)
    if count < 2 or losses < 2 or repeats < 2:
        return dataset
    sums, sizes = np.zeros((count, repeats, losses)), np.zeros((count, repeats))
    np.add.at(sums, (dataset, repeat), inside)
    np.add.at(sizes, (dataset, repeat), 1)
    means = (sums / np.maximum(sizes, 1)[..., None]).reshape(count, -1)
    products = means @ means.T
    own = np.sqrt(np.diag(products))
    df = ((sizes > 0).astype(float) @ (sizes > 0).T - 1) * (losses - 1) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        alike = np.clip(products / np.outer(own, own), -1, 1 - 1e-12)
        t = alike * np.sqrt(df / (1 - alike**2))
        surely = stdtr(df, -t) < _CLEAR / (count * (count - 1) / 2)
    for a, b in zip(*np.nonzero(np.triu(surely, 1)), strict=True):
        code[code == code[b]] = code[a]
    return code[dataset]


def _rows_of(codes: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [np.flatnonzero(codes == code) for code in np.unique(codes)]


def _same(codes: NDArray[np.intp]) -> Array:
    """Averages over the rows of the same code, (rows, rows)."""
    alike = (codes[:, None] == codes[None, :]).astype(float)
    return alike / alike.sum(axis=1, keepdims=True)


def _of_differences(covariance: Array) -> Array:
    """Variance of every difference, from the covariance of the losses."""
    variance = np.diag(covariance)
    return variance[:, None] + variance[None, :] - 2 * covariance
