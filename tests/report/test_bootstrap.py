"""The bootstrap varies as much as the estimate does: every source of noise counts once, in every design."""

import numpy as np
import pandas as pd
import pytest

from lightning_seg.report.analysis import analyse
from lightning_seg.report.bootstrap import bootstrap
from lightning_seg.report.records import load_study
from tests.report.honesty import Design
from tests.report.make_study import Truth, write_run

RATIO = 1 / 3  # test images over training images
Images = dict[tuple[str, str, int], np.ndarray]


def drawn_variance(pairs: pd.DataFrame, images: Images | None) -> float:
    """Of the difference of two losses."""
    contrasts = bootstrap(pairs, images, test_to_train=RATIO).contrasts
    return float((contrasts[:, 0] - contrasts[:, 1]).var())


def repeat_variance(pairs: pd.DataFrame) -> float:
    """Of the difference of two losses, from repeat to repeat of a block."""
    groups = (pairs.iloc[:, 0] - pairs.iloc[:, 1]).groupby(level=["dataset", "model"])
    return float(((groups.size() - 1) * groups.var().fillna(0)).sum() / (groups.size() - 1).sum())


def image_variance(images: Images) -> float:
    """Of the difference of two losses, by a run's test images."""
    return float(np.mean([(dice[:, 0] - dice[:, 1]).var(ddof=1) / len(dice) for dice in images.values()]))


def test_few_blocks_vary_as_in_the_corrected_test_where_small_test_sets_make_the_noise():
    pairs, images, _ = Design(1, 2, losses=2, images=20).study(0, Truth(run_sd=0.002))
    noise = max(repeat_variance(pairs), image_variance(images))
    assert drawn_variance(pairs, images) == pytest.approx(noise * (1 / 5 + RATIO) / 2, rel=0.12)


def test_a_block_of_one_repeat_has_the_noise_of_the_others():
    pairs = Design(1, 2, losses=2).study(0, Truth())[0].iloc[:6]
    expected = repeat_variance(pairs) * (1 / 5 + RATIO + 1 + RATIO) / 2**2
    assert drawn_variance(pairs, None) == pytest.approx(expected, rel=0.06)


def test_image_noise_counts_once_where_every_block_has_one_repeat():
    pairs, images, _ = Design(6, 4, losses=2, repeats=1, images=10).study(0, Truth(interaction_sd=0.01))
    delta = pairs.iloc[:, 0] - pairs.iloc[:, 1]
    assert image_variance(images) > 0.3 * delta.var()
    assert drawn_variance(pairs, images) == pytest.approx(delta.var() / len(delta), rel=0.12)


def test_images_that_all_repeats_are_tested_on_do_not_vary(tmp_path):
    rng = np.random.default_rng(0)
    for loss in ("bce", "dice"):
        for repeat in range(4):
            rows = [(f"x_{k}", 10, 0, 0, 90, *[score] * 4, 0.1) for k, score in enumerate(rng.uniform(0.6, 0.9, 6))]
            write_run(tmp_path / "isic" / "unet" / loss / f"repeat_{repeat}", "isic", "unet", loss, repeat, rows)
    found = analyse(load_study(tmp_path), draws=200)
    assert found.comparison.same_images and found.certainty is not None and found.certainty.drawn is not None
    seeds_alone = bootstrap(found.comparison.pairs["dice"], None, draws=200, test_to_train=0.0)
    np.testing.assert_array_equal(found.certainty.drawn.contrasts, seeds_alone.contrasts)
