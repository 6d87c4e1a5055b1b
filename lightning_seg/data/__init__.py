"""Datasets, their cache and their splits."""

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
