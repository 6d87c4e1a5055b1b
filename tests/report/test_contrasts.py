"""The analysis against second implementations, and its noise taken apart rightly."""

from dataclasses import replace

import baycomp
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from lightning_seg.report.contrasts import Scope, components
from lightning_seg.report.power import power_of
from tests.report.designs import Design, frame_of, told_by


def long_of(pairs: pd.DataFrame) -> pd.DataFrame:
    long = pairs.stack().rename("dice").reset_index()
    long.columns = ["dataset", "model", "repeat", "loss", "dice"]
    return long


def test_two_losses_in_one_block_are_compared_by_the_corrected_resampled_t_test():
    # baycomp's test takes its correction from the folds: of four, 1 / (4 - 1) is the 1 / 3 of a 60:20:20 split.
    pairs = frame_of(Design(1, 1, 4, 2, better=0.01))
    found = components(pairs, 1 / 3).here()
    theirs = baycomp.CorrelatedTTest(pairs["l0"].to_numpy(), pairs["l1"].to_numpy())
    assert found.means[0] - found.means[1] == pytest.approx(-theirs.mean)
    assert found.p[0, 1] == pytest.approx(2 * min(theirs.probs()))
    rope = baycomp.CorrelatedTTest(pairs["l0"].to_numpy(), pairs["l1"].to_numpy(), rope=0.005)
    assert found.probabilities("l0", 0.005).iloc[0].tolist() == pytest.approx(list(rope.probs()))


def test_the_noise_is_taken_apart_as_by_an_analysis_of_variance():
    pairs = frame_of(Design(3, 4, 3, 5, by_split=0.01))
    formula = "dice ~ C(dataset)*C(model)*C(loss) + C(dataset):C(model):C(repeat) + C(dataset):C(repeat):C(loss)"
    table = anova_lm(ols(formula, long_of(pairs)).fit(), typ=1)
    squares = table["sum_sq"] / table["df"]
    parts = components(pairs)
    run, split = (np.trace(matrix) / 4 for matrix in (parts.run, parts.split))
    assert run == pytest.approx(squares["Residual"])
    assert split == pytest.approx((squares["C(dataset):C(repeat):C(loss)"] - squares["Residual"]) / 4)
    assert (parts.split_df, parts.run_df) == (6, 18)


def test_without_what_splits_favour_it_is_tukeys_test_of_blocks():
    """Where the splits' mean square is that of runs, the error is that of the two-way analysis of variance."""
    pairs = frame_of(Design(4, 5, 1, 4)).droplevel("repeat")
    pairs = pd.concat({0: pairs, 1: pairs}, names=["repeat"]).reorder_levels(["dataset", "model", "repeat"])
    parts = components(pairs)
    found = parts.here()
    blocks = pairs.groupby(level=["dataset", "model"]).mean()
    rest = blocks.sub(blocks.mean(axis=1), axis=0)
    rest = rest - rest.mean()
    error = float((rest**2).to_numpy().sum()) / (19 * 3) / 20
    assert found.size == pytest.approx(error, rel=1e-9) and found.df == pytest.approx(19)


@pytest.mark.parametrize("change", [{}, {"missing": 0.04}, {"lost_models": True}], ids=["full", "missing", "lost"])
def test_components_are_those_that_were_put_in(change):
    design = Design(4, 6, 4, 6, by_split=0.02, by_block=0.01, missing=0.0)
    design = replace(design, **change)
    found = [parts for parts, _ in design.studies(60, seed=3)]
    split = np.mean([np.trace(parts.split) / 5 for parts in found])
    run = np.mean([np.trace(parts.run) / 5 for parts in found])
    assert split == pytest.approx(0.02**2, rel=0.08)
    assert run == pytest.approx(0.012**2, rel=0.04)
    stated = np.mean([parts.here().size for parts in found])
    seen = np.mean([np.var(parts.means, ddof=1) for parts in found])
    assert stated == pytest.approx(seen, rel=0.2)


def test_a_loss_that_is_noisier_is_judged_by_its_own_noise():
    calm, wild = [], []
    for parts, _ in Design(6, 12, noisiness=(0.2, 3.0)).studies(5):
        variances = parts.here().variances
        calm.append(variances[0, 1])
        wild.append(variances[8, 9])
    assert np.mean(wild) > 4 * np.mean(calm)
    even = next(Design(6, 12).studies(1))[0].here().variances
    assert even[8, 9] == pytest.approx(even[0, 1], rel=0.5)


def test_datasets_that_share_their_splits_are_one_family():
    copies = next(Design(copies=True, by_split=0.006).studies(1))[0]
    assert copies.family[copies.dataset == 5].tolist() == copies.family[copies.dataset == 4].tolist()
    apart = [next(Design(by_split=0.006).studies(1, seed))[0] for seed in range(10)]
    assert all(len(np.unique(parts.family)) == 6 for parts in apart)


def test_scopes_need_units_to_speak_of_others():
    assert next(Design(1, 2, 3, 4).studies(1))[0].contrasts(Scope.MODELS) is None
    few = next(Design(2, 3, 3, 4).studies(1))[0]
    assert few.contrasts(Scope.MODELS) is not None and few.contrasts(Scope.DATASETS) is None
    one_repeat = next(Design(6, 12, 1).studies(1))[0]
    assert one_repeat.here().unit == "dataset" and one_repeat.contrasts(Scope.MODELS) is None
    assert not next(Design(1, 12, 1).studies(1))[0].here().tested  # of one split nobody knows what it favours


def test_what_datasets_favour_is_no_noise_on_these_and_all_of_it_on_others():
    parts = next(Design(by_dataset=0.02).studies(1))[0]
    here, others = parts.here(), parts.contrasts(Scope.DATASETS)
    assert others is not None and others.size > 10 * here.size
    assert told_by(here).any() and not told_by(others).any()


def test_the_best_losss_interval_holds_for_all_pairs_at_once():
    found = next(Design(3, 4, 3, 5).studies(1))[0].here()
    table = found.intervals()
    best = int(np.argmax(found.means))
    alone = stats.t.ppf(0.975, found.pair_df) * np.sqrt(found.variances[best])
    width = (table["to_best_high"] - table["to_best"]).to_numpy()
    others = np.arange(5) != best
    assert (width[others] > alone[others]).all() and width[best] == 0
    contrasts = table["contrast_high"] - table["contrast"]
    assert (contrasts < width[others].min()).all()


def test_every_unit_that_is_added_lets_more_be_seen():
    parts = next(Design(2, 2, 3, 4, by_split=0.004).studies(1, seed=1))[0]
    found = power_of(parts, parts.here())
    for name, sizes in (("datasets", range(1, 8)), ("models", range(1, 13)), ("repeats", range(2, 12))):
        seen = [found.at(**{name: size}) for size in sizes]
        assert seen == sorted(seen, reverse=True), (name, seen)
    assert found.at() == pytest.approx(found.detectable, rel=0.2)
    assert found.models_for(found.at(models=5)) == 5 and found.repeats_for(0.0) is None


def test_a_difference_of_the_stated_size_is_found_about_as_often_as_stated():
    design = Design(3, 4, 3, 4, by_split=0.004)
    stated = np.mean([power_of(parts, parts.here()).detectable for parts, _ in design.studies(30)])
    told = [told_by(parts.here())[0, 1:].mean() for parts, _ in replace(design, better=float(stated)).studies(150, 1)]
    assert 0.7 <= np.mean(told) <= 0.92
