"""What the study might have said: draws of its means by the noise that the analysis has found.

A draw adds to every block what its dataset's splits favour and what the block's own runs do, of the size that the
analysis holds differences against (:mod:`lightning_seg.report.contrasts`): ranks are no steadier than the tests.

The absolute mean of a loss also depends on which datasets and models were taken. Its interval resamples the two, each
with replacement (Owen's pigeonhole bootstrap), where there are ``FEWEST_LEVELS`` of each; with fewer these datasets and
models are held fixed.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit

from lightning_seg.report.contrasts import TEST_TO_TRAIN, Array, Components, Contrasts, components
from lightning_seg.report.ranking import points

DRAWS = 10_000
# Datasets, and models, from which on the interval of a mean speaks of others like them.
FEWEST_LEVELS = 5
_CHUNK = 500


@dataclass
class Draws:
    """Draws of the study.

    Attributes:
        found: the differences in these datasets and models.
        contrasts: draws of each loss's mean minus the mean of all compared losses, (draws, losses).
        level: draws of the mean of all compared losses, (draws,).
        stability: one row a loss: share of draws in which it is first, and among the first three, by the overall mean
            ("mean"), and by the 3/2/1 score over datasets and over models; ties share a place's draw.
        level_units: number of resampled units of the level, for the small-sample width of its interval.
    """

    found: Contrasts
    contrasts: Array
    level: Array
    stability: pd.DataFrame
    level_units: int

    def intervals(self) -> pd.DataFrame:
        """Per loss: mean with low and high; contrast to the mean of all losses; difference to the best loss.

        ``shown_low`` and ``shown_high`` are the contrast's interval around the mean of all losses, as it is drawn.
        """
        table = self.found.intervals()
        ends = [interval(self.level + self.contrasts[:, n], self.level_units) for n in range(len(table))]
        table.insert(0, "mean", self.found.means)
        table.insert(1, "mean_low", [low for low, _ in ends])
        table.insert(2, "mean_high", [high for _, high in ends])
        for end in ("low", "high"):
            table[f"shown_{end}"] = table["mean"].mean() + table[f"contrast_{end}"]
        return table


def interval(draws: Array, units: int) -> tuple[float, float]:
    """95 % percentile interval, widened for few units (Hesterberg, American Statistician 69, 2015, section 3.2.1)."""
    if units < 2:
        return float("nan"), float("nan")
    tail = ndtr(-sqrt(units / (units - 1)) * stdtrit(units - 1, 0.975))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def draw(pairs: pd.DataFrame, draws: int = DRAWS, seed: int = 0, test_to_train: float = TEST_TO_TRAIN) -> Draws | None:
    """Draw a study again and again.

    Args:
        pairs: (dataset, model, repeat) x losses, mean Dice of runs.
        draws: number of draws.
        seed: of the generator.
        test_to_train: see :func:`lightning_seg.report.contrasts.components`.

    Returns:
        the draws; None where there is no noise to draw from.
    """
    parts = components(pairs, test_to_train)
    found = parts.here()
    if not found.tested:
        return None
    rng = np.random.default_rng(seed)
    shared, own = _roots(parts, found)
    tallies = {name: _Tally(pairs.shape[1]) for name in ("mean", "dataset score", "model score")}
    contrasts = []
    for start in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - start)
        datasets = rng.standard_normal((size, int(parts.dataset.max()) + 1, len(shared))) @ shared
        values = parts.blocks + datasets[:, parts.dataset] + rng.standard_normal((size, *parts.blocks.shape)) @ own
        mean = values.mean(axis=1)
        contrasts.append(mean)
        tallies["mean"].add(mean)
        for name, codes in (("dataset score", parts.dataset), ("model score", parts.model)):
            tallies[name].add(_scores(values, codes))
    names = found.losses
    stability = pd.concat({name: tally.table(names) for name, tally in tallies.items()}, axis=1)
    level, level_units = _draw_level(pairs, draws, rng, test_to_train)
    return Draws(found, np.concatenate(contrasts), level, stability, level_units)


def draw_rows(rows: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> Draws | None:
    """Draw a table (rows x losses) of which no repeats are known, such as a published one."""
    index = pd.MultiIndex.from_arrays(
        [rows.index, ["all"] * len(rows), [0] * len(rows)], names=["dataset", "model", "repeat"]
    )
    return draw(rows.set_axis(index), draws=draws, seed=seed)


def _roots(parts: Components, found: Contrasts) -> tuple[Array, Array]:
    """Square roots of the covariances of a dataset's and of a block's noise; their means vary as ``found`` does."""
    losses, count = len(found.losses), len(parts.blocks)
    centring = np.eye(losses) - 1 / losses
    variances = found.variances
    whole = -centring @ variances @ centring / 2
    weights = np.bincount(parts.dataset) / count
    shared = np.zeros_like(whole)
    if parts.split_df:
        shared = _positive(parts.split) * parts.split_weight
        shared *= min(1.0, np.trace(whole) / max(np.trace(shared), 1e-300))
    own = _positive(whole - shared)
    own *= max(np.trace(whole) - np.trace(shared), 0.0) / max(np.trace(own), 1e-300)
    return _root(shared / (weights**2).sum()), _root(own * count)


def _positive(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.clip(values, 0, None)) @ vectors.T


def _root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(np.clip(values, 0, None))).T


def _draw_level(pairs: pd.DataFrame, draws: int, rng: np.random.Generator, test_to_train: float) -> tuple[Array, int]:
    """Draws of the mean over all losses and blocks, and the number of units that they rest on."""
    level = pairs.mean(axis=1)
    table = level.groupby(level=["dataset", "model"], observed=True).mean().unstack("model")
    grand = float(np.nanmean(table.to_numpy()))
    rows, columns = table.shape
    if min(rows, columns) >= FEWEST_LEVELS and table.notna().all(axis=None):
        cells = table.to_numpy() - grand
        row_part, column_part = cells.mean(axis=1), cells.mean(axis=0)
        rest = cells - row_part[:, None] - column_part[None, :]
        picked_rows = rng.multinomial(rows, np.full(rows, 1 / rows), draws) / rows
        picked_columns = rng.multinomial(columns, np.full(columns, 1 / columns), draws) / columns
        # The rows' deviations carry the interaction's share already; it is resampled for its shape alone.
        drawn = picked_rows @ row_part * sqrt(rows / (rows - 1))
        drawn += picked_columns @ column_part * sqrt(columns / (columns - 1))
        drawn += np.einsum("dr,rc,dc->d", picked_rows, rest, picked_columns)
        return grand + drawn, min(rows, columns)
    if rows >= FEWEST_LEVELS and columns == 1 and len(level) == rows:
        cells = table.iloc[:, 0].to_numpy() - grand
        picked = rng.multinomial(rows, np.full(rows, 1 / rows), draws) / rows
        return grand + picked @ cells * sqrt(rows / (rows - 1)), rows
    # Too few datasets or models to speak of others: the splits of these are drawn, all models of a split together.
    splits = (
        (level - level.groupby(level=["dataset", "model"], observed=True).transform("mean"))
        .groupby(level=["dataset", "repeat"], observed=True)
        .mean()
    )
    drawn = np.full(draws, grand)
    sizes = splits.groupby(level="dataset", observed=True).size()
    for dataset, size in sizes.items():
        if size > 1:
            parts = splits.loc[[dataset]].to_numpy() * sqrt(size / (size - 1)) * sqrt(1 + test_to_train * size)
            drawn += rng.multinomial(size, np.full(size, 1 / size), draws) / size @ parts / len(sizes)
    df = int((sizes - 1).sum())
    return drawn, df + 1 if df else 0


def _scores(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """3/2/1 scores of draws, (draws, losses): rows are the means of the blocks of each code."""
    score = np.zeros((values.shape[0], values.shape[2]))
    for code in range(int(codes.max()) + 1):
        score += points(values[:, codes == code].mean(axis=1))
    return score


class _Tally:
    """Counts how often each loss is first, and among the first three; equal losses share."""

    def __init__(self, losses: int) -> None:
        self.first = np.zeros(losses)
        self.three = np.zeros(losses)
        self.draws = 0

    def add(self, values: np.ndarray) -> None:
        better = (values[:, None, :] > values[:, :, None]).sum(axis=-1)
        equal = (values[:, None, :] == values[:, :, None]).sum(axis=-1)
        self.first += ((better == 0) / equal).sum(axis=0)
        self.three += np.clip((3 - better) / equal, 0, 1).sum(axis=0)
        self.draws += len(values)

    def table(self, losses: list[str]) -> pd.DataFrame:
        shares = np.column_stack([self.first, self.three]) / max(self.draws, 1)
        return pd.DataFrame(shares, index=losses, columns=["first", "first three"])
