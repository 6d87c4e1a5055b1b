"""The published tables must give the figures that are printed with them or that were derived from them."""

import numpy as np
import pandas as pd
import pytest

from lightning_seg.report.published import load_published
from lightning_seg.report.ranking import points, rank


@pytest.fixture(scope="module")
def published():
    return load_published()


def test_printed_scores_follow_exactly(published):
    by_dataset = rank(published.by_dataset, published.dataset_order)
    by_model = rank(published.by_model, published.model_order)
    pd.testing.assert_series_equal(by_dataset.score, published.dataset_score, check_names=False)
    pd.testing.assert_series_equal(by_model.score, published.model_score, check_names=False)
    assert by_dataset.ties == by_model.ties == []
    first_three = by_dataset.places.columns[by_dataset.places.loc["isic"] <= 3]
    assert set(first_three) == {"iou_dice", "iou_focal", "iou"}


def test_without_the_order_ties_are_shared_and_said(published):
    ranking = rank(published.by_dataset)
    assert ranking.score["iou_dice"] == published.dataset_score["iou_dice"]
    assert ranking.score["dice"] == pytest.approx(published.dataset_score["dice"] + 1)
    assert ranking.ties == ["isic: iou_focal, dice, iou tie and share their points (1 each)."]


def test_overall_means_weigh_rows_equally(published):
    for table in (published.by_dataset, published.by_model):
        gap = (table.mean() - published.overall.loc["dice"]).dropna()
        assert gap.abs().max() < 1.5e-4
        assert len(gap) == 9


def test_points_share_places():
    assert points(np.array([0.5, 0.4, 0.3, 0.2])).tolist() == [3, 2, 1, 0]
    assert points(np.array([0.4, 0.5, 0.5, 0.2])).tolist() == [1, 2.5, 2.5, 0]
    assert points(np.array([1.0, 1.0, 1.0, 1.0])).tolist() == [1.5] * 4
    assert points(np.array([2.0, 1.0])).tolist() == [3, 2]
