"""The stated certainty must hold on made-up studies whose truth is known.

Shares of 200 studies have a standard error of up to 0.02 to 0.03; the bounds leave room for it, no more.
"""

from dataclasses import replace
from math import hypot, sqrt

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


@pytest.mark.parametrize("lost", [0, 1])  # 23 blocks are no grid
def test_losses_that_are_equal_over_all_datasets_alone_are_told_apart_on_these_only(lost):
    """Six datasets that favour some losses by chance make blocks no independent witnesses, and the words say so."""
    truth = Truth(interaction_sd=0.0, loss_dataset_sd=0.01)
    _, worse, unlimited = false_winners(replace(DESIGN, lost=lost), 100, truth)
    assert worse > 0.2 and unlimited <= 0.05


def test_intervals_hold_the_truth():
    covered = interval_coverage(DESIGN, 200, Truth(effects={"focal": -0.02}), draws=500)
    assert 0.92 <= covered["contrast"] <= 0.98
    assert 0.92 <= covered["difference"] <= 0.995


def test_intervals_of_two_blocks_hold_the_truth_though_repeats_re_split_the_same_images():
    """As Nadeau and Bengio suppose, repeats share 1 / 3 of the variance between them; it is image noise, mostly."""
    design = Design(1, 2, losses=4, repeats=8, images=20)
    truth = Truth(run_sd=0.002)
    within = hypot(truth.run_sd, truth.image_loss_sd / sqrt(design.images))
    covered = interval_coverage(design, 200, replace(truth, resplit_sd=within * sqrt(1 / 3)))
    assert 0.92 <= covered["contrast"] <= 0.99
    assert 0.92 <= covered["difference"] <= 0.995


def test_a_planted_difference_is_found_about_as_often_as_stated():
    stated, found = share_found(DESIGN, 60, Truth(), "focal")
    assert 0.002 < stated < 0.03
    assert 0.68 <= found <= 0.92
