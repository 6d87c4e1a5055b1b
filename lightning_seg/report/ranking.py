"""The paper's tables from blocks: means with equal weights, and the 3/2/1 ranking score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

POINTS = (3.0, 2.0, 1.0)


@dataclass
class Ranking:
    """A row x loss table with its score.

    Attributes:
        means: rows (datasets or models) x losses, unrounded.
        places: place of every loss in its row, 1 is best; ties share the better place.
        score: points of every loss, 3/2/1 for the first three of each row.
        ties: sentences on places that losses share.
        title: of what the means are.
    """

    means: pd.DataFrame
    places: pd.DataFrame
    score: pd.Series
    ties: list[str]
    title: str = "Dice"

    @property
    def order(self) -> list[str]:
        """Losses by score, then by mean over the rows, then by name."""
        mean = self.means.mean()
        return sorted(self.means.columns, key=lambda loss: (-self.score[loss], -mean[loss], loss))


def table_by(blocks: pd.DataFrame, level: str) -> pd.DataFrame:
    """Mean over the other level of blocks: level "dataset" gives Fig. 2B, "model" gives Fig. 2C."""
    return blocks.groupby(level=level, sort=True, observed=True).mean()


def overall(pairs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Metric x loss: mean over blocks, each of which is the mean of its paired repeats (Fig. 2A)."""
    means = {
        metric: table.groupby(level=["dataset", "model"], observed=True).mean().mean()
        for metric, table in pairs.items()
    }
    return pd.DataFrame(means).T


def metric_places(means: pd.DataFrame) -> pd.DataFrame:
    """Place of every loss in each metric whose means are all known, 1 is best; ties share the better place.

    Args:
        means: metric x loss.
    """
    return means.dropna().rank(axis=1, ascending=False, method="min").astype(int)


def points(values: np.ndarray) -> np.ndarray:
    """3/2/1 points along the last axis; losses with equal values share the points of the places that they take.

    Args:
        values: (..., losses), larger is better.

    Returns:
        points of the same shape; they sum to 6 where there are three losses or more.
    """
    values = np.asarray(values, dtype=float)
    better = (values[..., None, :] > values[..., :, None]).sum(axis=-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(axis=-1)
    ladder = np.zeros(values.shape[-1] + 1)
    given = POINTS[: values.shape[-1]]
    ladder[1 : len(given) + 1] = given
    cumulative = np.cumsum(ladder)
    return (cumulative[better + equal] - cumulative[better]) / equal


def rank(means: pd.DataFrame, tie_order: Mapping[str, Sequence[str]] | None = None, title: str = "Dice") -> Ranking:
    """Score a table by 3/2/1 points for the first three of every row.

    Args:
        means: rows x losses, unrounded where they can be had.
        tie_order: row -> losses whose equal values are known to have been in this order before rounding.
        title: of what the means are.
    """
    score = pd.Series(0.0, index=means.columns)
    ties = []
    places = pd.DataFrame(0, index=means.index, columns=means.columns)
    for name, row in means.iterrows():
        values = row.to_numpy(dtype=float)
        order = list((tie_order or {}).get(str(name), ()))
        # A known order is a fraction of the last printed digit: it parts equal cells and swaps no others.
        values = values + [1e-9 * (len(order) - order.index(loss)) if loss in order else 0.0 for loss in means.columns]
        given = points(values)
        places.loc[name] = (values[None, :] > values[:, None]).sum(axis=1) + 1
        score += given
        ties += _tie_sentences(str(name), means.columns, values, given)
    return Ranking(means, places, score, ties, title)


def _tie_sentences(row: str, losses: pd.Index, values: np.ndarray, given: np.ndarray) -> list[str]:
    sentences = []
    for value in sorted(set(values[given > 0]), reverse=True):
        tied = [loss for loss, other in zip(losses, values, strict=True) if other == value]
        if len(tied) > 1:
            share = given[list(losses).index(tied[0])]
            sentences.append(f"{row}: {', '.join(tied)} tie and share their points ({share:g} each).")
    return sentences
