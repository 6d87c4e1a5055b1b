"""What runs keep of their predictions: the threshold that validation images choose, the Dice there, calibration."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightning_seg.catalogue import COUNTS
from lightning_seg.errors import UnreadableError
from lightning_seg.predicted import BINS, PUBLISHED, THRESHOLDS, best_threshold
from lightning_seg.report.records import KEYS, Study
from lightning_seg.runs.collapse import collapse
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.predictions import Predictions, read
from lightning_seg.runs.remembered import remembered

COLUMNS = [*KEYS, "threshold", "dice", "collapse", "brier", "calibration_error"]


@dataclass
class Kept:
    """What the runs of a study have kept.

    Attributes:
        runs: one row a run that has kept it: the keys, threshold (that its validation images choose), dice (mean of
            its test images there), collapse (there, "", "background" or "lesion"), brier and calibration_error (of all
            pixels of its test images).
        reliability: one row a loss and bin, over these runs: loss, probability (mean), observed (share of lesion),
            pixels.
        problems: sentences on files that cannot be read or are another run's.
    """

    runs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS))
    reliability: pd.DataFrame = field(default_factory=pd.DataFrame)
    problems: list[str] = field(default_factory=list)


def load_kept(study: Study, runs: pd.DataFrame) -> Kept:
    """Read what these runs of a study have kept; those that an older version has made have nothing, which is no fault.

    Args:
        runs: rows of the study's table of runs.
    """
    if runs.empty:
        return Kept()
    totals = study.images.groupby(KEYS, observed=True)[list(COUNTS)].sum() if len(study.images) else pd.DataFrame()
    counted = {tuple(map(str, key)): tuple(row) for key, row in zip(totals.index, totals.to_numpy(), strict=True)}
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        found = list(pool.map(lambda path: _read(RunFolder(study.directory / path)), runs["path"]))
    rows, problems = [], []
    sums: dict[str, np.ndarray] = {}
    for key, one in zip(runs[KEYS].itertuples(index=False, name=None), found, strict=True):
        if one is None:
            continue
        if isinstance(one, str):
            problems.append(one)
        elif one.pixels != counted.get(tuple(map(str, key))):
            problems.append(f"{'/'.join(map(str, key[:3]))}/repeat_{key[3]}/predictions.npz is not of this run's test.")
        else:
            rows.append((*key, *one.row))
            sums[key[2]] = sums.get(key[2], 0) + one.bins
    return Kept(pd.DataFrame(rows, columns=COLUMNS), _reliability(sums), problems)


def by_loss(kept: Kept, dice: pd.Series) -> pd.DataFrame:
    """One row a loss, means over blocks of their repeats' means.

    Args:
        dice: at 0.5, of the compared losses.

    Returns:
        columns dice, threshold, lowest, highest (of the thresholds of single runs), chosen_dice, brier and
        calibration_error, by loss.
    """
    numbers = ["threshold", "dice", "brier", "calibration_error"]
    cells = kept.runs.groupby(["loss", "dataset", "model"], observed=True)[numbers].mean()
    table = cells.groupby(level="loss", observed=True).mean().rename(columns={"dice": "chosen_dice"})
    spread = kept.runs.groupby("loss", observed=True)["threshold"].agg(lowest="min", highest="max")
    table = table.join(spread).reindex([loss for loss in dice.index if loss in table.index])
    table.insert(0, "dice", dice)
    return table


class _Summary(NamedTuple):
    """Of what a run has kept: pixels (tp, fp, fn, tn) at 0.5, its row, and the bins of its loss's reliability."""

    pixels: tuple[int, ...]
    row: tuple[Any, ...]
    bins: NDArray[np.float64]


def _read(folder: RunFolder) -> _Summary | str | None:
    return remembered("kept", folder.predictions, read=lambda: _summary(folder))


def _summary(folder: RunFolder) -> _Summary | str | None:
    try:
        test = (found := read(folder, masks=False)).test
        pixels = tuple(test.counts[:, PUBLISHED].sum(axis=0, dtype=np.int64))
        bins = np.stack([test.probability.sum(axis=0), test.pixels[1], test.pixels.sum(axis=0)])
        return _Summary(pixels, _row(found), bins)
    except FileNotFoundError:
        return None
    except UnreadableError as error:
        return f"{folder.address}/{folder.predictions.name} cannot be read ({error})."


def _row(found: Predictions) -> tuple[Any, ...]:
    threshold = best_threshold(found.val)
    place = THRESHOLDS.index(threshold)
    dice = float(found.test.dice[:, place].mean())
    kind = collapse(*found.test.counts[:, place].T)
    return threshold, dice, kind, found.test.brier, found.test.calibration_error


def _reliability(sums: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = []
    for loss, bins in sorted(sums.items()):
        # The sixteenth holds probabilities that round to 1, and is drawn with the fifteenth.
        joined = np.column_stack([bins[:, : BINS - 1], bins[:, BINS - 1 :].sum(axis=1)])
        for probability, lesion, pixels in joined.T:
            if pixels:
                rows.append((loss, probability / pixels, lesion / pixels, int(pixels)))
    return pd.DataFrame(rows, columns=["loss", "probability", "observed", "pixels"])
