"""The published tables of Jang & Ahn 2025 (doi:10.5909/JBE.2025.30.2.104), shipped as package data."""

from dataclasses import dataclass
from importlib import resources

import pandas as pd

from lightning_seg.report.ranking import Ranking, rank

CITATION = (
    "S. Jang and H. Ahn, A Comparative Study of Pixel-Wise Loss Functions for Deep-Learning-Based Lesion "
    "Segmentation in Medical Imaging, Journal of Broadcast Engineering 30(2), 2025, doi:10.5909/JBE.2025.30.2.104"
)


@dataclass(frozen=True)
class Published:
    """The printed tables, Dice in 0-1 with four digits.

    Attributes:
        overall: Fig. 2A, metric x loss; NaN where the figure cannot be read and no other table tells.
        derived: (metric, loss) of the cells of ``overall`` that cannot be read and follow from Fig. 2B.
        by_dataset: Fig. 2B, dataset x loss.
        by_model: Fig. 2C, model x loss.
        dataset_score: the ranking score printed below Fig. 2B.
        model_score: the ranking score printed below Fig. 2C.
        dataset_order: row -> losses with equal printed cells, in the order that they had before rounding.
        model_order: the same for ``by_model``.
    """

    overall: pd.DataFrame
    derived: list[tuple[str, str]]
    by_dataset: pd.DataFrame
    by_model: pd.DataFrame
    dataset_score: pd.Series
    model_score: pd.Series
    dataset_order: dict[str, list[str]]
    model_order: dict[str, list[str]]


def load_published() -> Published:
    """Read the packaged tables."""
    overall = _read("overall").pivot(index="metric", columns="loss", values="mean")
    unread = overall.columns[overall.loc["dice"].isna()]
    by_dataset = _read("dataset_by_loss_dice").set_index("dataset")
    by_model = _read("model_by_loss_dice").set_index("model")
    # A loss's overall Dice is the mean of its row means: Fig. 2A agrees with Fig. 2B and 2C to 0.0001 where printed.
    overall.loc["dice", unread] = by_dataset.drop("ranking_score")[unread].mean().round(4)
    orders = _read("unrounded_order")
    return Published(
        overall=overall,
        derived=[("dice", str(loss)) for loss in unread],
        by_dataset=by_dataset.drop("ranking_score"),
        by_model=by_model.drop("ranking_score"),
        dataset_score=by_dataset.loc["ranking_score"],
        model_score=by_model.loc["ranking_score"],
        dataset_order=_orders(orders, "dataset"),
        model_order=_orders(orders, "model"),
    )


def rank_published(published: Published) -> tuple[Ranking, Ranking]:
    """Fig. 2B and Fig. 2C with their scores, equal printed cells in the order that they had before rounding."""
    by_dataset = rank(published.by_dataset, published.dataset_order)
    return by_dataset, rank(published.by_model, published.model_order)


def _read(name: str) -> pd.DataFrame:
    with resources.files("lightning_seg.report").joinpath("published", f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def _orders(orders: pd.DataFrame, table: str) -> dict[str, list[str]]:
    rows = orders[orders["table"] == table]
    return {row: order.split() for row, order in zip(rows["row"], rows["order"], strict=True)}
