"""Intervals and rank stability by a bootstrap over blocks, repeats and images, paired across losses.

What losses share (the difficulty of a block, a split, an image) is no part of a comparison: a draw resamples the
*contrasts* of every loss to the mean of the compared losses. Plain resampling at every level would count the lower
levels' noise twice, since block means carry it already; deviations of a level are therefore shrunk by the share of
their variance that comes from below (Davison & Hinkley, Bootstrap Methods, 1997, section 3.8), so that the variance of
a drawn mean is that of the estimate. With too few blocks (``statistics.fewest_blocks``) these are held fixed, and all
that varies in a run is widened as Nadeau and Bengio's test widens it (``statistics.pairwise_repeats``).

The absolute mean of a loss also depends on which datasets and models were taken. Its interval resamples the two, each
with replacement (Owen's pigeonhole bootstrap), where there are ``FEWEST_LEVELS`` of each; with fewer these datasets and
models are held fixed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from scipy import stats

from lightning_seg.report.ranking import points
from lightning_seg.report.statistics import TEST_TO_TRAIN, fewest_blocks

DRAWS = 10_000
# Datasets, and models, from which on an interval speaks of others like them.
FEWEST_LEVELS = 5
_CHUNK = 500
# Resampled image means of a run that draws choose from.
_IMAGE_POOL = 200


@dataclass
class Bootstrap:
    """Draws of the study.

    Attributes:
        losses: column names.
        means: mean of every loss, (losses,).
        contrasts: draws of each loss's mean minus the mean of all compared losses, (draws, losses).
        level: draws of the mean of all compared losses, (draws,).
        stability: one row a loss: share of draws in which it is first, and among the first three, by the overall mean
            ("mean"), and by the 3/2/1 score over datasets and over models; ties share a place's draw.
        units: number of resampled units, for the small-sample width of intervals.
        level_units: the same for the level.
    """

    losses: list[str]
    means: np.ndarray
    contrasts: np.ndarray
    level: np.ndarray
    stability: pd.DataFrame
    units: int
    level_units: int

    def intervals(self) -> pd.DataFrame:
        """Per loss: mean with low and high; contrast to the mean of all losses; difference to the best loss."""
        best = int(np.argmax(self.means))
        rows = {}
        for n, loss in enumerate(self.losses):
            contrast = self.contrasts[:, n]
            rows[loss] = (
                self.means[n],
                *interval(self.level + contrast, self.level_units),
                self.means[n] - self.means.mean(),
                *interval(contrast, self.units),
                self.means[n] - self.means[best],
                *(interval(contrast - self.contrasts[:, best], self.units) if n != best else (0.0, 0.0)),
            )
        names = [f"{part}{end}" for part in ("mean", "contrast", "to_best") for end in ("", "_low", "_high")]
        return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def interval(draws: np.ndarray, units: int) -> tuple[float, float]:
    """95 % percentile interval, widened for few units (Hesterberg, American Statistician 69, 2015, section 3.2.1)."""
    if units < 2:
        return float("nan"), float("nan")
    tail = stats.norm.cdf(-sqrt(units / (units - 1)) * stats.t.ppf(0.975, units - 1))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap(
    pairs: pd.DataFrame,
    images: Mapping[tuple[str, str, int], np.ndarray] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    test_to_train: float = TEST_TO_TRAIN,
) -> Bootstrap:
    """Resample a study.

    Args:
        pairs: (dataset, model, repeat) x losses, mean Dice of runs.
        images: Dice of the test images of a pair, (images, losses); pairs without are taken as they are. None where
            all repeats are tested on the same images, which then are no part of what varies from repeat to repeat.
        draws: number of draws.
        seed: of the generator.
        test_to_train: test images over training images, mean over blocks; 0 where the repeats are no re-splits.
    """
    rng = np.random.default_rng(seed)
    pairs = pairs.sort_index()
    design = _Design(pairs, images or {}, rng, test_to_train)
    tallies = {name: _Tally(pairs.shape[1]) for name in ("mean", "dataset score", "model score")}
    contrasts = []
    for chosen, values in design.draw(draws, rng):
        mean = values.mean(axis=1)
        contrasts.append(mean)
        tallies["mean"].add(mean)
        for name, codes in (("dataset score", design.datasets), ("model score", design.models)):
            tallies[name].add(_scores(values, codes[chosen]))
    stability = pd.concat({name: tally.table(list(pairs.columns)) for name, tally in tallies.items()}, axis=1)
    level, level_units = _draw_level(pairs, draws, rng, test_to_train)
    return Bootstrap(
        losses=list(pairs.columns),
        means=pairs.groupby(level=["dataset", "model"], observed=True).mean().mean().to_numpy(),
        contrasts=np.concatenate(contrasts),
        level=level,
        stability=stability,
        units=design.units,
        level_units=level_units,
    )


def bootstrap_rows(rows: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> Bootstrap:
    """Resample the rows of a table (rows x losses) of which no repeats are known, such as a published one."""
    index = pd.MultiIndex.from_arrays(
        [rows.index, ["all"] * len(rows), [0] * len(rows)], names=["dataset", "model", "repeat"]
    )
    return bootstrap(rows.set_axis(index), draws=draws, seed=seed)


class _Design:
    """Contrasts of a study, taken apart into grand mean, block, repeat and image deviations, each already shrunk."""

    def __init__(
        self,
        pairs: pd.DataFrame,
        images: Mapping[tuple[str, str, int], np.ndarray],
        rng: np.random.Generator,
        test_to_train: float,
    ) -> None:
        contrast = pairs.sub(pairs.mean(axis=1), axis=0)
        groups = contrast.groupby(level=["dataset", "model"], observed=True, sort=True)
        blocks = groups.mean()
        self.repeats = groups.size().to_numpy()
        self.first = np.concatenate([[0], np.cumsum(self.repeats)[:-1]])
        self.datasets = pd.factorize(blocks.index.get_level_values("dataset"))[0]
        self.models = pd.factorize(blocks.index.get_level_values("model"))[0]
        # A table without repeats has nothing but its rows to resample.
        self.resample_blocks = len(blocks) >= fewest_blocks(pairs.shape[1]) or len(blocks) == len(pairs) > 1
        within_df = int((self.repeats - 1).sum())
        self.units = len(blocks) if self.resample_blocks else (within_df + 1 if within_df else 0)

        deviation = (contrast - groups.transform("mean")).to_numpy()
        within = (deviation**2).sum(axis=0) / max(within_df, 1)
        self.pool, noise = _image_pool(pairs, images, rng)
        # Drawn for the runs of every block, also of one that has a single repeat and so no deviation of its own; their
        # mean square is made that of ``within``.
        self.repeat_part = deviation * sqrt(len(pairs) / max(within_df, 1)) * _kept(within, noise)
        # Fixed blocks: the repeats re-split the same images and vary less than fresh data would.
        self.widening = np.sqrt(1 + (0.0 if self.resample_blocks else test_to_train) * self.repeats)

        grand = blocks.to_numpy().mean(axis=0)
        if self.resample_blocks:
            between = blocks.to_numpy().var(axis=0, ddof=1)
            n = len(blocks)
            scale = _kept(between, np.maximum(within, noise) * np.mean(1 / self.repeats)) * sqrt(n / (n - 1))
            self.block_part = grand + (blocks.to_numpy() - grand) * scale
        else:
            self.block_part = blocks.to_numpy()

    def draw(self, draws: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Chunks of drawn blocks, (draws, blocks), and their contrasts, (draws, blocks, losses)."""
        blocks, most = len(self.repeats), int(self.repeats.max())
        for start in range(0, draws, _CHUNK):
            size = min(_CHUNK, draws - start)
            if self.resample_blocks:
                chosen = rng.integers(0, blocks, (size, blocks))
            else:
                chosen = np.broadcast_to(np.arange(blocks), (size, blocks))
            values = self.block_part[chosen]
            counts = self.repeats[chosen]
            for slot in range(most):
                weight = (slot < counts) / counts * self.widening[chosen]
                part = self.repeat_part[rng.integers(0, len(self.repeat_part), counts.shape)]
                if self.pool is not None:
                    run = self.first[chosen] + (rng.random(counts.shape) * counts).astype(np.intp)
                    part = part + self.pool[run, rng.integers(0, _IMAGE_POOL, run.shape)]
                values += weight[..., None] * part
            yield chosen, values


def _kept(total: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Factor on deviations that takes the variance of the levels below out of theirs."""
    return np.sqrt(np.clip(1 - below / np.maximum(total, 1e-300), 0, None))


def _image_pool(
    pairs: pd.DataFrame, images: Mapping[tuple[str, str, int], np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray | None, np.ndarray]:
    """Resampled deviations of run contrasts by their test images, (pairs, pool, losses), and their mean variance."""
    losses = pairs.shape[1]
    if not images:
        return None, np.zeros(losses)
    pool = np.zeros((len(pairs), _IMAGE_POOL, losses), dtype=np.float32)
    variance = np.zeros(losses)
    weights: dict[int, np.ndarray] = {}
    for n, key in enumerate(pairs.index):
        dice = images.get(key)
        if dice is None or len(dice) < 2:
            continue
        count = len(dice)
        contrast = dice - dice.mean(axis=1, keepdims=True)
        contrast = contrast - contrast.mean(axis=0)
        if count not in weights:
            weights[count] = rng.multinomial(count, np.full(count, 1 / count), size=_IMAGE_POOL) / count
        pool[n] = weights[count] @ contrast * sqrt(count / (count - 1))
        variance += contrast.var(axis=0, ddof=1) / count
    return pool, variance / len(pairs)


def _draw_level(
    pairs: pd.DataFrame, draws: int, rng: np.random.Generator, test_to_train: float
) -> tuple[np.ndarray, int]:
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
    """3/2/1 scores of draws, (draws, losses): rows are the means of the drawn blocks of each code."""
    score = np.zeros((values.shape[0], values.shape[2]))
    for code in range(int(codes.max()) + 1):
        member = codes == code
        count = member.sum(axis=1)
        row = np.einsum("db,dbl->dl", member, values) / np.maximum(count, 1)[:, None]
        score += np.where(count[:, None] > 0, points(row), 0.0)
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
