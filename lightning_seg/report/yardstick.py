"""By what losses are compared: Dice, unless another score is asked for."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from lightning_seg.catalogue import METRIC_NAMES, METRICS
from lightning_seg.errors import UserError
from lightning_seg.metrics.measures import MEASURES


@dataclass(frozen=True)
class Yardstick:
    """A score of an image, from 0 to 1, by which losses are compared.

    Attributes:
        name: as in tables of runs and images.
        title: as in a sentence, "mean Dice"; of what is better the lower it is, one minus it.
        reverse: whether it is better the lower it is: then one minus it is compared.
    """

    name: str = "dice"
    title: str = "Dice"
    reverse: bool = False

    @property
    def points(self) -> str:
        """What a difference of 0.01 is called."""
        return f"points of {self.title}" if " " in self.title else f"{self.title} points"

    def of(self, values: pd.DataFrame) -> pd.DataFrame:
        """Scores of which larger ones are better."""
        return 1 - values if self.reverse else values


DICE = Yardstick()


def yardstick(name: str, own: Collection[str] = ()) -> Yardstick:
    """The one of a name.

    Args:
        own: names that the study's runs have measured; those of no measure here are a user's own metrics, of which
            larger is better.

    Raises:
        UserError: there is none of that name.
    """
    measure = MEASURES.get(name)
    if name in METRICS or (measure is None and name in own):
        return Yardstick(name, METRIC_NAMES.get(name, name))
    if measure is None or measure.family == "count":
        measures = [each for each, found in MEASURES.items() if found.family != "count"]
        known = dict.fromkeys([*METRICS, *measures, *(each for each in own if each not in MEASURES)])
        raise UserError(f"There is no metric {name!r} to compare losses by; there are {', '.join(known)}.")
    if measure.higher_is_better:
        return Yardstick(name, measure.title)
    return Yardstick(name, f"1 - {measure.title}", reverse=True)
