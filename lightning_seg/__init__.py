"""Lightning-Seg: which pixel-wise loss should a lesion-segmentation model be trained with?

What stands in ``__all__`` is this package's public surface: names that stay. Each is loaded when it is first asked for,
so that ``import lightning_seg`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_seg.cli.notebook import run_study
    from lightning_seg.config.compose import compose_config
    from lightning_seg.config.named import build_loss, build_model
    from lightning_seg.data.dataset import FileDataset, LesionDataset, Sample
    from lightning_seg.errors import UserError
    from lightning_seg.inference.loaded import load_run
    from lightning_seg.metrics import Scores, confusion_counts, image_scores
    from lightning_seg.models.base import SegmentationModel
    from lightning_seg.report.build import build_report
    from lightning_seg.report.records import Study
    from lightning_seg.report.study import load_study

__version__ = "0.1.0"

_HOMES = {
    "FileDataset": "data.dataset",
    "LesionDataset": "data.dataset",
    "Sample": "data.dataset",
    "Scores": "metrics",
    "SegmentationModel": "models.base",
    "Study": "report.records",
    "UserError": "errors",
    "build_loss": "config.named",
    "build_model": "config.named",
    "build_report": "report.build",
    "compose_config": "config.compose",
    "confusion_counts": "metrics",
    "image_scores": "metrics",
    "load_run": "inference.loaded",
    "load_study": "report.study",
    "run_study": "cli.notebook",
}

__all__ = [
    "FileDataset",
    "LesionDataset",
    "Sample",
    "Scores",
    "SegmentationModel",
    "Study",
    "UserError",
    "build_loss",
    "build_model",
    "build_report",
    "compose_config",
    "confusion_counts",
    "image_scores",
    "load_run",
    "load_study",
    "run_study",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
