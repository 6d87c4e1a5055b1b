"""The tests against second implementations and against the figures known for the published tables."""

from itertools import combinations, permutations, product
from math import inf

import autorank
import baycomp
import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

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
    second = scikit_posthocs.posthoc_nemenyi_friedman(table.to_numpy())
    np.testing.assert_allclose(statistics.nemenyi(table), second, atol=1e-9)
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


@pytest.mark.slow
def test_wilcoxon_pairs(published):
    table = statistics.pairwise(published.by_model)
    assert len(table) == 45
    row = table[(table["a"] == "iou_focal") & (table["b"] == "focal")].iloc[0]
    delta = published.by_model["iou_focal"] - published.by_model["focal"]
    assert row["p"] == pytest.approx(stats.wilcoxon(delta).pvalue)
    assert row["difference"] == pytest.approx(delta.mean())
    assert row["improvement"] == pytest.approx((delta > 0).mean())
    # Matched rank-biserial correlation, the long way.
    ranks = delta.abs().rank()
    assert row["effect"] == pytest.approx((ranks[delta > 0].sum() - ranks[delta < 0].sum()) / ranks.sum())
    np.testing.assert_allclose(table["p_holm"], multipletests(table["p"], method="holm")[1])
    assert (table.loc[table["p_holm"] < 0.05, "b"] == "focal").all()


@pytest.mark.parametrize("digits", [1, 8])  # one digit makes ties and zeros
@pytest.mark.parametrize("units", [1, 2, 6, 11])
def test_the_exact_signed_rank_test_is_that_of_all_sign_assignments(units, digits):
    rng = np.random.default_rng(units)
    for shift in (0.0, 0.6, 3.0):
        delta = rng.normal(shift, 1, units).round(digits)
        p, effect = statistics.signed_rank(delta)
        ranks = stats.rankdata(np.abs(delta[delta != 0]))
        signs = np.array(list(product((-1, 1), repeat=len(ranks))))
        sums = np.abs(signs @ ranks)
        assert p == pytest.approx(np.mean(sums >= np.abs(np.sign(delta[delta != 0]) @ ranks) - 1e-9))
        assert effect == pytest.approx(np.sign(delta[delta != 0]) @ ranks / ranks.sum())


def test_differences_of_printed_digits_tie_as_printed(published):
    assert 0.7590 - 0.7564 != 0.7854 - 0.7828  # in doubles
    for table in (published.by_dataset, published.by_model):
        last_digits = (table * 10_000).round().astype(int)
        for a, b in combinations(table.columns, 2):
            exact = (last_digits[a] - last_digits[b]).to_numpy()
            assert statistics.signed_rank((table[a] - table[b]).to_numpy()) == statistics.signed_rank(exact)


@pytest.mark.parametrize("units", [24, 50, 72])
def test_the_signed_rank_test_of_many_units_is_scipys(units):
    delta = np.random.default_rng(units).normal(0.3, 1, units)
    assert statistics.signed_rank(delta)[0] == pytest.approx(stats.wilcoxon(delta).pvalue)


def test_corrected_t_test_of_one_block_is_baycomps():
    # baycomp's test takes its correction from the folds: of four, 1 / (4 - 1) is the 1 / 3 of a 60:20:20 split.
    pairs = made_up(datasets=1, models=1, losses=2, repeats=4, effects={"iou": 0.02})
    row = statistics.pairwise_repeats(pairs).iloc[0]
    theirs = baycomp.CorrelatedTTest(pairs[row["a"]].to_numpy(), pairs[row["b"]].to_numpy())
    assert row["difference"] == pytest.approx(-theirs.mean)
    assert row["p"] == pytest.approx(2 * min(theirs.probs()))


def test_equivalence_matches_a_second_implementation():
    pairs = blocks_of(made_up(effects={"iou": 0.006}, losses=3))
    found = statistics.equivalence(pairs, "iou", rope=0.005)
    assert np.allclose(found.sum(axis=1), 1)
    rng = np.random.default_rng(1)
    for loss, row in found.iterrows():
        z = np.append(0.0, pairs["iou"] - pairs[loss])
        weights = rng.dirichlet([0.5, *[1.0] * (len(z) - 1)], 20_000)
        sums = z[:, None] + z[None, :]
        shares = [np.einsum("si,ij,sj->s", weights, part, weights) for part in (sums > 0.01, sums < -0.01)]
        better, worse = shares
        middle = 1 - better - worse
        winner = np.argmax([better, middle, worse], axis=0)
        np.testing.assert_allclose(row, [np.mean(winner == n) for n in range(3)], atol=0.02)


def test_variance_shares_are_those_of_anova():
    pairs = made_up()
    found = statistics.variance_shares(pairs)
    long = pairs.stack().rename("dice").reset_index()
    long.columns = ["dataset", "model", "repeat", "loss", "dice"]
    formula = "dice ~ C(dataset)*C(model)*C(loss) + C(dataset):C(repeat)"
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
        "repeat (residual)": "Residual",
    }
    for mine, theirs in expected.items():
        assert found.loc[mine, "sum_of_squares"] == pytest.approx(table.loc[theirs, "sum_sq"]), mine
        assert found.loc[mine, "df"] == table.loc[theirs, "df"]
    assert found["share"].sum() == pytest.approx(1)


def test_pooled_variance_is_the_residual_of_anova():
    pairs = made_up(datasets=1, models=2, losses=4, repeats=4)
    long = pairs.stack().rename("dice").reset_index()
    long.columns = ["dataset", "model", "repeat", "loss", "dice"]
    fit = ols("dice ~ C(model)*C(repeat) + C(model)*C(loss)", long).fit()
    row = statistics.pairwise_repeats(pairs).iloc[0]
    delta = (pairs[row["a"]] - pairs[row["b"]]).groupby(level="model")
    own = ((pairs[row["a"]] - pairs[row["b"]] - delta.transform("mean")) ** 2).sum() / 6
    variance = max(2 * fit.mse_resid, own) * (1 / 4 + 1 / 3) / 2
    assert row["p"] == pytest.approx(2 * stats.t.sf(row["difference"] / np.sqrt(variance), fit.df_resid))


def test_fewest_blocks_reach_significance():
    for losses in (2, 3, 10):
        n = statistics.fewest_blocks(losses)
        smallest = stats.wilcoxon(np.arange(1, n + 1)).pvalue * statistics.count_pairs(losses)
        assert smallest <= 0.05 < 2 * smallest


def test_interaction_is_that_of_anova():
    blocks = blocks_of(made_up())
    long = blocks.stack().rename("dice").reset_index()
    long.columns = ["dataset", "model", "loss", "dice"]
    fit = ols("dice ~ C(dataset)*C(model) + C(loss) + C(loss):C(dataset) + C(loss):C(model)", long).fit()
    table = anova_lm(fit, typ=1)
    assert statistics.interaction(blocks, "dataset") == pytest.approx(table.loc["C(loss):C(dataset)", "PR(>F)"])
    assert statistics.interaction(blocks, "model") == pytest.approx(table.loc["C(loss):C(model)", "PR(>F)"])


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
def test_interaction_of_an_incomplete_grid_is_that_of_nested_models():
    blocks = blocks_of(made_up(loss_dataset_sd=0.004)).drop(index=[(DATASETS[0], MODELS[0]), (DATASETS[2], MODELS[3])])
    long = blocks.stack().rename("dice").reset_index()
    long.columns = ["dataset", "model", "loss", "dice"]
    long["block"] = long["dataset"] + " " + long["model"]
    parts = {"dataset": "C(loss)*C(dataset)", "model": "C(loss)*C(model)"}
    whole = ols(f"dice ~ C(block) + {' + '.join(parts.values())}", long).fit()
    for level, part in (("dataset", parts["model"]), ("model", parts["dataset"])):
        p = whole.compare_f_test(ols(f"dice ~ C(block) + {part}", long).fit())[1]
        assert statistics.interaction(blocks, level) == pytest.approx(p, rel=1e-5)


def test_what_cannot_be_tested_has_no_p():
    of_one = blocks_of(made_up(datasets=1))
    assert np.isnan([statistics.interaction(of_one, level) for level in ("dataset", "model")]).all()
    own_models = blocks_of(made_up(datasets=2, models=4))
    first, second = (own_models.index.get_level_values("dataset") == name for name in DATASETS[:2])
    early = own_models.index.get_level_values("model").isin(MODELS[:2])
    assert np.isnan(statistics.interaction(own_models[(first & early) | (second & ~early)], "dataset"))


def test_detectable_difference_is_that_of_statsmodels():
    for n, comparisons in ((12, 1), (72, 45)):
        d = TTestPower().solve_power(nobs=n, alpha=0.05 / comparisons, power=0.8)
        assert statistics.detectable_difference(1 / np.sqrt(n), n - 1, comparisons) == pytest.approx(d, rel=1e-3)
    assert statistics.detectable_difference(1.0, 0) == inf


def test_resolution_says_what_more_repeats_and_blocks_bring():
    found = statistics.resolution(made_up(datasets=6, models=12, repeats=5))
    assert not found.fixed_blocks and found.units == 72 and found.repeats == 5
    assert found.at(statistics.fewest_blocks(5) - 1, 5) == inf
    assert found.at(72, 20) < found.detectable < found.at(36, 5)
    needed = found.repeats_for(found.detectable * 0.99)
    assert needed is None or found.at(72, needed) <= found.detectable * 0.99 < found.at(72, needed - 1)
    units = found.units_for(found.detectable / 2)
    assert found.at(units, 5) <= found.detectable / 2 < found.at(units - 1, 5)
    assert found.repeats_for(found.detectable / 50) is None
    single = statistics.resolution(made_up(datasets=1, models=1, repeats=1))
    assert single.detectable == inf


def test_degenerate_tables_claim_nothing():
    index = pd.MultiIndex.from_tuples([("a", "b", 0)], names=["dataset", "model", "repeat"])
    one = pd.DataFrame([[0.8, 0.9]], index=index, columns=["dice", "iou"])
    assert statistics.omnibus(one).p == 1
    assert statistics.pairwise(one)["p_holm"].tolist() == [1.0]
    assert statistics.pairwise_repeats(one)["p_holm"].tolist() == [1.0]
    equal = pd.DataFrame(np.full((8, 3), 0.5), columns=["dice", "iou", "bce"])
    assert statistics.omnibus(equal).p == 1
    assert (statistics.pairwise(equal)["p_holm"] == 1).all()
    assert statistics.pairwise(one[["dice"]]).empty
