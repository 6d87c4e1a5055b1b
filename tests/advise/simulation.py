"""Made-up studies of one dataset with a known truth, to hold the halving's stated error rate against."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightning_seg.advise.halving import Halving, Rule, follow

# Fig. 2A: differences to the best loss in Dice; that of iou_dice is the mean of its cells in Fig. 2B.
PUBLISHED = {
    "dice_bce": 0.0,
    "iou_focal": -0.0002,
    "bce": -0.0003,
    "iou": -0.0009,
    "dice": -0.0009,
    "iou_bce": -0.0009,
    "iou_dice": -0.0012,
    "bce_focal": -0.0016,
    "dice_focal": -0.0030,
    "focal": -0.0255,
}
EQUAL = dict.fromkeys(PUBLISHED, 0.0)
# As on a harder dataset, or after few epochs: some losses are far behind.
SPREAD = EQUAL | {"iou": -0.01, "bce_focal": -0.02, "bce": -0.03, "dice_focal": -0.04, "focal": -0.06}

Noise = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return rng.standard_normal(shape)


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Student's t with 3 degrees of freedom, of variance 1."""
    return rng.standard_t(3, shape) / np.sqrt(3)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Few runs that are much worse."""
    return 1 - rng.standard_exponential(shape)


def collapsing(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """One run in twenty loses 15 standard deviations, whatever its loss."""
    return rng.standard_normal(shape) - 15.0 * (rng.random(shape) < 0.05)


@dataclass(frozen=True)
class Truth:
    """How the Dice of a run comes about.

    The published cells, each a mean of 30 or 60 runs, scatter by 0.21 to 0.33 Dice points around what dataset (or
    model) and loss add up to, without Focal: that is at most 1.6 to 1.8 points for a single run.

    Attributes:
        effects: of each loss.
        model_sd: of the models' levels.
        split_sd: of what all runs of a repeat share.
        image_sd: how much the images of a test set favour one loss, for all models.
        overlap: correlation of that between repeats, because they re-split the same images: the test images' share of
            those that are trained or tested on, at most (Nadeau & Bengio).
        run_sd: of a single run.
        noise: distribution of the last two.
        noisiness: factor on both for some losses.
    """

    effects: dict[str, float] = field(default_factory=lambda: PUBLISHED)
    model_sd: float = 0.03
    split_sd: float = 0.015
    image_sd: float = 0.010
    overlap: float = 0.25
    run_sd: float = 0.012
    noise: Noise = normal
    noisiness: dict[str, float] = field(default_factory=dict)

    def draw(self, rng: np.random.Generator, models: int, repeats: int) -> pd.Series:
        """Dice of a complete study by (loss, repeat, model)."""
        losses = list(self.effects)
        common, changing = (
            draw(rng, (n, 1, len(losses))) * share**0.5
            for draw, n, share in ((normal, 1, self.overlap), (self.noise, repeats, 1 - self.overlap))
        )
        single = self.noise(rng, (repeats, models, len(losses)))
        factors = np.array([self.noisiness.get(loss, 1.0) for loss in losses])
        dice = 0.8 + np.array(list(self.effects.values()))
        dice = dice + factors * (self.image_sd * (common + changing) + self.run_sd * single)
        dice = dice + rng.normal(0, self.model_sd, (1, models, 1)) + rng.normal(0, self.split_sd, (repeats, 1, 1))
        index = pd.MultiIndex.from_product([range(repeats), range(models), losses], names=["repeat", "model", "loss"])
        return pd.Series(dice.ravel(), index).reorder_levels(["loss", "repeat", "model"])


@dataclass(frozen=True)
class Outcome:
    """What became of many studies.

    Attributes:
        errors: share in which the best loss was dropped, or the gap did not hold.
        runs: mean share of the runs that the full grid would take.
        dropped: for each loss, the share in which it was dropped.
        left: mean number of losses left.
    """

    errors: float
    runs: float
    dropped: dict[str, float]
    left: float


def simulate(truth: Truth, models: int, studies: int, seed: int = 0, rule: Rule | None = None) -> Outcome:
    """Draw complete studies, and let the halving look at as much of each as it asks for.

    Losses that share the highest effect stand for one: the first of them is slightly better.
    """
    rule = rule or Rule()
    rng = np.random.default_rng(seed)
    losses = list(truth.effects)
    best = max(losses, key=lambda loss: truth.effects[loss])
    ends = [follow(truth.draw(rng, models, rule.looks[-1]), losses, list(range(models)), rule) for _ in range(studies)]
    full = len(losses) * rule.looks[-1]
    return Outcome(
        errors=float(np.mean([_errs(end, truth, best) for end in ends])),
        runs=float(np.mean([runs_of(end) for end in ends])) / full,
        dropped={loss: float(np.mean([loss not in end.left for end in ends])) for loss in losses},
        left=float(np.mean([len(end.left) for end in ends])),
    )


def runs_of(end: Halving) -> int:
    """Runs of one model that led to an end."""
    return sum(gone.repeats for gone in end.dropped) + end.repeats * len(end.left)


def _errs(end: Halving, truth: Truth, best: str) -> bool:
    behind = truth.effects[best] - truth.effects[end.left[0]]
    return best not in end.left or behind > (end.gap or 0.0)
