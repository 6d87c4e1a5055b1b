"""The customary readings beside the analysis: tests of ranks, and what single runs vary with.

Friedman's test and Nemenyi's critical difference count every row of a table as independent (Demsar, JMLR 7, 2006),
which blocks of models that share their splits are not: they are a second reading, and no verdict rests on them.
"""

from dataclasses import dataclass
from math import factorial, inf, isfinite, prod, sqrt

import numpy as np
import pandas as pd
from scipy import linalg
from scipy.special import chdtrc, fdtrc

from lightning_seg.report.contrasts import ALPHA
from lightning_seg.report.studentized import critical_range


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
    ranks = units.rank(axis=1, ascending=False).to_numpy()
    mean_ranks = pd.Series(ranks.mean(axis=0) if n else np.full(k, np.nan), index=units.columns)
    if n < 2 or k < 2:
        return Omnibus(n, k, 0.0, 1.0, 0.0, 1.0, mean_ranks)
    # scipy's function asks for three columns; the statistic itself (with its correction for ties) does not.
    spread = ((ranks - (k + 1) / 2) ** 2).sum() / (n * (k - 1))
    chi2 = float(n * ((mean_ranks - (k + 1) / 2) ** 2).sum() / spread) if spread > 0 else 0.0
    p = float(chdtrc(k - 1, chi2))
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else inf
    p_f = float(fdtrc(k - 1, (k - 1) * (n - 1), f)) if isfinite(f) else _orders(ranks[0]) ** (1.0 - n)
    return Omnibus(n, k, chi2, p, f, p_f, mean_ranks)


def _orders(ranks: np.ndarray) -> float:
    """In how many orders these ranks, some of them tied, can stand."""
    ties = np.unique(ranks, return_counts=True)[1]
    return float(factorial(len(ranks)) // prod(factorial(int(size)) for size in ties))


def critical_difference(units: int, losses: int, alpha: float = ALPHA) -> float:
    """Nemenyi's critical difference of mean ranks: two losses whose ranks are closer cannot be told apart."""
    if units < 2 or losses < 2:
        return inf
    return critical_range(alpha, losses, 1e9) / sqrt(2) * sqrt(losses * (losses + 1) / (6 * units))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment of p-values (that of statsmodels collects garbage on every call)."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def variance_shares(pairs: pd.DataFrame) -> pd.DataFrame:
    """Shares of the variance of single runs, by sequential sums of squares.

    Args:
        pairs: (dataset, model, repeat) x losses.

    Returns:
        one row a term with sum_of_squares, df and share (of the total): the dataset, the model, their interaction, the
        split, the loss, its interactions, what a split favours for all models alike, and what is left (the run).
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
        "loss x split": _product(split, k),
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
    rows["run (residual)"] = (max(left, 0.0), len(y) - basis.shape[1])
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["sum_of_squares", "df"])
    table["share"] = table["sum_of_squares"] / total if total > 0 else 0.0
    return table


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
