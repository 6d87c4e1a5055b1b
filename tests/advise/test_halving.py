"""The halving's decisions, and its error rate on made-up studies."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lightning_seg.advise.halving import LOOKS, Rule, Stop, follow, looks_within
from lightning_seg.errors import UserError
from tests.advise.simulation import (
    EQUAL,
    PUBLISHED,
    SPREAD,
    Truth,
    collapsing,
    heavy,
    runs_of,
    simulate,
    skewed,
)

STUDIES = 400  # an error rate of 5 % is then known to 1.1 points (one standard error)


def study(means: dict[str, float], repeats: int, noise: float = 0.004, models: int = 2, seed: int = 0) -> pd.Series:
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([means, range(repeats), range(models)], names=["loss", "repeat", "model"])
    values = np.repeat(list(means.values()), repeats * models) + rng.normal(0, noise, len(index))
    return pd.Series(values, index)


def test_what_is_needed_next_follows_from_the_runs_there_are():
    means = {"a": 0.80, "b": 0.795, "c": 0.60}
    rule = Rule(rope=0.0)
    dice = study(means, 12)
    start = follow(dice.iloc[:0], list(means), [0, 1], rule)
    assert (start.left, start.todo, start.stop, start.gap) == (["a", "b", "c"], range(3), None, None)

    third = dice[dice.index.get_level_values("repeat") < 3]
    one_lacks = follow(third.drop(("b", 1, 0)), list(means), [0, 1], rule)
    assert one_lacks.todo == range(3) and not one_lacks.dropped

    after = follow(third, list(means), [0, 1], rule)
    assert [(gone.loss, gone.repeats) for gone in after.dropped] == [("c", 3)]
    assert after.dropped[0].difference == pytest.approx(0.2, abs=0.02)
    assert set(after.left) == {"a", "b"} and after.todo == range(3, 5)


def test_runs_that_no_look_asks_for_change_nothing():
    means = {"a": 0.80, "b": 0.795, "c": 0.60}
    dice = study(means, 12)
    wild = dice.copy()
    wild.loc[("c", slice(3, None), slice(None))] = 1.0
    assert follow(dice, list(means), [0, 1]) == follow(wild, list(means), [0, 1])


def test_a_clear_winner_ends_it():
    end = follow(study({"a": 0.9, "b": 0.7, "c": 0.6}, 12), ["a", "b", "c"], [0, 1])
    assert (end.left, end.stop, end.repeats) == (["a"], Stop.WINNER, LOOKS[0])


def test_losses_that_differ_too_little_to_matter_end_it():
    end = follow(study({"a": 0.8, "b": 0.8}, 12, noise=0.0003), ["a", "b"], [0, 1])
    assert end.stop is Stop.EQUIVALENT and end.gap is not None and end.gap <= Rule().rope


def test_what_repeats_cannot_settle_ends_early():
    end = follow(study(dict.fromkeys("abcdefghij", 0.8), 12, noise=0.02), list("abcdefghij"), [0, 1])
    assert end.stop is Stop.HOPELESS and end.repeats < LOOKS[-1] and len(end.left) == 10


def test_the_last_look_ends_it():
    index = pd.MultiIndex.from_product([["a", "b"], range(4), [0]], names=["loss", "repeat", "model"])
    dice = pd.Series([0.82, 0.80, 0.82, 0.80, *[0.805] * 4], index)
    end = follow(dice, ["a", "b"], [0], Rule(looks=(4,)))
    assert (end.left, end.stop, end.todo) == (["a", "b"], Stop.SPENT, range(0))


def test_equal_runs_are_no_reason_to_drop_any():
    end = follow(study({"a": 0.5, "b": 0.5, "c": 0.5}, 12, noise=0.0), ["a", "b", "c"], [0, 1])
    assert len(end.left) == 3 and end.stop is Stop.ALIKE


def test_one_loss_needs_one_look():
    assert follow(study({"a": 0.5}, 3), ["a"], [0, 1]).stop is Stop.WINNER


def test_looks_end_where_the_splits_repeats_do():
    assert looks_within(None) == looks_within(12) == looks_within(20) == LOOKS
    found = {repeats: looks_within(repeats) for repeats in (10, 5, 4, 3, 2)}
    assert found == {10: (3, 5, 8, 10), 5: (3, 5), 4: (3, 4), 3: (3,), 2: (2,)}
    with pytest.raises(UserError, match="needs at least 2 repeats"):
        looks_within(1)


def test_the_single_test_is_the_corrected_resampled_t_test():
    """With two losses, one model and one look: dropped if and only if t is beyond its critical value."""
    rng = np.random.default_rng(1)
    rule = Rule(looks=(6,))
    decisions = []
    for _ in range(200):
        delta = rng.normal(0.02, 0.01, 6)
        dice = pd.Series(
            [*(0.7 + delta), *[0.7] * 6],
            pd.MultiIndex.from_product([["a", "b"], range(6), [0]], names=["loss", "repeat", "model"]),
        )
        t = delta.mean() / np.sqrt(delta.var(ddof=1) * (1 / 6 + 1 / 3))
        expected = stats.t.sf(t, 5) < 0.05
        assert bool(follow(dice, ["a", "b"], [0], rule).dropped) == expected
        decisions.append(expected)
    assert 20 < sum(decisions) < 180


@pytest.mark.slow
@pytest.mark.parametrize("models", [1, 3])
@pytest.mark.parametrize("effects", [EQUAL, PUBLISHED], ids=["equal", "published"])
def test_error_rate_holds_where_its_assumptions_do(effects: dict[str, float], models: int):
    """All noise is the images', which is the worst case: nothing of it averages out over models."""
    assert simulate(Truth(effects, image_sd=0.015, run_sd=0.0), models, STUDIES).errors <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    "truth",
    [
        Truth(EQUAL, image_sd=0.015, run_sd=0.0, noise=heavy),
        Truth(EQUAL, image_sd=0.015, run_sd=0.0, noise=skewed),
        Truth(EQUAL, image_sd=0.005, noise=collapsing),
        Truth(EQUAL, image_sd=0.015, run_sd=0.0, noisiness={"focal": 3.0}),
        Truth(EQUAL, image_sd=0.015, run_sd=0.0, noisiness={"bce": 1.5, "iou": 0.5, "dice": 0.6, "focal": 2.0}),
    ],
    ids=["heavy tails", "skewed", "collapsing runs", "one loss is noisy", "unequal noise"],
)
def test_error_rate_holds_where_noise_is_not_normal_or_not_equal(truth: Truth):
    assert simulate(truth, 1, STUDIES).errors <= 0.05 + 0.011


@pytest.mark.slow
def test_a_best_loss_that_is_three_times_as_noisy_is_the_known_limit():
    truth = Truth(EQUAL, image_sd=0.015, run_sd=0.0, noisiness={"dice_bce": 3.0})
    assert simulate(truth, 1, STUDIES).errors <= 0.12


@pytest.mark.slow
def test_runs_are_saved_and_bad_losses_found():
    published = simulate(Truth(PUBLISHED), 3, 150)
    assert published.errors <= 0.02 and published.runs <= 0.7 and published.dropped["focal"] >= 0.5
    spread = simulate(Truth(SPREAD), 3, 150)
    assert spread.errors <= 0.02 and spread.runs <= 0.75
    assert spread.dropped["focal"] >= 0.98 and spread.left <= 8


@pytest.mark.slow
def test_a_rule_without_its_corrections_errs():
    """The simulation can tell: plain t-tests at 5 % at every look drop the best loss far more often."""
    rng = np.random.default_rng(0)
    rule = Rule(error_rate=0.05 * 9 * len(LOOKS), test_to_train=0.0)
    truth = Truth(EQUAL, image_sd=0.015, run_sd=0.0)
    losses = list(EQUAL)
    ends = [follow(truth.draw(rng, 1, 12), losses, [0], rule) for _ in range(60)]
    assert np.mean([losses[0] not in end.left for end in ends]) > 0.2
    assert max(map(runs_of, ends)) <= 120
