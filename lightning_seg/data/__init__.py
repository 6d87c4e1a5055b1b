"""Datasets, their cache and their splits."""

from lightning_seg.data.busi import Busi
from lightning_seg.data.clinicdb import ClinicDb
from lightning_seg.data.dataset import FileDataset, LesionDataset, Sample
from lightning_seg.data.folder import Folder
from lightning_seg.data.isic import Isic
from lightning_seg.data.kvasir import Kvasir
from lightning_seg.data.synthetic import Synthetic
from lightning_seg.data.wound import Wound

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
