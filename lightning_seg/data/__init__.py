"""Datasets, their cache and their splits."""

from lightning_seg.data.dataset import FileDataset, LesionDataset, Sample
from lightning_seg.data.wound import Wound

__all__ = ["FileDataset", "LesionDataset", "Sample", "Wound"]
