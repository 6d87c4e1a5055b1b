"""Does `lightning-seg study --until-settled` give the full grid's answer, and in what share of its time?

    python benchmarks/settling_rates.py FOLDER [studies]

Studies are made from the real trainings that `calibration.py` has left in FOLDER: one to four of its datasets, two
networks, five repeats, two to five of its losses, drawn at random (the seed is fixed). The full grid's answer is the
report's: the loss that is better than every other, or that there is none. As time counts the number of runs, since all
take the same. Studies that share a dataset are not independent, so the shares are of these studies alone.
"""

import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from calibration import LOSSES, MODELS, REPEATS, studies, table_of

from lightning_seg.advise.settling import Answer, follow, in_order
from lightning_seg.report.contrasts import TEST_TO_TRAIN, components

SEED = 2


def of_full_grid(table: pd.DataFrame) -> str | None:
    """The winner, if there is one."""
    found = components(table, TEST_TO_TRAIN).here()
    best = found.losses[int(found.means.argmax())]
    return best if all(found.told(best, other) for other in found.losses if other != best) else None


def settled(table: pd.DataFrame) -> tuple[str | None, int]:
    """The answer of the loop, and how many runs it took."""
    units = in_order(list(table.index), dict.fromkeys([(d, m) for d, m, _ in table.index], 1.0))
    end = follow(table, list(table.columns), units)
    runs = sum(gone.units for gone in end.dropped) + end.seen * len(end.losses)
    if end.answer is Answer.ENDED:
        return (of_full_grid(table[end.losses]) if len(end.losses) > 1 else end.losses[0]), runs
    return (end.losses[0] if end.answer is Answer.WINNER else None), runs


def main(folder: Path, count: int) -> None:
    """Print the shares."""
    chosen = studies(folder, "random")
    draw = np.random.default_rng(SEED)
    subsets = [set(each) for size in range(2, len(LOSSES) + 1) for each in itertools.combinations(LOSSES, size)]
    rows = []
    for _ in range(count):
        seeds = sorted(draw.choice(list(chosen), int(draw.integers(1, 5)), replace=False))
        subset = subsets[draw.integers(len(subsets))]
        losses = [loss for loss in LOSSES if loss in subset]
        table = table_of({seed: chosen[seed] for seed in seeds})[losses]
        full, (own, runs) = of_full_grid(table), settled(table)
        rows.append((len(seeds), len(losses), full or "none", own or "none", runs / table.size))
    found = pd.DataFrame(rows, columns=["datasets", "losses", "full", "own", "share"])
    same = found["full"] == found["own"]
    print(f"{len(chosen)} datasets x {len(MODELS)} networks x {REPEATS} repeats recorded; {len(found)} studies,")
    print(f"{(found['full'] != 'none').sum()} of which have a winner by the full grid")
    print(f"same answer {same.mean():.1%}, share of the runs {found['share'].mean():.1%}")
    print(found.assign(same=same).groupby("datasets")[["same", "share"]].agg(["mean", "size"]).round(3))
    print(found[~same])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60)
