"""The studentized range against scipy's."""

from math import inf, sqrt

import numpy as np
import pytest
from scipy import stats

from lightning_seg.report.studentized import critical_range, critical_t, pairs_sf, range_sf

Q = np.array([0.5, 2.0, 3.5, 5.0, 8.0])


@pytest.mark.parametrize(("groups", "df"), [(2, 3.0), (3, 4.0), (4, 2.0), (10, 38.5), (10, 639.0)])
def test_it_is_scipys(groups, df):
    np.testing.assert_allclose(range_sf(Q, groups, df), stats.studentized_range.sf(Q, groups, df), rtol=1e-4, atol=1e-9)
    assert critical_range(0.05, groups, df) == pytest.approx(stats.studentized_range.isf(0.05, groups, df), rel=1e-5)


def test_a_known_error_is_the_limit():
    assert critical_range(0.05, 10, 1e9) == pytest.approx(stats.studentized_range.isf(0.05, 10, inf), rel=1e-4)


def test_small_probabilities_keep_their_digits():
    """Between those of one pair and of all pairs together, where scipy's own have lost theirs."""
    for q in (7.0, 8.5, 10.0):
        one = 2 * stats.t.sf(q / sqrt(2), 300)
        assert one < float(range_sf(q, 10, 300.0)) <= 45 * one * 1.001


@pytest.mark.parametrize("own", [0.0, 0.3, 1.0])
def test_pairs_lie_between_one_variance_for_all_and_one_for_each(own: float):
    t = critical_t(0.05, 10, 40.0, own)
    assert float(pairs_sf(t, 10, 40.0, own)) == pytest.approx(0.05, abs=1e-5)
    alone = stats.t.isf((1 - 0.95 ** (1 / 45)) / 2, 40.0)  # Sidak's
    assert critical_range(0.05, 10, 40.0) / sqrt(2) - 1e-5 <= t <= alone + 1e-5
    if own in (0.0, 1.0):
        assert t == pytest.approx(critical_range(0.05, 10, 40.0) / sqrt(2) if own == 0 else alone, abs=1e-4)


def test_two_losses_are_one_pair():
    assert critical_t(0.05, 2, 7.0, 1.0) == pytest.approx(stats.t.isf(0.025, 7.0))
    np.testing.assert_allclose(pairs_sf([0.0, 2.0], 2, 7.0, 1.0), 2 * stats.t.sf([0.0, 2.0], 7.0))
