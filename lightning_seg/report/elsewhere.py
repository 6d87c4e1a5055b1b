"""Whether the answer holds elsewhere: on other datasets, and on test images made worse.

Each place is judged by the verdict's own analysis of the same runs' means there. Tukey's p-values of all pairs are
multiplied by the number of places that are looked at (Bonferroni). The repeats still share what they were trained on,
so that their noise is scaled as at home.
"""

from dataclasses import dataclass

import pandas as pd

from lightning_seg.catalogue import METRIC_NAMES, dataset_name, loss_name
from lightning_seg.data.corruption import KINDS
from lightning_seg.report.answer import join
from lightning_seg.report.comparison import BLOCK, PAIR, Comparison, compared_rows
from lightning_seg.report.contrasts import ALPHA, Array, Contrasts, components
from lightning_seg.report.records import CORRUPTION, EXTERNAL
from lightning_seg.report.verdict import Verdict

_COPIES = "_copies"
_WORDS = {
    "blur": "blur",
    "noise": "noise",
    "jpeg": "strong JPEG compression",
    "brightness": "changed brightness",
    "contrast": "changed contrast",
}


@dataclass(frozen=True)
class Place:
    """The losses at one place.

    Attributes:
        title: of a column, "ClinicDB" or "Blur".
        words: in a sentence, "on ClinicDB" or "under blur".
        repeats: paired repeats that were tested there.
        here: the losses' means there, and their differences.
        looked_at: places that are tested at once.
        copies: images of it that are copies of images in a run's own dataset, at most.
    """

    title: str
    words: str
    repeats: int
    here: Contrasts
    looked_at: int
    copies: int = 0

    @property
    def p(self) -> Array:
        """Of every pair, adjusted for all pairs and all places, (losses, losses)."""
        return (self.here.p_adjusted * self.looked_at).clip(max=1)

    def ahead(self, loss: str) -> tuple[str, float, float]:
        """The loss with the highest mean here, how far it is ahead of another one (0-1), and the p-value of that."""
        first, own = int(self.here.means.argmax()), self.here.losses.index(loss)
        return self.here.losses[first], float(self.here.means[first] - self.here.means[own]), float(self.p[own, first])

    def is_beaten(self, loss: str) -> bool:
        """Whether another loss is told to be better here."""
        _, ahead, p = self.ahead(loss)
        return self.here.tested and ahead > 0 and p < ALPHA

    def leads(self, loss: str) -> bool:
        """Whether a loss is told to be better than every other one here."""
        own = self.here.losses.index(loss)
        others = [n for n in range(len(self.here.losses)) if n != own]
        return self.here.tested and all(
            self.p[own, n] < ALPHA and self.here.means[own] > self.here.means[n] for n in others
        )


@dataclass(frozen=True)
class Elsewhere:
    """The losses at home and at every other place.

    Attributes:
        metric: that is compared, "Dice".
        home: mean over blocks of every loss.
        winner: whether the best at home is told to be better than every other loss there.
        places: the other ones.
    """

    metric: str
    home: pd.Series
    winner: bool
    places: list[Place]

    @property
    def best(self) -> str:
        """The loss with the highest mean at home."""
        return str(self.home.idxmax())

    @property
    def beaten(self) -> list[Place]:
        """Where another loss is told to be better than it."""
        return [place for place in self.places if place.is_beaten(self.best)]

    @property
    def sentences(self) -> list[str]:
        """Whether the best at home is told to be worse elsewhere, and whether its lead lasts."""
        best, tested = loss_name(self.best), [place for place in self.places if place.here.tested]
        if not tested:
            return ["Elsewhere, too few repeats were tested for any loss to be told from another."]
        head = f"{best} has the highest mean {self.metric} at home"
        if self.beaten:
            parts = []
            for place in self.beaten:
                other, ahead, p = place.ahead(self.best)
                shown = "< 0.0001" if p < 0.0001 else f"= {p:.2g}"
                parts.append(f"{loss_name(other)} is better by {100 * ahead:.2f} points (adjusted p {shown})")
            there = ["there"] if len(parts) == 1 else [place.words for place in self.beaten]
            told = "; ".join(f"{place} {part}" for place, part in zip(there, parts, strict=True))
            found = [f"{head}, not {_joined(self.beaten)}: {told}."]
        else:
            found = [f"{head}; {_joined(tested)} no loss is told to be better than it."]
        if self.winner:
            lasting = [place for place in tested if place.leads(self.best)]
            where = f"{_joined(lasting)} as well" if lasting else "nowhere else"
            found.append(f"It is told to be better than every other loss at home, and {where}.")
        return found


def _joined(places: list[Place]) -> str:
    return join([place.words for place in places])


def elsewhere(runs: pd.DataFrame, comparison: Comparison, verdict: Verdict | None) -> Elsewhere | None:
    """Judge every place at which the compared runs were tested; None where there is none, or nothing was learned.

    Args:
        runs: the study's table of runs.
        comparison: of the study.
        verdict: of it.
    """
    if verdict is None or verdict.nothing_learned or len(comparison.losses) < 2:
        return None
    names = _places(runs)
    metric = comparison.yardstick.name
    if not any(f"{prefix}{name}_{metric}" in runs for prefix, name in names):
        metric = "dice"
    rows = compared_rows(runs, comparison.scores)
    tables = {place: _pairs(rows, f"{place[0]}{place[1]}_{metric}", comparison.losses) for place in names}
    tables = {place: table for place, table in tables.items() if len(table)}
    if not tables:
        return None
    places = []
    for (prefix, name), table in tables.items():
        here = components(table, comparison.test_to_train).here()
        copies = _most(rows[f"{prefix}{name}{_COPIES}"]) if prefix == EXTERNAL else 0
        places.append(Place(*_named(prefix, name), len(table), here, len(tables), copies))
    home = comparison.pairs[metric].groupby(level=BLOCK, observed=True).mean().mean()
    winner = metric == comparison.yardstick.name and verdict.winner == str(home.idxmax())
    return Elsewhere(METRIC_NAMES.get(metric, metric), home, winner, places)


def _places(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Where runs were tested: the beginning of the columns, and the place's name."""
    held = [str(column) for column in runs]
    others = [name.removeprefix(EXTERNAL).removesuffix(_COPIES) for name in held if name.endswith(_COPIES)]
    kinds = [kind for kind in KINDS if any(name.startswith(f"{CORRUPTION}{kind}_") for name in held)]
    return [*((EXTERNAL, name) for name in others), *((CORRUPTION, kind) for kind in kinds)]


def _most(counts: pd.Series) -> int:
    return int(counts.max()) if counts.notna().any() else 0


def _pairs(rows: pd.DataFrame, column: str, losses: list[str]) -> pd.DataFrame:
    """Those of a column, (dataset, model, repeat) x losses; none where no run has it."""
    if column not in rows:
        return pd.DataFrame(columns=losses)
    table = rows.pivot(index=PAIR, columns="loss", values=column).reindex(columns=losses)
    return table.astype(float).dropna().sort_index()


def _named(prefix: str, name: str) -> tuple[str, str]:
    """The title of a place, and where it is in words."""
    if prefix == EXTERNAL:
        return dataset_name(name), f"on {dataset_name(name)}"
    title = name.upper() if name == "jpeg" else name.capitalize()
    return title, f"under {_WORDS[name]}"
