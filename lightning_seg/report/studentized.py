"""Tukey's studentized range: all pairs of several means at once.

scipy has the distribution too, at some 10 ms a value; here a table of pairs takes one step.
"""

from functools import lru_cache
from math import log, pi, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize
from scipy.special import gammaincinv, gammaln, log_ndtr, ndtr, stdtr, stdtrit, xlogy

_POINTS = 64


def range_sf(q: ArrayLike, groups: int, df: float) -> NDArray[np.float64]:
    """Probability that the range of ``groups`` standard normal means exceeds ``q`` of its standard errors.

    Args:
        q: differences of two means over the standard error of one, any shape.
        groups: number of means, at least 2.
        df: degrees of freedom of the standard error.
    """
    q = np.asarray(q, dtype=float)
    if groups == 2:
        return 2 * stdtr(df, -q / sqrt(2))
    scale, weight = _scales(df)
    return (_normal_range_sf(q[..., None] * scale, groups) * weight).sum(axis=-1).clip(0, 1)


@lru_cache(maxsize=1024)
def critical_range(alpha: float, groups: int, df: float) -> float:
    """The value that the studentized range exceeds with probability ``alpha``."""
    if groups == 2:
        return float(-sqrt(2) * stdtrit(df, alpha / 2))
    highest = float(-sqrt(2) * stdtrit(df, alpha / (groups * (groups - 1)))) + 1  # Bonferroni's
    return float(optimize.brentq(lambda q: float(range_sf(q, groups, df)) - alpha, 0.1, highest, xtol=1e-6))


def pairs_sf(t: ArrayLike, groups: int, df: float, own: float) -> NDArray[np.float64]:
    """Probability that some pair of ``groups`` equal means differs by more than ``t`` standard errors.

    Where all pairs share one estimate of the variance, Tukey's range is exact. Where each pair has an estimate of its
    own, it is too small by a little (Games & Howell's test errs so), and Sidak's bound of all pairs holds (Dunnett,
    J. of the American Statistical Association 75, 1980). Between the two, ``own`` says how much of the estimate is the
    pair's.

    Args:
        t: differences of two means over the standard error of that difference, at least 0, any shape.
        groups: number of means, at least 2.
        df: degrees of freedom of the standard error.
        own: from 0, one variance for all pairs, to 1, each pair's own.
    """
    t = np.asarray(t, dtype=float)
    shared = range_sf(t * sqrt(2), groups, df)
    if own <= 0 or groups == 2:
        return shared
    pairs = groups * (groups - 1) / 2
    alone = -np.expm1(pairs * np.log1p(-np.minimum(2 * stdtr(df, -t), 1 - 1e-16)))
    return (1 - own) * shared + own * alone


@lru_cache(maxsize=1024)
def critical_t(alpha: float, groups: int, df: float, own: float) -> float:
    """The value that :func:`pairs_sf` gives the probability ``alpha``."""
    lowest = critical_range(alpha, groups, df) / sqrt(2)
    if own <= 0 or groups == 2:
        return lowest
    highest = 1 - float(stdtrit(df, alpha / (groups * (groups - 1))))  # Bonferroni's
    return float(
        optimize.brentq(lambda t: float(pairs_sf(t, groups, df, own)) - alpha, lowest - 1e-3, highest, xtol=1e-6)
    )


@lru_cache(maxsize=4)
def _nodes(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of Gauss and Legendre's quadrature on (-1, 1)."""
    return np.polynomial.legendre.leggauss(count)


def _scales(df: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and weights of the distribution of an estimated over a true standard error."""
    low, high = 2 * gammaincinv(df / 2, [1e-12, 1 - 1e-12])  # of chi squared
    nodes, weights = _nodes(_POINTS // 2)
    low, high = sqrt(low / df), sqrt(high / df)
    points = (high - low) / 2 * nodes + (high + low) / 2
    squared = df * points**2
    density = np.exp(xlogy(df / 2 - 1, squared) - squared / 2 - gammaln(df / 2) - log(2) * df / 2) * 2 * df * points
    weights = weights * density
    return points, weights / weights.sum()


def _normal_range_sf(w: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """The same with a known standard error: k x integral of the smallest's density x (the others within w of it)."""
    nodes, weights = _nodes(_POINTS)
    z = 8.5 * nodes
    rest = (groups - 1) * log_ndtr(-z)
    within = ndtr(z + w[..., None]) - ndtr(z)
    # 1 - P(range <= w), summed as a difference so that small values keep their digits.
    missed = 1 - (within / np.exp(log_ndtr(-z))) ** (groups - 1)
    density = groups * np.exp(-(z**2) / 2) / sqrt(2 * pi) * np.exp(rest)
    return (8.5 * weights * density * missed.clip(0, 1)).sum(axis=-1)
