"""Datasets, their cache and their splits.

The classes are loaded when they are first asked for, so that the rules of the configuration cost no start.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_seg.data.dataset import FileDataset, LesionDataset, Sample
    from lightning_seg.data.readers.busi import Busi
    from lightning_seg.data.readers.clinicdb import ClinicDb
    from lightning_seg.data.readers.folder import Folder
    from lightning_seg.data.readers.isic import Isic
    from lightning_seg.data.readers.kvasir import Kvasir
    from lightning_seg.data.readers.synthetic import Synthetic
    from lightning_seg.data.readers.wound import Wound

__all__ = [
    "Busi",
    "ClinicDb",
    "FileDataset",
    "Folder",
    "Isic",
    "Kvasir",
    "LesionDataset",
    "Sample",
    "Synthetic",
    "Wound",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    shared = name in ("FileDataset", "LesionDataset", "Sample")
    return getattr(import_module(f"{__name__}.dataset" if shared else f"{__name__}.readers.{name.lower()}"), name)
