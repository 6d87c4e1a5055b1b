"""Above which probability a pixel is called lesion: the paper's 0.5, what validation images chose, or a number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from lightning_seg.catalogue import COUNTS
from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.inference.tested import tested_images
from lightning_seg.predicted import PUBLISHED, THRESHOLDS, best_threshold
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.predictions import Predictions, read
from lightning_seg.wording import from_cell

VALIDATION = "validation"


@dataclass(frozen=True)
class Threshold:
    """What a probability must exceed.

    Attributes:
        value: in (0, 1).
        source: where it comes from, in words.
    """

    value: float = 0.5
    source: str = "the usual one, at which test scores are recorded"

    def as_json(self) -> dict[str, Any]:
        """The object that is written."""
        return {"value": self.value, "source": self.source}


HALF = Threshold()


def choose_threshold(asked: str, weights: Sequence[Path]) -> Threshold:
    """The threshold that a user names.

    Args:
        asked: a number in (0, 1), or ``validation``: that with the highest mean Dice on the run's own validation
            images (see :func:`lightning_seg.predicted.best_threshold`), and of several runs the mean of theirs.
        weights: of the runs, as :func:`lightning_seg.inference.trained.find_weights` gives them.

    Raises:
        UserError: it is neither, or a run has not kept what was predicted for its validation images.
    """
    if asked != VALIDATION:
        try:
            value = float(asked)
        except ValueError:
            value = math.nan
        if not 0 < value < 1:
            raise UserError(f"--threshold {asked} is not valid: give a number above 0 and below 1, or {VALIDATION}.")
        return HALF if value == HALF.value else Threshold(value, "given by the user")
    chosen = [best_threshold(kept_predictions(RunFolder(path.parent)).val) for path in weights]
    if len(chosen) == 1:
        return Threshold(chosen[0], "the highest mean Dice of the run's own validation images, of 0.05, 0.10, ... 0.95")
    each = ", ".join(f"{value:g}" for value in chosen)
    return Threshold(round(fmean(chosen), 4), f"the mean of those that the runs' own validation images chose ({each})")


def kept_predictions(folder: RunFolder) -> Predictions:
    """What a run has kept of its predictions, if they are those of its record.

    Raises:
        UserError: it has kept none, or they are damaged or another run's.
    """
    try:
        found = read(folder, masks=False)
    except FileNotFoundError as error:
        raise UserError(
            f"{folder.path} has kept no {folder.predictions.name}, as an older version has trained it: what its "
            "validation images would choose is not known. Name a threshold, or train it again with rerun=true."
        ) from error
    except UnreadableError as error:
        raise UserError(f"{folder.predictions} cannot be read ({error}).") from error
    rows = tested_images(folder)
    counts = [[int(row[name]) for name in COUNTS] for row in rows]
    if [from_cell(row["id"]) for row in rows] != found.test.ids or counts != found.test.counts[:, PUBLISHED].tolist():
        raise UserError(f"{folder.predictions} and {folder.test_images} are not of the same run; keep them together.")
    return found


def dice_at(found: Predictions, threshold: float) -> float | None:
    """Mean Dice of a run's test images at a threshold; ``None`` where it was not counted."""
    if threshold not in THRESHOLDS:
        return None
    return float(found.test.dice[:, THRESHOLDS.index(threshold)].mean())
