"""Is the certainty that the report states honest? Made-up studies whose truth is known (tests/report/designs.py).

    python benchmarks/report_honesty.py [studies]      (400 studies of a row take some ten minutes of one processor)

False: a loss is called worse than another that it is no worse than. Covered: of the 95 % intervals of a loss's
difference to the mean of all, how many hold the truth of their scope; together: all intervals of pairs hold at once.
"""

import sys
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from lightning_seg.report.contrasts import Scope
from lightning_seg.report.power import power_of
from tests.report.designs import Design, block_anova, rates

EQUAL = {
    "6x12x5": Design(),
    "6x12x5, split .003": Design(by_split=0.003),
    "6x12x5, split .006": Design(by_split=0.006),
    "1x12x5": Design(1),
    "1x12x5, split .003": Design(1, by_split=0.003),
    "1x12x5, split .006": Design(1, by_split=0.006),
    "1x1x3, 4 losses": Design(1, 1, 3, 4),
    "1x1x5": Design(1, 1),
    "6x12x5, heavy tails": Design(noise="t"),
    "6x12x5, skewed": Design(noise="skewed"),
    "6x12x5, unequal noise": Design(noisiness=(0.4, 1.8)),
    "6x12x5, 3 % collapse": Design(collapse=0.03),
    "6x12x5, 3 % missing": Design(missing=0.03),
    "6x12x1": Design(repeats=1),
    "6x12x5, dataset .01": Design(by_dataset=0.01),
    "6x12x1, split .006": Design(repeats=1, by_split=0.006),
    "6x8x5 of 12, split .006": Design(lost_models=True, by_split=0.006),
    "6x12x5, unequal noise, split .006, model .01": Design(by_split=0.006, by_model=0.01, noisiness=(0.4, 1.8)),
    "6x12x5, two near copies, split .006": Design(copies=True, by_split=0.006),
    "6x12x5, two near copies, split .006, dataset .003": Design(copies=True, by_split=0.006, by_dataset=0.003),
    "3x3x3, 4 losses, dataset .01, model .01": Design(3, 3, 3, 4, by_model=0.01, by_dataset=0.01),
    "1x3x3, 4 losses, split .006": Design(1, 3, 3, 4, by_split=0.006),
    "2x5x5, heavy tails": Design(2, 5, noise="t"),
    "2x5x5, skewed, split .006": Design(2, 5, noise="skewed", by_split=0.006),
    "2x5x5, unequal noise": Design(2, 5, noisiness=(0.4, 1.8)),
    "1x2x5": Design(1, 2),
    "2x2x5, 2 losses": Design(2, 2, 5, 2),
    "6x1x5": Design(6, 1),
}
BETTER = {
    "2x5x5, .02": Design(2, 5, better=0.02),
    "1x11x5, .02": Design(1, 11, better=0.02),
    "3x4x5, .02": Design(3, 4, better=0.02),
    "2x5x5, .01": Design(2, 5, better=0.01),
    "3x4x5, .01": Design(3, 4, better=0.01),
    "4x4x5, .01": Design(4, 4, better=0.01),
    "6x12x5, .004": Design(better=0.004),
    "6x12x5, .01, split .006": Design(better=0.01, by_split=0.006),
    "1x12x5, .02, split .006": Design(1, better=0.02, by_split=0.006),
}


def with_images(count: int) -> Design:
    """A study whose runs are tested on so many images: half of a run's variance is theirs where there are 40."""
    noise = sqrt(0.5 + 0.5 * 40 / count)
    return Design(2, 3, better=0.015, noisiness=(noise, noise))


# Power must rise with each of these.
RISING = {
    "models": [Design(1, models, losses=4, better=0.02) for models in (1, 2, 3, 4, 6, 8, 10, 11, 12)],
    "datasets": [Design(datasets, 2, losses=4, better=0.015) for datasets in (1, 2, 3, 4, 5, 6)],
    "repeats": [Design(2, 3, repeats, better=0.015) for repeats in (2, 3, 4, 5, 8, 12)],
    "test images": [with_images(count) for count in (10, 20, 40, 80, 160, 640)],
    "blocks of one model": [Design(datasets, 1, losses=10, better=0.02) for datasets in (1, 2, 4, 6, 8, 12)],
}
# What "what to run next" promises: a study, and the same with more, at which a difference is told in 80 % of studies.
PLANNED = {
    "repeats, 2x4x3 to 2x4x8": (Design(2, 4, 3), Design(2, 4, 8)),
    "models, 2x4x3 to 2x10x3": (Design(2, 4, 3), Design(2, 10, 3)),
    "datasets, 2x4x3 to 6x4x3": (Design(2, 4, 3), Design(6, 4, 3)),
}


def promised(first: Design, more: Design, studies: int) -> tuple[float, float]:
    """The difference promised to be told in 80 % of studies of ``more``, by the noise of ``first``; and in how many."""
    stated = []
    for parts, _ in first.studies(min(studies, 100)):
        seen = power_of(parts, parts.here())
        stated.append(seen.at(datasets=more.datasets, models=more.models, repeats=more.repeats))
    difference = float(np.median(stated))
    return difference, rates(replace(more, better=difference), studies).found


def main(studies: int) -> None:
    """Print the tables, as Markdown."""
    print(
        "| equal losses: datasets x models x repeats | false | other models | datasets | covered | others | together |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, design in EQUAL.items():
        found = rates(design, studies)
        wider = [_percent(found.false.get(scope)) for scope in (Scope.MODELS, Scope.DATASETS)]
        covered = [_percent(found.covered.get(scope)) for scope in (Scope.MODELS, Scope.DATASETS)]
        here = [_percent(found.false[Scope.HERE]), *wider, _percent(found.covered[Scope.HERE])]
        print(f"| {name} | {' | '.join(here)} | {' / '.join(covered)} | {_percent(found.together)} |", flush=True)
    print("\n| one loss better by | pairs with it told | by block ANOVA and Tukey | winner | by ANOVA |")
    print("|---|---:|---:|---:|---:|")
    for name, design in BETTER.items():
        found = rates(design, studies)
        _, pairs, first = block_anova(design, studies)
        shown = [_percent(value) for value in (found.found, pairs, found.first, first)]
        print(f"| {name} | {' | '.join(shown)} |", flush=True)
    print("\n| what to run next, at split 0 and .006 | promised to be told in 80 % | told |\n|---|---:|---:|")
    for name, (first, more) in PLANNED.items():
        for split in (0.0, 0.006):
            found = promised(replace(first, by_split=split), replace(more, by_split=split), studies)
            print(f"| {name}, split {split:.3f} | {found[0]:.4f} | {_percent(found[1])} |", flush=True)
    print("\n| rising | pairs told |\n|---|---|")
    for name, designs in RISING.items():
        shown = [f"{d.datasets}x{d.models}x{d.repeats} {_percent(rates(d, studies).found)}" for d in designs]
        print(f"| {name} | {', '.join(shown)} |", flush=True)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
