"""The tests against second implementations and against the figures known for the published tables."""

from itertools import permutations
from math import inf

import autorank
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from lightning_seg.report import statistics
from lightning_seg.report.published import load_published
from tests.report.make_study import DATASETS, LOSSES, MODELS, Truth, simulate


def made_up(datasets=3, models=4, losses=5, repeats=3, seed=0, **truth):
    """Pairs table (dataset, model, repeat) x losses."""
    rng = np.random.default_rng(seed)
    names = DATASETS[:datasets], MODELS[:models], LOSSES[:losses]
    dice, _ = simulate(rng, *names, repeats, 20, Truth(**truth))
    index = pd.MultiIndex.from_product([*names[:2], range(repeats)], names=["dataset", "model", "repeat"])
    return pd.DataFrame(dice.mean(-1).reshape(-1, losses), index=index, columns=names[2])


def blocks_of(pairs):
    return pairs.groupby(level=["dataset", "model"]).mean()


@pytest.fixture(scope="module")
def published():
    return load_published()


def test_what_the_published_tables_support(published):
    by_dataset, by_model = published.by_dataset, published.by_model
    assert statistics.omnibus(by_dataset).p == pytest.approx(0.0056, abs=5e-5)
    assert statistics.omnibus(by_model).p == pytest.approx(0.00028, abs=5e-6)
    assert statistics.omnibus(by_dataset.drop(columns="focal")).p == pytest.approx(0.24, abs=5e-3)
    assert statistics.omnibus(by_model.drop(columns="focal")).p == pytest.approx(0.40, abs=5e-3)
    assert statistics.critical_difference(12, 10) == pytest.approx(3.91, abs=5e-3)


@pytest.mark.parametrize("round_to", [4, 2])  # two digits make ties
def test_friedman_is_scipys_and_iman_davenport_its_f(published, round_to):
    table = published.by_model.round(round_to)
    found = statistics.omnibus(table)
    expected = stats.friedmanchisquare(*table.to_numpy().T)
    assert found.chi2 == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    n, k = table.shape
    assert found.f == pytest.approx((n - 1) * found.chi2 / (n * (k - 1) - found.chi2))
    np.testing.assert_allclose(found.mean_ranks, table.rank(axis=1, ascending=False).mean())


@pytest.mark.parametrize("first", [[0.9, 0.8, 0.7], [0.9, 0.9, 0.7]])
def test_units_that_all_agree_are_as_surprising_as_that_is_by_chance(first):
    table = pd.DataFrame([first, [value - 0.3 for value in first]])
    found = statistics.omnibus(table)
    chances = [statistics.omnibus(pd.DataFrame([first, order])).chi2 for order in permutations(first)]
    assert found.f == inf
    assert found.p_f == pytest.approx(np.mean(np.array(chances) >= found.chi2 - 1e-9))
    assert statistics.omnibus(pd.DataFrame([first] * 12)).p_f < 1e-4


def test_critical_difference_is_autoranks(published):
    result = autorank.autorank(published.by_model, alpha=0.05, force_mode="nonparametric")
    assert result.cd == pytest.approx(statistics.critical_difference(12, 10), rel=1e-3)


def test_variance_shares_are_those_of_anova():
    pairs = made_up()
    found = statistics.variance_shares(pairs)
    long = pairs.stack().rename("dice").reset_index()
    long.columns = ["dataset", "model", "repeat", "loss", "dice"]
    formula = "dice ~ C(dataset)*C(model)*C(loss) + C(dataset):C(repeat) + C(dataset):C(repeat):C(loss)"
    table = anova_lm(ols(formula, long).fit(), typ=1)
    expected = {
        "dataset": "C(dataset)",
        "model": "C(model)",
        "dataset x model": "C(dataset):C(model)",
        "loss": "C(loss)",
        "loss x dataset": "C(dataset):C(loss)",
        "loss x model": "C(model):C(loss)",
        "loss x dataset x model": "C(dataset):C(model):C(loss)",
        "split (of a dataset)": "C(dataset):C(repeat)",
        "loss x split": "C(dataset):C(repeat):C(loss)",
        "run (residual)": "Residual",
    }
    for mine, theirs in expected.items():
        assert found.loc[mine, "sum_of_squares"] == pytest.approx(table.loc[theirs, "sum_sq"]), mine
        assert found.loc[mine, "df"] == table.loc[theirs, "df"]
    assert found["share"].sum() == pytest.approx(1)


def test_degenerate_tables_claim_nothing():
    index = pd.MultiIndex.from_tuples([("a", "b", 0)], names=["dataset", "model", "repeat"])
    one = pd.DataFrame([[0.8, 0.9]], index=index, columns=["dice", "iou"])
    assert statistics.omnibus(one).p == 1
    equal = pd.DataFrame(np.full((8, 3), 0.5), columns=["dice", "iou", "bce"])
    assert statistics.omnibus(equal).p == 1
