"""The networks that the study compares, one file each."""

from lightning_seg.models.base import SegmentationModel
from lightning_seg.models.colonsegnet import ColonSegNet
from lightning_seg.models.unet import UNet

__all__ = ["ColonSegNet", "SegmentationModel", "UNet"]
