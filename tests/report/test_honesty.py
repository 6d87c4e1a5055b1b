"""The stated certainty holds on made-up studies whose truth is known; benchmarks/report_honesty.py counts more of them.

With 100 studies a share of 5 % has a standard error of 2.2 %: the bounds leave room for it, and are far below what a
test that counts the models of a split as independent would do (20 to 63 %).
"""

from itertools import pairwise

import pytest

from lightning_seg.report.contrasts import Scope
from tests.report.designs import Design, block_anova, rates

STUDIES = 100
FALSE = 0.05 + 0.06
EQUAL = {
    "many models share a split": Design(3, 8, 4, 6, by_split=0.008),
    "one dataset": Design(1, 8, 4, 6, by_split=0.008),
    "no share": Design(3, 6, 3, 6),
    "heavy tails": Design(3, 6, 3, 6, noise="t"),
    "unequal noise": Design(4, 6, 4, 6, noisiness=(0.4, 1.8)),
    "collapsing": Design(4, 6, 4, 6, collapse=0.03),
    "one repeat": Design(6, 4, 1, 6),
    "lost models": Design(3, 6, 4, 6, lost_models=True, by_split=0.006),
    "near copies": Design(4, 6, 5, 8, copies=True, by_split=0.008),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_losses_are_called_worse_in_few_studies_and_intervals_hold_the_truth(name):
    found = rates(EQUAL[name], STUDIES)
    assert max(found.false.values()) <= FALSE and found.winner <= 0.02
    for scope, share in found.covered.items():
        assert 0.91 <= share <= 0.985, scope
    assert found.together >= 0.89


def test_the_old_test_would_have_been_caught():
    assert block_anova(EQUAL["many models share a split"], 60)[0] > 0.2


@pytest.mark.parametrize("repeats", [3, 5])
def test_few_repeats_of_one_block_name_no_winner(repeats):
    found = rates(Design(1, 1, repeats, 4), 200)
    assert found.winner <= 0.02 and found.false[Scope.HERE] <= 0.05
    assert found.covered[Scope.HERE] >= 0.92


def test_what_holds_on_these_datasets_and_models_is_not_said_of_others():
    found = rates(Design(4, 6, 3, 5, by_dataset=0.02, by_model=0.01), STUDIES)
    assert found.found > 0.1  # of the pairs, there, where they do differ
    assert found.false[Scope.HERE] <= FALSE
    assert found.false[Scope.MODELS] <= FALSE and found.false[Scope.DATASETS] <= FALSE
    assert found.covered[Scope.HERE] >= 0.9 and found.covered[Scope.DATASETS] >= 0.91


@pytest.mark.parametrize("design", [Design(1, 11, better=0.015), Design(2, 5, better=0.012), Design(3, 4, better=0.01)])
def test_power_is_that_of_the_classical_test_where_that_is_valid(design):
    found, (_, pairs, first) = rates(design, STUDIES), block_anova(design, STUDIES)
    assert found.found >= pairs - 0.04 and found.first >= first - 0.06


def test_adding_a_block_does_not_lower_the_power():
    found = [rates(Design(1, models, losses=4, better=0.012), 100).found for models in (4, 8, 10, 11, 14)]
    assert all(after >= before - 0.02 for before, after in pairwise(found))
    assert found[0] < 0.6 and found[-1] > found[0] + 0.2
