"""What a design can see: the difference that it would tell, and what more datasets, models or repeats would add."""

from dataclasses import dataclass
from functools import lru_cache
from math import inf, isfinite, sqrt

import numpy as np
from scipy import optimize
from scipy.special import nctdtr

from lightning_seg.report.contrasts import ALPHA, FEWEST_LEVELS, TEST_TO_TRAIN, Components, Contrasts, Scope, Term
from lightning_seg.report.studentized import critical_t

POWER = 0.8


@dataclass(frozen=True)
class Power:
    """What a design can see in its own datasets and models. Differences are those of a typical (median) pair of losses.

    Attributes:
        losses, datasets, models, repeats: its size; models and repeats are means.
        block, split, run: variance of a loss's contrast from block to block, from split to split for all models alike,
            and from run to run.
        width: variance of the typical pair over that of the mean pair.
        detectable: difference told with 80 % power after adjusting for all pairs; inf where none can be.
        test_to_train: test images over training images; 0 where repeats do not re-split the same images.
    """

    losses: int
    datasets: int
    models: float
    repeats: float
    block: float
    split: float
    run: float
    width: float
    detectable: float
    test_to_train: float = TEST_TO_TRAIN

    def at(self, datasets: int | None = None, models: float | None = None, repeats: float | None = None) -> float:
        """Detectable difference of another design, with the same noise."""
        design = self._contrasts(datasets or self.datasets, models or self.models, repeats or self.repeats)
        return _detectable(design, self.width) if design else inf

    def repeats_for(self, difference: float, most: int = 100) -> int | None:
        """Fewest repeats with which ``difference`` is found; None where ``most`` do not do."""
        return next((r for r in range(2, most + 1) if self.at(repeats=r) <= difference), None)

    def models_for(self, difference: float, most: int = 40) -> int | None:
        """Fewest models, at the same repeats, with which ``difference`` is found; None where ``most`` do not do."""
        least = max(1, round(self.models))
        return next((m for m in range(least, most + 1) if self.at(models=m) <= difference), None)

    def datasets_for(self, difference: float, most: int = 100) -> int | None:
        """Fewest datasets, at the same models and repeats; None where ``most`` do not do."""
        return next((d for d in range(self.datasets, most + 1) if self.at(datasets=d) <= difference), None)

    def _contrasts(self, datasets: int, models: float, repeats: float) -> Contrasts | None:
        """Of a balanced design in which every mean square has its expected size."""
        losses, blocks = self.losses, max(1, round(datasets * models))
        per_split = blocks / datasets
        seen = per_split > 1 and repeats > 1
        if repeats <= 1 and blocks == 1:
            return None
        between = (datasets - 1) * per_split / repeats / (blocks - 1) if blocks > 1 else 0.0
        split, run = (self.split, self.run) if per_split > 1 else (0.0, self.split + self.run)
        spread = self.block + run / repeats + between * split
        unit = np.eye(losses) - 1 / losses  # of size 1
        parts = Components(
            losses=[str(n) for n in range(losses)],
            blocks=np.zeros((blocks, losses)),
            means=np.zeros(losses),
            dataset=np.arange(blocks) % datasets,
            model=np.arange(blocks) // datasets,
            family=np.arange(blocks) % datasets,
            repeats=1 / repeats,
            split=split * unit,
            split_df=datasets * (repeats - 1) if seen else 0.0,
            run=run * unit,
            run_df=(blocks - datasets if seen else blocks) * (repeats - 1),
            split_weight=1 / (datasets * repeats),
            split_between=between,
            models=per_split,
            test_to_train=self.test_to_train,
        )
        if per_split > 1 and repeats <= 1:  # see Components: datasets are the units
            if datasets < FEWEST_LEVELS:
                return None
            whole = self.block / blocks + split / datasets + run / blocks
            return Contrasts(
                Scope.HERE, "dataset", datasets, parts.losses, parts.means, (Term(whole * unit, datasets - 1),)
            )
        return parts.here(spread * unit)


def power_of(parts: Components, found: Contrasts) -> Power:
    """What a study can see, from its own noise.

    Args:
        parts: its noise.
        found: its differences in its own datasets and models.
    """
    losses = len(parts.losses)
    count, datasets = len(parts.blocks), len(np.unique(parts.dataset))
    split, run = (float(np.trace(part)) / max(losses - 1, 1) for part in (parts.split, parts.run))
    spread = float((parts.blocks**2).sum()) / max(losses - 1, 1)
    if count > 1:
        spread = float(((parts.blocks - parts.blocks.mean(axis=0)) ** 2).sum()) / (count - 1) / max(losses - 1, 1)
    block = max(0.0, spread - run * parts.repeats - split * parts.split_between) if count > 1 else 0.0
    pairs = found.variances[np.triu_indices(losses, 1)]
    width = float(np.median(pairs)) / (2 * found.size) if found.size > 0 and len(pairs) else 1.0
    return Power(
        losses=losses,
        datasets=datasets,
        models=count / max(datasets, 1),
        repeats=1 / parts.repeats,
        block=block,
        split=max(split, 0.0),
        run=run,
        width=width,
        detectable=_detectable(found, width) if losses > 1 else inf,
        test_to_train=parts.test_to_train,
    )


def _detectable(found: Contrasts, width: float) -> float:
    if len(found.losses) < 2 or found.pair_df < 1:
        return inf
    if found.size <= 0:
        return 0.0
    shift = _shift(round(found.pair_df, 1), len(found.losses), round(found.own_share, 2))
    return sqrt(2 * found.size * width) * shift


@lru_cache(maxsize=4096)
def _shift(df: float, losses: int, own: float) -> float:
    """Shift of a difference, in its standard errors, that is told with 80 % power."""
    critical = critical_t(ALPHA, losses, df, own)
    if not isfinite(critical):
        return inf
    return float(optimize.brentq(lambda shift: 1 - nctdtr(df, shift, critical) - POWER, 0.0, 2 * critical + 20))
