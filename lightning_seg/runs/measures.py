"""A run's ``test_measures.csv``: what its masks at 0.5 score by the measures of masks, a row a test image."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lightning_seg.files import csv_text, write_text
from lightning_seg.metrics import MaskMetric, measured
from lightning_seg.predicted import Predicted
from lightning_seg.runs.folder import RunFolder


def write(
    folder: RunFolder, tested: Predicted, truth: NDArray[np.bool_], more: Mapping[str, MaskMetric] | None = None
) -> None:
    """Measure the masks of the test images and write them, atomically; its rows are those of ``test_images.csv``.

    Args:
        folder: of the run.
        tested: its predictions for its test images.
        truth: their masks, (N, H, W).
        more: a user's own metrics of masks.
    """
    columns = measured(tested.masks, truth, more)
    write_text(folder.measures, csv_text(_rows(tested.ids, columns)))


def _rows(ids: Sequence[str], columns: Mapping[str, NDArray[np.float64]]) -> list[tuple[object, ...]]:
    shown = [[f"{value:.6g}" for value in values] for values in columns.values()]
    return [("id", *columns), *zip(ids, *shown, strict=True)]
