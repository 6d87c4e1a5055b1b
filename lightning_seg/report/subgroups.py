"""For whom: whether losses differ on a part of the images, and whether they differ there otherwise than on the rest.

It is the verdict's own analysis (:mod:`lightning_seg.report.contrasts`), of other means: of each run the mean over a
subgroup's test images, and for the interaction of loss and subgroup the difference of that mean to the mean over the
rest (:mod:`lightning_seg.report.image_contrasts`). Tukey's p-values of all pairs are multiplied by the number of
subgroups that are looked at (Bonferroni), over all divisions of the images at once. A subgroup is spoken of only where
its interaction is told: differences that are the same everywhere are the verdict's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd

from lightning_seg.catalogue import loss_name
from lightning_seg.report.answer import join
from lightning_seg.report.contrasts import ALPHA, TEST_TO_TRAIN, Array, Contrasts
from lightning_seg.report.groups import Grouping, Level
from lightning_seg.report.image_contrasts import ImageTable
from lightning_seg.report.studentized import critical_range
from lightning_seg.wording import fixed


@dataclass(frozen=True)
class Subgroup:
    """The losses on a part of the images.

    Attributes:
        level: which part.
        here: the losses' means on it, and their differences.
        beside: by how much more they differ on it than on the rest; None where no run has images of both.
        looked_at: subgroups, and interactions, that are tested at once.
    """

    level: Level
    here: Contrasts
    beside: Contrasts | None
    looked_at: tuple[int, int]

    @property
    def order(self) -> list[str]:
        """Losses, best mean first."""
        return [self.here.losses[n] for n in np.argsort(-self.here.means, kind="stable")]

    @property
    def p(self) -> Array:
        """Of every pair on this subgroup, adjusted for all pairs and all subgroups, (losses, losses)."""
        return np.minimum(self.here.p_adjusted * self.looked_at[0], 1)

    @property
    def margins(self) -> Array:
        """Half-width of the 95 % intervals of all differences in all subgroups at once, (losses, losses)."""
        if not self.here.tested:
            return self.here.margins
        critical = critical_range(ALPHA / self.looked_at[0], len(self.here.losses), self.here.pair_df)
        return critical / sqrt(2) * np.sqrt(self.here.variances)

    @property
    def p_interaction(self) -> float:
        """Of the pair whose difference changes most surely, adjusted likewise; 1 where nothing can be tested."""
        if self.beside is None or not self.beside.tested:
            return 1.0
        return float(min(self.beside.p_adjusted.min() * self.looked_at[1], 1))

    @property
    def worse(self) -> dict[str, float]:
        """Losses that are worse than the best one on this subgroup -> by how much (0-1)."""
        best, p, means = self.order[0], self.p, self.here.means
        own = self.here.losses.index(best)
        place = {loss: n for n, loss in enumerate(self.here.losses)}
        found = [loss for loss in self.order[1:] if p[own, place[loss]] < ALPHA]
        return {loss: float(means[own] - means[place[loss]]) for loss in found}

    @property
    def gains(self) -> tuple[str, str, float]:
        """The pair of losses whose difference changes most surely, and how much larger the first's lead is here."""
        assert self.beside is not None
        a, b = np.unravel_index(np.argmin(self.beside.p_adjusted), self.beside.p_adjusted.shape)
        if self.beside.means[a] < self.beside.means[b]:
            a, b = b, a
        losses = self.beside.losses
        return losses[a], losses[b], float(self.beside.means[a] - self.beside.means[b])


@dataclass(frozen=True)
class Division:
    """The losses on every part of one division of the images.

    Attributes:
        title: what divides the images, "Lesion size".
        subgroups: its parts.
    """

    title: str
    subgroups: list[Subgroup]

    @property
    def p_interaction(self) -> float:
        """Whether the losses' differences depend on it, adjusted for all pairs and subgroups."""
        return min((subgroup.p_interaction for subgroup in self.subgroups), default=1.0)

    @property
    def told(self) -> bool:
        """Whether they do."""
        return self.p_interaction < ALPHA


def divisions(
    images: pd.DataFrame, groupings: Sequence[Grouping], metric: str = "dice", test_to_train: float = TEST_TO_TRAIN
) -> list[Division]:
    """Compare the losses on every part of every division.

    Args:
        images: test images of the compared runs, with the keys, id and ``metric`` (larger is better).
        groupings: divisions of its rows.
        test_to_train: see :class:`lightning_seg.report.comparison.Comparison`.
    """
    table = ImageTable.of(images, metric)
    drawn: list[tuple[int, Level, Contrasts, Contrasts | None]] = []
    for number, grouping in enumerate(groupings):
        for n, level in enumerate(grouping.levels):
            others = [m for m, other in enumerate(grouping.levels) if m != n and not (other.apart and not level.apart)]
            own, rest = grouping.codes == n, np.isin(grouping.codes, others)
            if (here := table.contrasts(own, None, test_to_train)) is not None:
                drawn.append((number, level, here, table.contrasts(own, rest, test_to_train)))
    # Two groups differ from one another in one way only.
    pairs_of_two = sum(len(grouping.levels) == 2 for grouping in groupings)
    looked_at = (len(drawn), max(sum(beside is not None for *_, beside in drawn) - pairs_of_two, 1))
    found: dict[int, list[Subgroup]] = {}
    for number, level, here, beside in drawn:
        found.setdefault(number, []).append(Subgroup(level, here, beside, looked_at))
    return [Division(groupings[number].title, subgroups) for number, subgroups in found.items()]


@dataclass(frozen=True)
class ForWhom:
    """What all divisions say.

    Attributes:
        divisions: the losses on every part of each.
        notes: sentences on images that are in none.
    """

    divisions: list[Division]
    notes: list[str]

    @property
    def sentences(self) -> list[str]:
        """One for each division."""
        return [sentence(division) for division in self.divisions]

    @property
    def told(self) -> list[str]:
        """Those on divisions that the losses' differences depend on."""
        return [sentence(division) for division in self.divisions if division.told]


def sentence(division: Division) -> str:
    """What a division of the images says, in one sentence."""
    title = division.title
    if not any(subgroup.beside is not None and subgroup.beside.tested for subgroup in division.subgroups):
        return f"{title}: no run has images of several groups, or repeats are too few, so nothing can be tested."
    if not division.told:
        return (
            f"{title}: no loss is told to gain or lose more on one group of images than on the rest (adjusted p "
            f"{_equals(division.p_interaction)}), so this study gives no reason to choose the loss by it."
        )
    spoken = [subgroup for subgroup in division.subgroups if subgroup.worse]
    parts = [
        f"on {subgroup.level.words} {loss_name(subgroup.order[0])} is better than {_better_than(subgroup)}"
        for subgroup in spoken
    ]
    if parts and len(parts) < len(division.subgroups):
        parts.append("on the rest none is told from another" if len(parts) > 1 else "on the rest none is")
    surest = min(division.subgroups, key=lambda subgroup: subgroup.p_interaction)
    gaining, losing, points = surest.gains
    where = "there" if spoken == [surest] else f"on {surest.level.words}"
    reason = (
        f"the lead of {loss_name(gaining)} over {loss_name(losing)} is larger by {fixed(100 * points, 1)} points "
        f"{where} than on the rest (adjusted p {_equals(surest.p_interaction)})"
    )
    if not parts:
        return f"{title}: {reason}, but within no group of images is one loss told from another."
    return f"{title}: {'; '.join(parts)}. What tells it: {reason}."


def _better_than(subgroup: Subgroup) -> str:
    """ "Dice and IoU by 1.2 to 3.0 points"."""
    worse = subgroup.worse
    if len(worse) == len(subgroup.here.losses) - 1 and len(worse) > 1:
        which = "every other loss"
    else:
        which = join([loss_name(loss) for loss in worse])
    least, most = (fixed(100 * value, 1) for value in (min(worse.values()), max(worse.values())))
    return f"{which} by {least if least == most else f'{least} to {most}'} points"


def _equals(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"
