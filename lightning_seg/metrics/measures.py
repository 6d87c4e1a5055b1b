"""The measures of masks that every run has beside the paper's four metrics, by name."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lightning_seg.metrics import lesions
from lightning_seg.metrics.hd95 import hd95
from lightning_seg.metrics.masks import Masks
from lightning_seg.metrics.nsd import nsd, strict_nsd


class MaskMetric(Protocol):
    """A user's own metric of masks; larger is better."""

    def of_masks(self, masks: Masks) -> float:
        """The score of one image."""
        ...


@dataclass(frozen=True)
class Measure:
    """A score of each image, from its masks.

    Attributes:
        title: as it is shown.
        of: from an image's masks to the score.
        family: "boundary" or "lesions", or "count" of what no verdict can be had on.
        higher_is_better: whether it is.
    """

    title: str
    of: Callable[[Masks], float]
    family: str
    higher_is_better: bool = True


MEASURES: dict[str, Measure] = {
    "nsd": Measure("NSD", nsd, "boundary"),
    "nsd_strict": Measure("NSD at 0.5 %", strict_nsd, "boundary"),
    "hd95": Measure("HD95", hd95, "boundary", higher_is_better=False),
    "lesion_recall": Measure("lesion recall", lesions.recall, "lesions"),
    "lesion_precision": Measure("lesion precision", lesions.precision, "lesions"),
    "lesion_f1": Measure("lesion F1", lesions.f1, "lesions"),
    "lesion_recall_iou": Measure("lesion recall, IoU 0.1", lesions.matched_recall, "lesions"),
    "lesion_precision_iou": Measure("lesion precision, IoU 0.1", lesions.matched_precision, "lesions"),
    "lesion_f1_iou": Measure("lesion F1, IoU 0.1", lesions.matched_f1, "lesions"),
    "lesions": Measure("lesions", lesions.lesions, "count"),
    "lesions_missed": Measure("lesions missed", lesions.missed, "count", higher_is_better=False),
}


def measured(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], more: Mapping[str, MaskMetric] | None = None
) -> dict[str, NDArray[np.float64]]:
    """All of them, and ``more``, for a set of images, in threads.

    Args:
        predicted: masks (N, H, W).
        truth: masks of the same shape.
        more: a user's own metrics of masks.

    Returns:
        (N,) for each name.
    """
    scores = {name: measure.of for name, measure in MEASURES.items()}
    scores |= {name: metric.of_masks for name, metric in (more or {}).items()}

    def score(pair: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> list[float]:
        masks = Masks(*pair)
        return [float(of(masks)) for of in scores.values()]

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # scipy works on masks without the GIL
        rows = list(pool.map(score, zip(predicted, truth, strict=True)))
    return dict(zip(scores, np.array(rows, dtype=np.float64).reshape(-1, len(scores)).T, strict=True))
