"""Made-up studies with a known truth, to see whether the certainty that the report states is honest."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lightning_seg.report.answer import judge
from lightning_seg.report.bootstrap import FEWEST_LEVELS, bootstrap, interval
from tests.report.make_study import LOSSES, Truth, simulate


@dataclass
class Design:
    """Size of the made-up studies."""

    datasets: int = 6
    models: int = 12
    losses: int = 10
    repeats: int = 5
    images: int = 60
    lost: int = 0  # blocks of the grid that are not there, its last

    def study(
        self, seed: int, truth: Truth
    ) -> tuple[pd.DataFrame, dict[tuple[str, str, int], np.ndarray], pd.DataFrame]:
        """Pairs table, Dice of the images of every pair, and true block means."""
        names = [f"d{n}" for n in range(self.datasets)], [f"m{n}" for n in range(self.models)]
        losses = LOSSES[: self.losses]
        dice, cell = simulate(np.random.default_rng(seed), *names, losses, self.repeats, self.images, truth)
        index = pd.MultiIndex.from_product([*names, range(self.repeats)], names=["dataset", "model", "repeat"])
        blocks = pd.MultiIndex.from_product(names, names=["dataset", "model"])
        kept = len(blocks) - self.lost
        pairs = pd.DataFrame(dice.mean(-1).reshape(-1, self.losses), index=index, columns=losses)
        cells = pd.DataFrame(cell.reshape(-1, self.losses), index=blocks, columns=losses)
        flat = dice.reshape(-1, self.losses, self.images)
        images = {key: flat[n].T for n, key in enumerate(index[: kept * self.repeats])}
        return pairs[: kept * self.repeats], images, cells[:kept]


def false_winners(design: Design, studies: int, truth: Truth) -> tuple[float, float, float]:
    """Shares of studies with equal losses that name a winner, and that call any loss worse than the best.

    The third: that do so without saying that it holds on these datasets or models, since the losses depend on them.
    """
    verdicts = [judge(design.study(seed, truth)[0]) for seed in range(studies)]
    unlimited = [bool(verdict.worse) and not verdict.limits for verdict in verdicts]
    return (
        float(np.mean([verdict.winner is not None for verdict in verdicts])),
        float(np.mean([bool(verdict.worse) for verdict in verdicts])),
        float(np.mean(unlimited)),
    )


def interval_coverage(design: Design, studies: int, truth: Truth, draws: int = 1000) -> dict[str, float]:
    """Shares of 95 % intervals that hold the truth.

    "contrast": of a loss to the mean of all. "mean": of a loss over datasets and models like these. "difference": of a
    pair chosen beforehand.
    """
    effects = np.array([truth.effects.get(loss, 0.0) for loss in LOSSES[: design.losses]])
    hits: dict[str, list[float]] = {"contrast": [], "mean": [], "difference": []}
    for seed in range(studies):
        pairs, images, cells = design.study(seed, truth)
        drawn = bootstrap(pairs, images, draws, seed)
        table = drawn.intervals()
        true = effects if drawn.units == len(cells) else cells.mean().to_numpy()
        contrast = true - true.mean()
        hits["contrast"].append(np.mean((table["contrast_low"] <= contrast) & (contrast <= table["contrast_high"])))
        mean = 0.8 + effects if min(design.datasets, design.models) >= FEWEST_LEVELS else cells.mean().to_numpy()
        hits["mean"].append(np.mean((table["mean_low"] <= mean) & (mean <= table["mean_high"])))
        low, high = interval(drawn.contrasts[:, 0] - drawn.contrasts[:, 1], drawn.units)
        hits["difference"].append(float(low <= true[0] - true[1] <= high))
    return {name: float(np.mean(values)) for name, values in hits.items()}


def share_found(design: Design, studies: int, truth: Truth, planted: str) -> tuple[float, float]:
    """Plant the detectable difference that equal losses would state, and count how often it is found.

    Returns:
        mean stated difference, and the share of (study, other loss) in which the planted loss is told to differ.
    """
    stated = np.mean([judge(design.study(seed, truth)[0]).resolution.detectable for seed in range(20)])
    found = []
    for seed in range(studies):
        effects = {**truth.effects, planted: -float(stated)}
        verdict = judge(design.study(1000 + seed, Truth(**{**truth.__dict__, "effects": effects}))[0])
        pairs = verdict.pairs
        found.append(np.mean(pairs.loc[(pairs["a"] == planted) | (pairs["b"] == planted), "p_holm"] < 0.05))
    return float(stated), float(np.mean(found))
