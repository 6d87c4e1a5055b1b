"""Tests on paired units: do losses differ, which ones, by how much, and what could this design have seen.

A *unit* is a row of a table units x losses. With enough blocks (:func:`fewest_blocks`) the units are blocks: a dataset
x model cell averaged over its repeats (Demsar, JMLR 7, 2006). With fewer, the repeats of the given blocks are all there
is: they re-split the same images, so their variance is corrected as by Nadeau & Bengio (Machine Learning 52, 2003) and
the result holds for these datasets and models only.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import combinations
from math import ceil, factorial, inf, isfinite, log2, nan, prod, sqrt

import baycomp
import numpy as np
import pandas as pd
import scikit_posthocs
from scipy import linalg, optimize, stats

ALPHA = 0.05
POWER = 0.8
# Test images over training images, the correlation term of the corrected resampled t-test, where records do not tell
# them: of the 60:20:20 split.
TEST_TO_TRAIN = 1 / 3
# Efficiency of the signed-rank test against the t-test for normal differences (3 / pi).
_WILCOXON_EFFICIENCY = 3 / np.pi
# Up to this many units the test and its power are worked out from its exact distribution.
_EXACT_UNITS = 50
# Digits of a difference in Dice; what is beyond them is rounding error, which would part ties.
_DIGITS = 9


def fewest_blocks(losses: int) -> int:
    """Blocks from which on the signed-rank test can reach 5 % after adjusting for all pairs of ``losses``.

    Its smallest two-sided p-value over n blocks is 2 ** (1 - n): ten losses need 11 blocks, two need 6.
    """
    return 1 + ceil(log2(count_pairs(losses) / ALPHA))


def count_pairs(losses: int) -> int:
    """Number of pairs of losses, at least 1."""
    return max(1, losses * (losses - 1) // 2)


@dataclass(frozen=True)
class Omnibus:
    """Friedman's test over units, and Iman and Davenport's less conservative F of the same ranks.

    Attributes:
        units: number of rows.
        losses: number of columns.
        chi2, p: Friedman's statistic and p-value.
        f, p_f: Iman and Davenport's statistic and p-value. Where all units rank the losses alike, F is infinite and
            the p-value that of such agreement: every other unit has the first one's order by chance.
        mean_ranks: mean rank of every loss, 1 is best.
    """

    units: int
    losses: int
    chi2: float
    p: float
    f: float
    p_f: float
    mean_ranks: pd.Series


def omnibus(units: pd.DataFrame) -> Omnibus:
    """Whether any loss differs from the others.

    With fewer than two units nothing can be tested (p = 1). Two losses are compared by Friedman's statistic as well.
    """
    n, k = units.shape
    ranks = stats.rankdata(-units.to_numpy(), axis=1)
    mean_ranks = pd.Series(ranks.mean(axis=0) if n else np.full(k, np.nan), index=units.columns)
    if n < 2 or k < 2:
        return Omnibus(n, k, 0.0, 1.0, 0.0, 1.0, mean_ranks)
    # scipy's function asks for three columns; the statistic itself (with its correction for ties) does not.
    spread = ((ranks - (k + 1) / 2) ** 2).sum() / (n * (k - 1))
    chi2 = float(n * ((mean_ranks - (k + 1) / 2) ** 2).sum() / spread) if spread > 0 else 0.0
    p = float(stats.chi2.sf(chi2, k - 1))
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else inf
    p_f = float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))) if isfinite(f) else _orders(ranks[0]) ** (1.0 - n)
    return Omnibus(n, k, chi2, p, f, p_f, mean_ranks)


def _orders(ranks: np.ndarray) -> float:
    """In how many orders these ranks, some of them tied, can stand."""
    ties = np.unique(ranks, return_counts=True)[1]
    return float(factorial(len(ranks)) // prod(factorial(int(size)) for size in ties))


def critical_difference(units: int, losses: int, alpha: float = ALPHA) -> float:
    """Nemenyi's critical difference of mean ranks: two losses whose ranks are closer cannot be told apart."""
    if units < 2 or losses < 2:
        return inf
    return float(
        stats.studentized_range.ppf(1 - alpha, losses, inf) / sqrt(2) * sqrt(losses * (losses + 1) / (6 * units))
    )


def nemenyi(units: pd.DataFrame) -> pd.DataFrame:
    """Nemenyi's p-values, losses x losses."""
    table = scikit_posthocs.posthoc_nemenyi_friedman(units.to_numpy())
    return pd.DataFrame(table.to_numpy(), index=units.columns, columns=units.columns)


def pairwise(units: pd.DataFrame) -> pd.DataFrame:
    """Wilcoxon's signed-rank test for every pair of losses, Holm-adjusted over all pairs.

    Adjusting over all pairs keeps the error rate also where the pair is chosen after seeing the means.

    Returns:
        one row a pair (a, b), a with the larger mean: difference (mean of a - b), median, p, p_holm, effect (matched
        rank-biserial correlation, -1 to 1), improvement (share of units in which a is better; ties count half).
    """
    rows = []
    for a, b in _pairs(units):
        delta = (units[a] - units[b]).to_numpy()
        p, effect = signed_rank(delta)
        rows.append(_pair_row(a, b, delta, p, effect))
    return _adjusted(rows)


def signed_rank(delta: np.ndarray) -> tuple[float, float]:
    """Wilcoxon's signed-rank test of paired differences in Dice, (units,); zeros are set aside.

    Up to ``_EXACT_UNITS`` differences the p-value is exact, ties or not: it is that of all assignments of signs to
    these ranks, whose rank sums are counted rank by rank instead of one by one.

    Returns:
        the two-sided p-value, and the matched rank-biserial correlation (-1 to 1).
    """
    delta = delta.round(_DIGITS)
    delta = delta[delta != 0]
    if len(delta) == 0:
        return 1.0, 0.0
    ranks = stats.rankdata(np.abs(delta))
    positive, total = float(ranks[delta > 0].sum()), float(ranks.sum())
    effect = (2 * positive - total) / total
    if len(delta) > _EXACT_UNITS:
        return float(stats.wilcoxon(delta).pvalue), effect
    smaller = _sums_at_most(tuple(sorted((2 * ranks).astype(int).tolist())))
    at_most = min(positive, total - positive)
    return min(1.0, 2 * float(smaller[round(2 * at_most)])), effect


@lru_cache(maxsize=256)
def _sums_at_most(ranks: tuple[int, ...]) -> np.ndarray:
    """Probability that the sum of the ranks that are in is at most 0, 1, 2, ..., where each is in with 1/2."""
    chances = np.ones(1)
    for rank in ranks:
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    return np.cumsum(chances)


def pairwise_repeats(pairs: pd.DataFrame, test_to_train: float = TEST_TO_TRAIN) -> pd.DataFrame:
    """Corrected resampled t-test for every pair of losses, over the repeats of fixed blocks; Holm-adjusted.

    Few repeats say little on the noise of one pair, so all losses' noise is pooled; a pair that is noisier than that
    is judged by its own.

    Args:
        pairs: (dataset, model, repeat) x losses.
        test_to_train: test images over training images, mean over blocks; 0 where the repeats are no re-splits.

    Returns:
        as :func:`pairwise`; effect is the mean difference over its standard deviation within blocks.
    """
    own, df = _difference_variances(pairs)
    variances = np.maximum(own, _pooled_variance(own)) if df else own
    df *= pairs.shape[1] - 1
    sizes = pairs.groupby(level=["dataset", "model"], observed=True).size().to_numpy()
    factor = float((1 / sizes + test_to_train).sum()) / max(len(sizes), 1) ** 2
    blocks = pairs.groupby(level=["dataset", "model"], observed=True).mean()
    rows = []
    for a, b in _pairs(blocks):
        delta = pairs[a] - pairs[b]
        mean = float((blocks[a] - blocks[b]).mean())
        variance = variances[pairs.columns.get_loc(a), pairs.columns.get_loc(b)]
        p = float(2 * stats.t.sf(abs(mean) / sqrt(variance * factor), df)) if df > 0 and variance > 0 else 1.0
        effect = mean / sqrt(variance) if variance > 0 else 0.0
        rows.append(_pair_row(a, b, delta.to_numpy(), p, effect) | {"difference": mean})
    return _adjusted(rows)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment of p-values (that of statsmodels collects garbage on every call)."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def equivalence(units: pd.DataFrame, best: str, rope: float, seed: int = 0) -> pd.DataFrame:
    """Bayesian signed-rank test of the best loss against every other (Benavoli et al., JMLR 18, 2017).

    Args:
        rope: half-width of the region of practical equivalence, in the units of the table.

    Returns:
        one row for each other loss: the posterior probabilities better, equivalent and worse (of ``best``).
    """
    rows = {}
    for loss in units.columns.drop(best):
        rows[loss] = baycomp.SignedRankTest.probs(
            units[best].to_numpy(), units[loss].to_numpy(), rope, nsamples=10_000, random_state=seed
        )
    return pd.DataFrame.from_dict(rows, orient="index", columns=["better", "equivalent", "worse"]).astype(float)


@dataclass(frozen=True)
class Resolution:
    """What a design can see. All differences are those of a typical (median) pair of losses.

    Attributes:
        losses: number of losses.
        units: number of blocks.
        repeats: mean number of repeats in a block (1 where repeats are unknown).
        between: variance of the difference from block to block, beyond what repeats explain.
        within: variance of the difference from repeat to repeat.
        fixed_blocks: whether only repeats, not blocks, are units.
        test_to_train: see :func:`pairwise_repeats`.
    """

    losses: int
    units: int
    repeats: float
    between: float
    within: float
    fixed_blocks: bool
    test_to_train: float = TEST_TO_TRAIN

    @property
    def detectable(self) -> float:
        """Difference found with 80 % power after Holm's strictest step; inf where none can be."""
        return self.at(self.units, self.repeats)

    def at(self, units: int, repeats: float) -> float:
        """Detectable difference with other numbers of blocks and repeats."""
        comparisons = count_pairs(self.losses)
        if self.fixed_blocks:
            error = sqrt(self.within * (1 / repeats + self.test_to_train) / max(units, 1))
            return detectable_difference(error, round((self.losses - 1) * units * (repeats - 1)), comparisons)
        if units < fewest_blocks(self.losses):
            return inf
        variance = self.between + self.within / repeats
        if units <= _EXACT_UNITS:
            return sqrt(variance) * _signed_rank_shift(units, comparisons)
        return detectable_difference(sqrt(variance / _WILCOXON_EFFICIENCY / units), units - 1, comparisons)

    def repeats_for(self, difference: float, most: int = 100) -> int | None:
        """Fewest repeats with which ``difference`` is found; None where ``most`` do not do."""
        return next((r for r in range(2, most + 1) if self.at(self.units, r) <= difference), None)

    def units_for(self, difference: float, most: int = 2000) -> int | None:
        """Fewest blocks with which ``difference`` is found at the same repeats; None where ``most`` do not do."""
        if self.at(most, self.repeats) > difference:
            return None
        low, high = 1, most
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.at(middle, self.repeats) <= difference else (middle, high)
        return high


def detectable_difference(error: float, df: int, comparisons: int = 1) -> float:
    """Difference that a two-sided t-test with this standard error finds with 80 % power at 5 % / comparisons."""
    if df < 1 or not isfinite(error):
        return inf
    if error <= 0:
        return 0.0
    critical = stats.t.ppf(1 - ALPHA / comparisons / 2, df)

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(critical, df, shift)) - POWER

    return float(error * optimize.brentq(lacking, 0.0, 2 * critical + 20))


@lru_cache
def _signed_rank_shift(units: int, comparisons: int) -> float:
    """Shift, in standard deviations, that the exact signed-rank test finds with 80 % power for normal differences."""
    reached = np.flatnonzero(2 * _sums_at_most(tuple(range(1, units + 1))) <= ALPHA / comparisons)
    if len(reached) == 0:
        return inf
    normal = np.random.default_rng(0).standard_normal((4000, units))

    def lacking(shift: float) -> float:
        ranks = stats.rankdata(np.abs(normal + shift), axis=1)
        negative = np.where(normal + shift < 0, ranks, 0).sum(axis=1)
        return float(np.mean(negative <= reached[-1])) - POWER

    return float(optimize.brentq(lacking, 0.0, 20.0, xtol=1e-3))


def resolution(pairs: pd.DataFrame, test_to_train: float = TEST_TO_TRAIN) -> Resolution:
    """What the study can see, from its own noise.

    Args:
        pairs: (dataset, model, repeat) x losses; a table without the level "repeat" counts as one repeat.
        test_to_train: see :func:`pairwise_repeats`.
    """
    losses = list(pairs.columns)
    has_repeats = "repeat" in pairs.index.names
    blocks = pairs.groupby(level=["dataset", "model"], observed=True).mean() if has_repeats else pairs
    repeats = len(pairs) / max(len(blocks), 1)
    fixed = has_repeats and len(blocks) < fewest_blocks(len(losses))
    design = partial(Resolution, len(losses), len(blocks), repeats, fixed_blocks=fixed, test_to_train=test_to_train)
    if len(losses) < 2 or len(blocks) == 0:
        return design(between=0.0, within=0.0)
    couples = np.triu_indices(len(losses), 1)
    own = _difference_variances(pairs)[0] if has_repeats else np.zeros((len(losses), len(losses)))
    within = float(np.median(own[couples]))
    if fixed:
        return design(between=0.0, within=max(within, _pooled_variance(own)))
    covariance = np.cov(blocks.to_numpy(), rowvar=False) if len(blocks) > 1 else np.zeros_like(own)
    total = float(np.median(_of_differences(covariance)[couples]))
    return design(between=max(0.0, total - within / repeats), within=within)


def variance_shares(pairs: pd.DataFrame) -> pd.DataFrame:
    """Shares of the variance of single runs, by sequential sums of squares.

    Args:
        pairs: (dataset, model, repeat) x losses.

    Returns:
        one row a term with sum_of_squares, df and share (of the total): the dataset, the model, their interaction, the
        split, the loss, its interactions, and what is left (the repeat).
    """
    long = pairs.stack().rename("dice").reset_index()
    long.columns = ["dataset", "model", "repeat", "loss", "dice"]
    d, m, k = (_dummies(long[name]) for name in ("dataset", "model", "loss"))
    split = _dummies(long["dataset"].astype(str) + "\0" + long["repeat"].astype(str))
    terms = {
        "dataset": d,
        "model": m,
        "dataset x model": _product(d, m),
        "split (of a dataset)": split,
        "loss": k,
        "loss x dataset": _product(d, k),
        "loss x model": _product(m, k),
        "loss x dataset x model": _product(_product(d, m), k),
    }
    y = long["dice"].to_numpy() - long["dice"].mean()
    basis = np.full((len(y), 1), 1 / sqrt(max(len(y), 1)))
    rows = {}
    for name, columns in terms.items():
        added = _beyond(basis, columns)
        rows[name] = (float(((added.T @ y) ** 2).sum()), added.shape[1])
        basis = np.column_stack([basis, added])
    total = float(y @ y)
    left = total - sum(part for part, _ in rows.values())
    rows["repeat (residual)"] = (max(left, 0.0), len(y) - basis.shape[1])
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["sum_of_squares", "df"])
    table["share"] = table["sum_of_squares"] / total if total > 0 else 0.0
    return table


def interaction(blocks: pd.DataFrame, level: str) -> float:
    """p-value of "the differences between losses depend on the dataset (model)".

    The mean square of loss x level, beyond what loss x the other level explains, is tested against that of loss x
    dataset x model. Blocks need not be fully crossed.

    Returns:
        the p-value; NaN where this cannot be tested: of one loss or one dataset (model), where every dataset has models
        of its own, or where the two levels leave no differences over.
    """
    contrast = blocks.sub(blocks.mean(axis=1), axis=0).to_numpy()
    labels = blocks.index.to_frame()
    basis = np.full((len(blocks), 1), 1 / sqrt(max(len(blocks), 1)))
    other = _dummies(labels["model" if level == "dataset" else "dataset"])
    basis = np.column_stack([basis, _beyond(basis, other)])
    added = _beyond(basis, _dummies(labels[level]))
    explained = added.T @ contrast
    rest = contrast - basis @ (basis.T @ contrast) - added @ explained
    k = blocks.shape[1] - 1
    df, df_rest = k * added.shape[1], k * (len(blocks) - basis.shape[1] - added.shape[1])
    if df < 1 or df_rest < 1 or not rest.round(_DIGITS).any():
        return nan
    return float(stats.f.sf((explained**2).sum() / df / ((rest**2).sum() / df_rest), df, df_rest))


def _pairs(units: pd.DataFrame) -> list[tuple[str, str]]:
    order = sorted(units.columns, key=lambda loss: (-units[loss].mean(), loss))
    return list(combinations(order, 2))


def _pair_row(a: str, b: str, delta: np.ndarray, p: float, effect: float) -> dict[str, object]:
    improvement = float(np.mean(delta > 0) + np.mean(delta == 0) / 2)
    return {
        "a": a,
        "b": b,
        "difference": float(delta.mean()),
        "median": float(np.median(delta)),
        "p": p,
        "effect": effect,
        "improvement": improvement,
    }


def _adjusted(rows: list[dict[str, object]]) -> pd.DataFrame:
    columns = ["a", "b", "difference", "median", "p", "p_holm", "effect", "improvement"]
    table = pd.DataFrame(rows, columns=columns)
    if rows:
        table["p_holm"] = holm(table["p"].to_numpy())
    return table


def _pooled_variance(own: np.ndarray) -> float:
    """Mean over all pairs of their differences' variances, (losses, losses): twice the residual mean square."""
    couples = np.triu_indices(len(own), 1)
    return float(own[couples].mean()) if len(couples[0]) else 0.0


def _difference_variances(pairs: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Variance within blocks of the difference of every two losses, (losses, losses), and its degrees of freedom."""
    groups = pairs.groupby(level=["dataset", "model"], observed=True)
    df = int((groups.size() - 1).sum())
    deviation = (pairs - groups.transform("mean")).to_numpy()
    return _of_differences(deviation.T @ deviation / max(df, 1)), df


def _of_differences(covariance: np.ndarray) -> np.ndarray:
    """Variance of every difference, from the covariance of the losses."""
    variance = np.diag(covariance)
    return np.maximum(variance[:, None] + variance[None, :] - 2 * covariance, 0.0)


def _beyond(basis: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Orthonormal basis of what ``columns`` span beyond ``basis``; columns of empty cells add nothing."""
    if columns.shape[1] == 0:
        return columns
    rest = columns - basis @ (basis.T @ columns)
    lengths, directions = linalg.eigh(rest.T @ rest)
    alive = lengths > 1e-9 * len(rest)
    return rest @ (directions[:, alive] / np.sqrt(lengths[alive]))


def _dummies(labels: pd.Series) -> np.ndarray:
    codes, names = pd.factorize(labels, sort=True)
    coded = np.eye(len(names))[codes]
    return coded[:, :-1] - coded[:, -1:]


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)
