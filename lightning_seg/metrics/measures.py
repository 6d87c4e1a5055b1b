"""The measures of masks that every run has beside the paper's four metrics, by name."""

from collections.abc import Callable
from dataclasses import dataclass

from lightning_seg.metrics import lesions
from lightning_seg.metrics.hd95 import hd95
from lightning_seg.metrics.masks import Masks
from lightning_seg.metrics.nsd import nsd, strict_nsd


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
    "nsd": Measure("NSD, 1 %", nsd, "boundary"),
    "nsd_strict": Measure("NSD, 0.5 %", strict_nsd, "boundary"),
    "hd95": Measure("HD95", hd95, "boundary", higher_is_better=False),
    "lesion_recall": Measure("Lesions found", lesions.recall, "lesions"),
    "lesion_precision": Measure("Lesion precision", lesions.precision, "lesions"),
    "lesion_f1": Measure("Lesion F1", lesions.f1, "lesions"),
    "lesion_recall_iou": Measure("Lesions found, IoU 0.1", lesions.matched_recall, "lesions"),
    "lesion_precision_iou": Measure("Lesion precision, IoU 0.1", lesions.matched_precision, "lesions"),
    "lesion_f1_iou": Measure("Lesion F1, IoU 0.1", lesions.matched_f1, "lesions"),
    "lesions": Measure("Lesions", lesions.lesions, "count"),
    "lesions_missed": Measure("Lesions missed", lesions.missed, "count", higher_is_better=False),
}
