"""The published tables must give the figures that are printed with them or that were derived from them."""

import pandas as pd
import pytest

from lightning_seg.report.figures.paper import overall_points
from lightning_seg.report.published import load_published
from lightning_seg.report.ranking import rank
from lightning_seg.report.tables import overall_table


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
        gap = table.mean() - published.overall.loc["dice"]
        assert gap.abs().max() < 1.5e-4
        assert len(gap) == 10


def test_the_dice_that_cannot_be_read_is_derived_and_told(published):
    assert published.derived == [("dice", "iou_dice")]
    assert published.overall.at["dice", "iou_dice"] == 0.7928
    assert published.overall.drop(index="dice").isna().any(axis=1).all()
    figure = overall_points(published.overall, published.derived)
    assert marks(figure, "Dice") == {"DiceBCE": "1", "IoUFocal": "2", "BCE": "3"}
    assert marks(figure, "IoU") == {}  # three means are not known
    assert "datasets and models equally" not in figure.caption  # of a study that lacks blocks it would be false
    assert [line.get_marker() for line in figure.canvas.axes[0].lines].count("D") == 1
    assert "Dice of IoUDice" in overall_table(published.overall, published.derived).caption


def test_figure_and_table_give_ties_the_same_places():
    means = pd.DataFrame(0.6389, index=["dice", "iou", "precision", "recall"], columns=["bce", "dice", "focal", "iou"])
    means.loc["dice"] = [0.5, 0.7, 0.7, 0.6]
    figure = overall_points(means)
    assert marks(figure, "Recall") == dict.fromkeys(["BCE", "Dice", "Focal", "IoU"], "1")
    assert marks(figure, "Dice") == {"Dice": "1", "Focal": "1", "IoU": "3"}
    table = overall_table(means)
    assert (table.places["Recall"] == 1).all()
    assert dict(zip(table.data["Loss"], table.places["Dice"], strict=True)) == {
        "Dice": 1,
        "Focal": 1,
        "IoU": 3,
        "BCE": 0,
    }


def marks(figure, metric: str) -> dict[str, str]:
    """The places that Fig. 2A writes behind the values of a metric."""
    axis = next(axis for axis in figure.canvas.axes if axis.get_title(loc="left") == metric)
    names = [label.get_text() for label in axis.get_yticklabels()]
    written = {names[round(text.xy[1])]: text.get_text().partition("(")[2].rstrip(")") for text in axis.texts}
    return {name: place for name, place in written.items() if place.strip()}
