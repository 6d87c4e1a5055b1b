"""The stated certainty must hold on made-up studies whose truth is known.

Shares of 200 studies have a standard error of up to 0.02 to 0.03; the bounds leave room for it, no more.
"""

import pytest

from tests.report.honesty import Design, false_winners, interval_coverage, share_found
from tests.report.make_study import Truth

pytestmark = pytest.mark.slow
DESIGN = Design(datasets=6, models=4, repeats=3, images=20)


def test_equal_losses_have_no_winner():
    winner, worse, _ = false_winners(DESIGN, 200, Truth())
    assert winner <= 0.05
    assert worse <= 0.05 + 0.03


def test_few_repeats_of_one_block_name_no_winner_either():
    noisy = Truth(interaction_sd=0.0)
    winner, worse, _ = false_winners(Design(1, 1, repeats=5, images=20), 100, noisy)
    assert winner == 0
    assert worse <= 0.05 + 0.04


def test_losses_that_are_equal_over_all_datasets_alone_are_told_apart_on_these_only():
    """Six datasets that favour some losses by chance make blocks no independent witnesses, and the words say so."""
    truth = Truth(interaction_sd=0.0, loss_dataset_sd=0.01)
    _, worse, unlimited = false_winners(DESIGN, 100, truth)
    assert worse > 0.2 and unlimited <= 0.05


def test_intervals_hold_the_truth():
    covered = interval_coverage(DESIGN, 200, Truth(effects={"focal": -0.02}), draws=500)
    assert 0.92 <= covered["contrast"] <= 0.98
    assert 0.92 <= covered["difference"] <= 0.995


def test_a_planted_difference_is_found_about_as_often_as_stated():
    stated, found = share_found(DESIGN, 60, Truth(), "focal")
    assert 0.002 < stated < 0.03
    assert 0.68 <= found <= 0.92
