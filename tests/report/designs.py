"""Made-up studies whose truth is known, to hold the verdict's certainty against: many at a time.

Dice of dataset d, model m, repeat r, loss l is

    .8 + dataset + model + dataset x model
       + effect(l) + loss x dataset + loss x model + loss x dataset x model
       + split of (d, r), shared by all + loss x split of (d, r), shared by all models + run

The share of a split that favours a loss is common to its models, since they train and are tested on the same images.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lightning_seg.report.contrasts import ALPHA, TEST_TO_TRAIN, Array, Components, Contrasts, Scope, components_of

RUN_SD = 0.012


@dataclass(frozen=True)
class Design:
    """A study's size, and how its Dice come about; standard deviations in Dice (0-1).

    Attributes:
        better: how much better the first loss is.
        by_dataset, by_model, by_block: loss x dataset, loss x model, loss x dataset x model.
        by_split: loss x split, shared by all models.
        noise: of a run: "normal", "t" (2.2 degrees of freedom, over 3) or "skewed" (1.33 - exponential ** 1.5).
        noisiness: run noise of the first and last loss, in between evenly spread.
        collapse: share of runs that end with a Dice of 0 to .15.
        missing: share of runs that are missing, and with them the repeat for all losses.
        lost_models: whether each dataset lacks a third of the models, others than the next one.
        copies: whether the last two datasets are near copies: they share what their splits and images favour.
    """

    datasets: int = 6
    models: int = 12
    repeats: int = 5
    losses: int = 10
    better: float = 0.0
    by_dataset: float = 0.0
    by_model: float = 0.0
    by_block: float = 0.004
    by_split: float = 0.0
    noise: str = "normal"
    noisiness: tuple[float, float] = (1.0, 1.0)
    collapse: float = 0.0
    missing: float = 0.0
    lost_models: bool = False
    copies: bool = False

    def index(self) -> pd.MultiIndex:
        """Rows of a complete study."""
        names = [f"d{n}" for n in range(self.datasets)], [f"m{n:02d}" for n in range(self.models)]
        return pd.MultiIndex.from_product([*names, range(self.repeats)], names=["dataset", "model", "repeat"])

    def draw(self, studies: int, rng: np.random.Generator) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
        """Draw studies.

        Returns:
            Dice, (studies, datasets, models, repeats, losses); what is true of a block beyond its own interaction, and
            what of that is true for all models, (studies, datasets, models, losses); and which rows are there,
            (studies, datasets, models, repeats).
        """
        d, m, r, k = self.datasets, self.models, self.repeats, self.losses

        def normal(sd: float, *shape: int) -> Array:
            return rng.normal(0, sd, (studies, *shape)) if sd else np.zeros((studies, *shape))

        effect = np.zeros(k)
        effect[0] = self.better
        favour, split = normal(self.by_dataset, d, 1, k), normal(self.by_split, d, 1, r, k)
        if self.copies:
            favour[:, -1], split[:, -1] = favour[:, -2], split[:, -2]
        for_all = np.broadcast_to(effect + favour, (studies, d, m, k))
        truth = for_all + normal(self.by_model, 1, m, k)
        level = 0.8 + normal(0.06, d, 1, 1, 1) + normal(0.03, 1, m, 1, 1) + normal(0.01, d, m, 1, 1)
        dice = level + (truth + normal(self.by_block, d, m, k))[:, :, :, None] + split + normal(0.01, d, 1, r, 1)
        dice = dice + RUN_SD * np.linspace(*self.noisiness, k) * self._runs((studies, d, m, r, k), rng)
        if self.collapse:
            collapsed = rng.random(dice.shape) < self.collapse
            dice = np.where(collapsed, rng.uniform(0, 0.15, dice.shape), dice)
        there = ~(rng.random(dice.shape) < self.missing).any(axis=-1)
        if self.lost_models:
            for n in range(d):
                lost = [(n + 3 * step) % m for step in range(m // 3)]
                there[:, n, lost] = False
        return dice, truth, for_all, there

    def _runs(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if self.noise == "t":
            return rng.standard_t(2.2, shape) / 3
        if self.noise == "skewed":
            return 1.33 - rng.exponential(size=shape) ** 1.5
        return rng.standard_normal(shape)

    def studies(
        self, count: int, seed: int = 0, test_to_train: float = TEST_TO_TRAIN
    ) -> Iterator[tuple[Components, dict[Scope, Array]]]:
        """Analysed studies, each with the losses' true means in every scope, (losses,)."""
        rng = np.random.default_rng([seed, self.datasets, self.models, self.repeats])
        codes = [code.ravel() for code in np.indices((self.datasets, self.models, self.repeats))]
        names = [f"l{n}" for n in range(self.losses)]
        for start in range(0, count, 50):
            for values, true, for_all, rows in zip(*self.draw(min(50, count - start), rng), strict=True):
                used = rows.ravel()
                parts = components_of(
                    values.reshape(-1, self.losses)[used], *(code[used] for code in codes), names, test_to_train
                )
                cells = rows.any(axis=-1)
                effect = np.eye(self.losses)[0] * self.better
                truths = {Scope.HERE: true[cells].mean(axis=0), Scope.MODELS: for_all[cells].mean(axis=0)}
                yield parts, truths | {Scope.DATASETS: effect}


@dataclass
class Rates:
    """Shares of studies, by scope.

    Attributes:
        false: a loss is called worse than another that it is no worse than.
        winner: a winner is named.
        found: of the pairs of the better loss, how many are told.
        first: the better loss is told from every other.
        covered: of the 95 % intervals of a loss's difference to the mean of all.
        together: all pairs' intervals hold at once.
    """

    false: dict[Scope, float] = field(default_factory=dict)
    winner: float = 0.0
    found: float = 0.0
    first: float = 0.0
    covered: dict[Scope, float] = field(default_factory=dict)
    together: float = 0.0


def rates(design: Design, studies: int, seed: int = 0, test_to_train: float = TEST_TO_TRAIN) -> Rates:
    """Judge made-up studies and count."""
    counts: dict[tuple[str, Scope], list[float]] = {}

    def note(kind: str, scope: Scope, value: float) -> None:
        counts.setdefault((kind, scope), []).append(value)

    for parts, truths in design.studies(studies, seed, test_to_train):
        here, own = parts.here(), truths[Scope.HERE]
        told = told_by(here)
        for scope in Scope:
            found = here if scope is Scope.HERE else parts.contrasts(scope)
            if found is None:
                continue
            truth = truths[scope]
            claims = told & told_by(found) if told.any() else told
            note("false", scope, float((claims & (truth[:, None] - truth[None, :] <= 0)).any()))
            table = found.intervals()
            centred = truth - truth.mean()
            low, high = table["contrast_low"].to_numpy(), table["contrast_high"].to_numpy()
            note("covered", scope, float(np.mean((low <= centred) & (centred <= high))))
        error = np.abs((here.means - own)[:, None] - (here.means - own)[None, :])
        note("together", Scope.HERE, float((error <= here.margins + 1e-12).all()))
        note("winner", Scope.HERE, float((told.sum(axis=1) == design.losses - 1).any()))
        note("found", Scope.HERE, float(told[0, 1:].mean()))
        note("first", Scope.HERE, float(told[0, 1:].all()))
    means = {key: float(np.mean(values)) for key, values in counts.items()}
    by_scope = {kind: {s: v for (k, s), v in means.items() if k == kind} for kind in ("false", "covered")}
    return Rates(
        false=by_scope["false"],
        covered=by_scope["covered"],
        **{kind: means[kind, Scope.HERE] for kind in ("winner", "found", "first", "together")},
    )


def told_by(found: Contrasts) -> NDArray[np.bool_]:
    """Which loss (row) is told to be better than which (column)."""
    return found.means[:, None] - found.means[None, :] > found.margins + 1e-12


def block_anova(design: Design, studies: int, seed: int = 0) -> tuple[float, float, float]:
    """The classical test beside it: a two-way analysis of variance of blocks x losses, and Tukey's test.

    It is valid where a split favours no loss.

    Returns:
        shares of studies in which a pair is told, of the better loss's pairs that are, and in which all are.
    """
    rows, limits = [], {}
    for parts, _ in design.studies(studies, seed):
        count, losses = parts.blocks.shape
        rest = parts.blocks - parts.blocks.mean(axis=0)
        df = (count - 1) * (losses - 1)
        error = np.sqrt((rest**2).sum() / df / count)
        q = (parts.means[:, None] - parts.means[None, :]) / error
        if (losses, df) not in limits:
            limits[losses, df] = stats.studentized_range.isf(ALPHA, losses, df)
        told = q > limits[losses, df]
        rows.append((told.any(), told[0, 1:].mean(), told[0, 1:].all()))
    any_told, found, first = np.mean(rows, axis=0)
    return float(any_told), float(found), float(first)


def frame_of(design: Design, seed: int = 0) -> pd.DataFrame:
    """One complete study as a pairs table."""
    dice, _, _, there = design.draw(1, np.random.default_rng(seed))
    names = [f"l{n}" for n in range(design.losses)]
    return pd.DataFrame(dice[0].reshape(-1, design.losses), design.index(), names)[there[0].ravel()]
