"""How good a predicted mask is: scores of each image, one file for each kind.

``overlap`` has the paper's four, from counts of pixels. ``nsd``, ``hd95`` and ``lesions`` look at the masks themselves;
``measures`` lists them. One rule of empty masks holds for all scores: both empty is perfect (1, and HD95 0), one of the
two empty is the worst (0, and HD95 the image's diagonal).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lightning_seg.metrics.masks import Masks
from lightning_seg.metrics.measures import MEASURES, MaskMetric, Measure, measured

if TYPE_CHECKING:
    from lightning_seg.metrics.overlap import Metric, Scores, confusion_counts, image_scores, mask_counts

__all__ = [
    "MEASURES",
    "MaskMetric",
    "Masks",
    "Measure",
    "Metric",
    "Scores",
    "confusion_counts",
    "image_scores",
    "mask_counts",
    "measured",
]


def __getattr__(name: str) -> Any:
    """What counts pixels of tensors is loaded with torch when it is first asked for: a report needs neither."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.overlap"), name)
