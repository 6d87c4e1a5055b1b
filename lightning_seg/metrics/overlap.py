"""How good a predicted mask is: four scores per image, from four pixel counts.

Reported figures are means over images. The paper's can only be that: its Dice of .7938 with an IoU of .7108, a
precision of .8445 and a recall of .8190 cannot come from pixels pooled over images, since a pooled Dice of .7938
means a pooled IoU of .658. Both masks empty score 1 in all four; one of the two empty scores 0 in all four.

Nothing here makes the host wait for the device.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_stat_scores


def confusion_counts(logits: Tensor, masks: Tensor) -> Tensor:
    """Count the pixels of each image that are rightly and wrongly called lesion, and rightly and wrongly not.

    A pixel is called lesion where sigmoid(logit) > 0.5, in float32 whatever the dtype of the logits: in half
    precision the sigmoid of a small positive logit rounds to 0.5 and the pixel is lost.

    Args:
        logits: (N, 1, H, W), floating point, N >= 1.
        masks: (N, 1, H, W), 0 and 1 in any dtype.

    Returns:
        (N, 4) int64, in the order of ``COUNTS``.
    """
    return mask_counts(torch.sigmoid(logits.float()) > 0.5, masks)


def mask_counts(predicted: Tensor, masks: Tensor) -> Tensor:
    """:func:`confusion_counts` of predicted masks, bool (N, 1, H, W)."""
    # Of a single image torchmetrics cannot stack samplewise counts; the global ones are the same.
    average: Literal["samplewise", "global"] = "samplewise" if len(predicted) > 1 else "global"
    counts = binary_stat_scores(predicted, masks, multidim_average=average, validate_args=False).reshape(-1, 5)
    tp, fp, tn, fn, _ = counts.unbind(-1)
    return torch.stack((tp, fp, fn, tn), dim=-1)


def image_scores(counts: Tensor) -> dict[str, Tensor]:
    """Dice, IoU, precision and recall of each image, from 0 to 1.

    Args:
        counts: (N, 4) integers, in the order of ``COUNTS``.

    Returns:
        (N,) float64 for each name of ``METRICS``: 1 where truth and prediction are both empty, 0 where one is.
        On a device without float64 (MPS), move the counts to the CPU first.
    """
    tp, fp, fn, _ = counts.double().unbind(-1)
    both_empty = tp + fp + fn == 0
    ratios = {
        "dice": (2 * tp, 2 * tp + fp + fn),
        "iou": (tp, tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
    }
    # Counts are whole numbers, so the clamp changes 0 / 0 alone: into 0, where one mask is empty.
    return {name: torch.where(both_empty, 1.0, part / whole.clamp(min=1)) for name, (part, whole) in ratios.items()}


Metric = Callable[[Tensor], Tensor]
"""From counts (N, 4), int64, in the order of ``COUNTS``, to a score of each image, (N,), floating point."""


@dataclass(frozen=True)
class Scores:
    """The counts and scores of a set of images.

    Attributes:
        counts: (N, 4) int64, in the order of ``COUNTS``.
        values: (N,) float64 for each metric, the four of ``METRICS`` first.
    """

    counts: Tensor
    values: dict[str, Tensor]

    @classmethod
    def of(cls, counts: Tensor, more: Mapping[str, Metric] | None = None) -> "Scores":
        """Score images by the four metrics, and by ``more`` of them."""
        own = {name: metric(counts).double() for name, metric in (more or {}).items()}
        return cls(counts, {**image_scores(counts), **own})

    @property
    def means(self) -> dict[str, float]:
        """The mean over images of each metric."""
        return {name: values.mean().item() for name, values in self.values.items()}
