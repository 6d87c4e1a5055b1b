"""What is told, of whom and in which direction; what is not."""

import numpy as np
import pandas as pd
import pytest

from lightning_seg.report.contrasts import Scope
from lightning_seg.report.published import load_published
from lightning_seg.report.verdict import judge, judge_rows
from tests.report.designs import Design, frame_of


def collapsing(design: Design, share: dict[str, float], drop: float, seed: int = 0) -> pd.DataFrame:
    """A study in which a share of a loss's runs ends lower by ``drop``."""
    pairs, rng = frame_of(design, seed), np.random.default_rng(seed)
    for loss, rate in share.items():
        pairs.loc[rng.random(len(pairs)) < rate, loss] -= drop
    return pairs


def test_the_direction_is_that_of_the_test():
    """A loss that is better in nearly every run, and whose few failures cost it the mean, loses to none."""
    design = Design(6, 12, 3, 2, better=0.006, by_block=0.001, noisiness=(0.3, 0.3))
    for seed in range(6):
        pairs = collapsing(design, {"l0": 0.02}, 0.5, seed)
        verdict = judge(pairs)
        for loss, (difference, p) in verdict.worse.items():
            assert difference > 0 and p < 0.05
            row = verdict.pairs.set_index("b").loc[loss]
            assert row["low"] > 0 and row["difference"] == pytest.approx(difference)
        if verdict.losses[0] == "l1":
            assert verdict.winner is None and [dispute.loss for dispute in verdict.disputes] == ["l0"]
            dispute = verdict.disputes[0]
            assert dispute.wins > 0.8
            rest = pairs.drop(index=[run[:3] for run in dispute.runs]).groupby(level=["dataset", "model"]).mean().mean()
            fewer = pairs.drop(index=[run[:3] for run in dispute.runs[:-1]]).groupby(level=["dataset", "model"])
            assert rest["l0"] >= rest["l1"] - 2e-4 and fewer.mean().mean()["l0"] <= fewer.mean().mean()["l1"] + 2e-4


def test_losses_that_fail_alike_are_held_against_each_other_alike():
    """Collapsed runs are set aside for all losses or for none; equal losses stay equal either way."""
    told = 0
    for seed in range(20):
        pairs = collapsing(Design(6, 12, 3, 2), {"l0": 0.02, "l1": 0.02}, 0.7, seed)
        verdict = judge(pairs, pairs < 0.3)
        other = verdict.without_collapsed
        assert other is not None and verdict.set_aside == int((pairs < 0.3).any(axis=1).sum())
        assert other.power.detectable < verdict.power.detectable
        told += bool(verdict.worse or verdict.disputes or other.worse)
    assert told <= 5


def test_wider_scopes_claim_no_more_than_narrower_ones():
    pairs = frame_of(Design(5, 6, 3, 6, better=0.02, by_dataset=0.008))
    verdict = judge(pairs)
    here, models, datasets = (set(verdict.worse_in(scope)) for scope in Scope)
    assert here and datasets <= here and models <= here
    assert set(verdict.worse) == here
    for scope in (Scope.MODELS, Scope.DATASETS):
        assert (verdict.pairs[f"p_{scope}"] >= verdict.pairs["p_adjusted"]).all()


def test_a_reversal_is_of_means_and_of_the_same_test():
    pairs = frame_of(Design(3, 6, 4, 3, better=0.01))
    on_one = pairs.index.get_level_values("dataset") == "d2"
    pairs.loc[on_one, "l1"] += 0.05
    pairs.loc[~on_one, "l1"] -= 0.03
    verdict = judge(pairs)
    assert verdict.losses[0] == "l0"
    (found,) = [found for found in verdict.reversals if found.loss == "l1"]
    means = pairs[on_one].mean()
    assert (found.level, found.name) == ("dataset", "d2") and found.p < 0.05
    assert found.difference == pytest.approx(means["l1"] - means["l0"])


def test_losses_alike_are_those_whose_intervals_are_within_the_bound():
    verdict = judge(frame_of(Design(6, 12, 5, 5, by_block=0.001)))
    alike, bound = verdict.alike(0.005)
    assert alike == verdict.losses and bound <= 0.005
    rows = verdict.pairs
    assert bound == pytest.approx(max(rows["high"].abs().max(), rows["low"].abs().max()))
    fewer, _ = verdict.alike(bound * 0.8)
    assert fewer == verdict.losses[: len(fewer)] and len(fewer) < 5


def test_the_highest_mean_is_that_of_the_tables_where_blocks_have_unequal_repeats():
    index = [("isic", "fcn", n) for n in range(5)] + [("isic", "unet", n) for n in range(2)]
    means = {"dice": [0.8] * 5 + [0.6] * 2, "bce": [0.79] * 5 + [0.615] * 2}
    pairs = pd.DataFrame(means, pd.MultiIndex.from_tuples(index, names=["dataset", "model", "repeat"]))
    verdict = judge(pairs + np.random.default_rng(0).normal(0, 1e-4, pairs.shape))
    assert verdict.losses == ["bce", "dice"]  # .7025 and .7000 over blocks
    assert verdict.pairs.loc[0, ["a", "b"]].tolist() == verdict.losses


def test_tables_without_noise_or_repeats_claim_nothing():
    index = pd.MultiIndex.from_tuples([("a", "b", 0)], names=["dataset", "model", "repeat"])
    one = pd.DataFrame([[0.8, 0.9]], index=index, columns=["dice", "iou"])
    assert judge(one).unit == "none" and judge(one).losses == ["iou", "dice"] and not judge(one).worse
    alone = judge(one[["dice"]])
    assert alone.losses == ["dice"] and alone.pairs.empty
    names = pd.MultiIndex.from_product([["a"], ["b", "c"], range(3)], names=index.names)
    flat = judge(pd.DataFrame({"dice": 0.8, "iou": 0.7}, names))
    assert not flat.worse and flat.winner is None


def test_the_published_tables_say_what_they_said():
    tables = load_published()
    by_model, by_dataset = judge_rows(tables.by_model), judge_rows(tables.by_dataset)
    assert list(by_model.worse) == ["focal"] and by_model.worse["focal"][0] == pytest.approx(0.0254, abs=1e-4)
    for table in (tables.by_model, tables.by_dataset):
        assert not judge_rows(table.drop(columns="focal")).worse
    assert set(by_dataset.worse) <= {"focal"} and not by_model.disputes and not by_dataset.disputes
