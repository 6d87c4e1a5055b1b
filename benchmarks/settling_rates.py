"""Does `lightning-seg study --until-settled` give the full grid's answer, and in what share of its time?

    python benchmarks/settling_rates.py FOLDER [studies] [random|kfold]

Studies are made from the real trainings that `calibration.py` has left in FOLDER: one to four of its datasets, two
networks, five repeats, two to five of its losses, drawn at random (the seed is fixed), with random splits or folds.
The full grid's answer is the report's: the loss that is better than every other, or that there is none. The time of a
training of each network and loss is measured first, as the least processor time of three. Studies that share a dataset
are not independent, so the shares are of these studies alone.
"""

import itertools
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from calibration import FRACTIONS, IMAGES, LOSSES, MODELS, REPEATS, pictures, studies, table_of, train

from lightning_seg.advise.settling import Answer, follow, in_order
from lightning_seg.report.contrasts import TEST_TO_TRAIN, components

SEED = 2
Seconds = dict[tuple[str, str], float]  # of a training, by network and loss


def durations() -> Seconds:
    """The time of a training of each network and loss."""
    torch.set_num_threads(1)
    images, masks = pictures(0, IMAGES)
    parts = torch.arange(IMAGES).split(
        [round(share * IMAGES) for share in (FRACTIONS.train, FRACTIONS.val, FRACTIONS.test)]
    )
    subsets = [(images[part], masks[part]) for part in parts[:2]]
    seconds: Seconds = {}
    for _, (model, build), (name, loss) in itertools.product(range(3), MODELS.items(), LOSSES.items()):
        started = time.process_time()
        train(build(), loss, *subsets)
        seconds[model, name] = min(seconds.get((model, name), float("inf")), time.process_time() - started)
    return seconds


def of_full_grid(table: pd.DataFrame) -> str | None:
    """The winner, if there is one."""
    found = components(table, TEST_TO_TRAIN).here()
    best = found.losses[int(found.means.argmax())]
    return best if all(found.told(best, other) for other in found.losses if other != best) else None


def settled(table: pd.DataFrame, seconds: Seconds) -> tuple[str | None, float, float]:
    """The answer of the loop, and what it takes of the full grid's runs and of its time."""
    of_model = {model: float(np.mean([seconds[model, loss] for loss in table])) for model in MODELS}
    units = in_order(list(table.index), {(d, m): of_model[m] for d, m, _ in table.index})
    end = follow(table, list(table.columns), units)
    seen = {gone.loss: gone.units for gone in end.dropped} | dict.fromkeys(end.losses, end.seen)
    ran = [(unit[1], loss) for loss, count in seen.items() for unit in units[:count]]
    every = [(unit[1], loss) for loss in table for unit in units]
    shares = len(ran) / len(every), sum(map(seconds.__getitem__, ran)) / sum(map(seconds.__getitem__, every))
    if end.answer is Answer.ENDED:
        return (of_full_grid(table[end.losses]) if len(end.losses) > 1 else end.losses[0]), *shares
    return (end.losses[0] if end.answer is Answer.WINNER else None), *shares


def main(folder: Path, count: int, split: str) -> None:
    """Print the shares."""
    chosen, seconds = studies(folder, split), durations()
    print("seconds of a training:", {" ".join(key): round(value, 2) for key, value in seconds.items()})
    draw = np.random.default_rng(SEED)
    subsets = [set(each) for size in range(2, len(LOSSES) + 1) for each in itertools.combinations(LOSSES, size)]
    rows = []
    for _ in range(count):
        seeds = sorted(draw.choice(list(chosen), int(draw.integers(1, 5)), replace=False))
        subset = subsets[draw.integers(len(subsets))]
        losses = [loss for loss in LOSSES if loss in subset]
        table = table_of({seed: chosen[seed] for seed in seeds})[losses]
        full, (own, runs, share) = of_full_grid(table), settled(table, seconds)
        rows.append((len(seeds), len(losses), full or "none", own or "none", runs, share))
    found = pd.DataFrame(rows, columns=["datasets", "losses", "full", "own", "runs", "time"])
    same, won = found["full"] == found["own"], found["full"] != "none"
    print(
        f"{len(chosen)} datasets x {len(MODELS)} networks x {REPEATS} repeats recorded, {split}; {len(found)} studies,"
    )
    print(f"{won.sum()} of which have a winner by the full grid; {(won & same).sum()} of these are found,")
    print(f"{((found['own'] != 'none') & ~same).sum()} winners are named that the full grid does not name")
    print(
        f"same answer {same.mean():.1%}, of the runs {found['runs'].mean():.1%}, of the time {found['time'].mean():.1%}"
    )
    found = found.assign(same=same, studies=1)
    print(found.groupby("datasets").agg({"studies": "sum", "same": "mean", "runs": "mean", "time": "mean"}).round(3))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        *(int(sys.argv[2]) if len(sys.argv) > 2 else 60, sys.argv[3] if len(sys.argv) > 3 else "random"),
    )
