"""The words: true of what is tested, and of what stands beside them."""

import re

import numpy as np
import pandas as pd

from lightning_seg.report.answer import judge, judge_rows, scope_of, sentences
from lightning_seg.report.published import load_published
from tests.report.honesty import Design
from tests.report.make_study import Truth


def words(pairs: pd.DataFrame, **more) -> list[str]:
    return sentences(judge(pairs, **more), scope_of(pairs))


def test_what_nemenyis_test_separates_is_said_beside_the_signed_rank_tests():
    published = load_published().by_dataset
    text = sentences(judge_rows(published), "6 datasets")
    assert "signed-rank tests tell none apart" in text[0]
    assert "Focal from DiceBCE (5.58 ranks)" in " ".join(text) and "critical difference being 5.53 ranks" in " ".join(
        text
    )
    assert "inf" not in re.findall(r"\w+", " ".join(text))


def test_the_first_sentence_is_limited_where_differences_depend_on_the_dataset():
    pairs = Design(6, 4, losses=3).study(0, Truth(loss_dataset_sd=0.03, interaction_sd=0.002))[0]
    first = words(pairs)[0]
    assert "n these datasets (6 datasets x 4 models, 5 repeats)" in first
    plain = Design(6, 4, losses=3).study(0, Truth(interaction_sd=0.002))[0]
    assert "these datasets" not in words(plain)[0]


def test_the_first_sentence_is_limited_where_dependence_cannot_be_tested():
    effects = Truth(effects={"iou": 0.03})
    of_one_dataset = Design(1, 12, losses=3).study(0, effects)[0]
    assert judge(of_one_dataset).unit == "block" and judge(of_one_dataset).limits == ["dataset"]
    text = words(of_one_dataset)
    assert "n this dataset (1 dataset x 12 models, 5 repeats)" in text[0]
    assert "cannot be tested, since all blocks are of one dataset" in " ".join(text)
    of_one_model = Design(12, 1, losses=3).study(0, effects)[0]
    assert "n this model (12 datasets x 1 model, 5 repeats)" in words(of_one_model)[0]


def test_the_highest_mean_is_that_of_the_tables_where_blocks_have_unequal_repeats():
    index = [("isic", "fcn", n) for n in range(5)] + [("isic", "unet", n) for n in range(2)]
    means = {"dice": [0.8] * 5 + [0.6] * 2, "bce": [0.79] * 5 + [0.615] * 2}
    pairs = pd.DataFrame(means, pd.MultiIndex.from_tuples(index, names=["dataset", "model", "repeat"]))
    verdict = judge(pairs + np.random.default_rng(0).normal(0, 1e-4, pairs.shape))
    assert verdict.unit == "repeat" and verdict.losses == ["bce", "dice"]  # .7025 and .7000 over blocks
    assert verdict.pairs.loc[0, ["a", "b"]].tolist() == verdict.losses


def test_repeats_are_called_the_unit_and_no_omnibus_test_is_made_of_them():
    pairs = Design(1, 1, losses=4).study(0, Truth())[0]
    verdict = judge(pairs)
    assert verdict.unit == "repeat" and verdict.omnibus.units == 1 and verdict.omnibus.p == 1
    assert "the unit is the repeat of a block, not the block" in " ".join(words(pairs))
    assert "re-splitting" in " ".join(words(pairs))
    fixed = " ".join(words(pairs, same_images=True, test_to_train=0.0))
    assert "only the seed varies" in fixed and "re-splitting" not in fixed


def test_a_loss_that_collapsed_runs_hold_back_is_named():
    pairs = Design(3, 4, losses=3).study(0, Truth(effects={"iou": 0.01}, interaction_sd=0.001))[0]
    collapsed = pd.DataFrame(False, index=pairs.index, columns=pairs.columns)
    bad = [("d0", "m1", 0), ("d0", "m1", 2), ("d2", "m0", 1)]
    pairs.loc[bad, "iou"], collapsed.loc[bad, "iou"] = 0.0, True
    text = " ".join(words(pairs, collapsed=collapsed))
    assert "IoU has the best mean rank, and loses its mean to 3 of its 60 runs" in text
    assert "d0 / m1 (2) and d2 / m0 (1)" in text
    assert "best mean rank" not in " ".join(words(pairs))


def test_nothing_that_most_runs_have_not_learned_is_concluded():
    pairs = Design(2, 2).study(0, Truth())[0]
    collapsed = pd.DataFrame(np.random.default_rng(0).random(pairs.shape) < 0.7, pairs.index, pairs.columns)
    text = words(pairs, collapsed=collapsed)
    assert len(text) == 1 and "most networks have learned nothing yet" in text[0]
    one_learns = collapsed.assign(iou=False)
    assert "learned nothing" not in " ".join(words(pairs, collapsed=one_learns))
    alike = pairs.mul(0.0)
    assert len(words(alike)) == 1 and "the very same Dice" in words(alike)[0]
