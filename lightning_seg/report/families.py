"""Whether the measures agree: by overlap, by boundary, and by lesions found."""

from dataclasses import dataclass

import pandas as pd

from lightning_seg.catalogue import loss_name
from lightning_seg.metrics.measures import MEASURES
from lightning_seg.report.answer import join
from lightning_seg.report.comparison import BLOCK, Comparison
from lightning_seg.report.contrasts import ALPHA, components
from lightning_seg.report.yardstick import DICE, Yardstick, yardstick
from lightning_seg.wording import fixed

# One measure of each family speaks for it.
_FAMILIES = {"overlap": "dice", "boundary": "nsd", "lesions": "lesion_f1"}


@dataclass(frozen=True)
class Family:
    """What one family of measures says of the loss that is best by the yardstick.

    Attributes:
        score: the measure that speaks for it.
        best: the loss that it puts first.
        ahead: how much better that is than the yardstick's best (0-1, or 0 where they are one).
        p: of that difference, adjusted for all pairs of losses and all families.
    """

    score: Yardstick
    best: str
    ahead: float
    p: float

    @property
    def disagrees(self) -> bool:
        """Whether the yardstick's best is told to be worse by this family."""
        return self.ahead > 0 and self.p < ALPHA


@dataclass(frozen=True)
class Measures:
    """What the study's measures of masks say.

    Attributes:
        means: measure -> mean over blocks of every loss, all that each compared run has; measures x losses.
        best: the loss with the highest mean of the yardstick.
        by: the yardstick's title.
        families: those that there are measures of, without the yardstick's own.
    """

    means: pd.DataFrame
    best: str
    by: str
    families: list[Family]

    @property
    def sentence(self) -> str:
        """Where families disagree, or that they do not."""
        if not self.families:
            return ""
        against = [family for family in self.families if family.disagrees]
        if not against:
            titles = join([family.score.title for family in self.families])
            return (
                f"{loss_name(self.best)} has the highest mean {self.by}; by {titles} no loss is told to be better than "
                "it."
            )
        parts = [
            f"by {family.score.title} {loss_name(family.best)} is better by {fixed(100 * family.ahead)} points "
            f"(adjusted p {'< 0.0001' if family.p < 0.0001 else f'= {family.p:.2g}'})"
            for family in against
        ]
        others = join([family.score.title for family in against])
        return f"{loss_name(self.best)} is best by {self.by}, not by {others}: {join(parts)}."

    @property
    def disagrees(self) -> bool:
        """Whether any family disagrees with the yardstick."""
        return any(family.disagrees for family in self.families)


def measures(comparison: Comparison) -> Measures | None:
    """Compare the losses by every family; None where not all compared runs have measures of masks."""
    names = [name for name in comparison.pairs if name in MEASURES]
    own = [name for name in comparison.measures if name not in MEASURES]
    if not names and not own:
        return None
    blocks = {name: comparison.pairs[name].groupby(level=BLOCK, observed=True).mean() for name in [*names, *own]}
    means = pd.DataFrame({name: table.mean() for name, table in blocks.items()}).T
    scores = comparison.blocks().mean()
    best = str(scores.idxmax())
    family_of = {DICE.name: "overlap"} | {name: measure.family for name, measure in MEASURES.items()}
    mine = family_of.get(comparison.yardstick.name, "overlap")
    looked_at = [name for family, name in _FAMILIES.items() if family != mine and name in comparison.pairs]
    if len(comparison.losses) < 2:
        looked_at = []
    families = [_family(comparison, yardstick(name), best, len(looked_at)) for name in looked_at]
    return Measures(means, best, comparison.yardstick.title, families)


def _family(comparison: Comparison, score: Yardstick, best: str, families: int) -> Family:
    found = components(score.of(comparison.pairs[score.name]), comparison.test_to_train).here()
    own, first = found.losses.index(best), int(found.means.argmax())
    ahead = float(found.means[first] - found.means[own])
    return Family(score, found.losses[first], ahead, min(float(found.p_adjusted[own, first]) * families, 1.0))
