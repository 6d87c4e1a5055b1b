"""The networks that the study compares, one file each."""

from lightning_seg.models.base import SegmentationModel
from lightning_seg.models.caranet import CaraNet
from lightning_seg.models.colonformer import ColonFormer
from lightning_seg.models.colonsegnet import ColonSegNet
from lightning_seg.models.fcbformer import FCBFormer
from lightning_seg.models.unet import UNet

__all__ = ["CaraNet", "ColonFormer", "ColonSegNet", "FCBFormer", "SegmentationModel", "UNet"]
