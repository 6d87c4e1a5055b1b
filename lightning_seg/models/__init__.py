"""The networks that the study compares, one file each.

The classes are loaded when they are first asked for: some need no encoder of timm, which takes almost a second to load.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_seg.models.base import SegmentationModel
    from lightning_seg.models.caranet import CaraNet
    from lightning_seg.models.colonformer import ColonFormer
    from lightning_seg.models.colonsegnet import ColonSegNet
    from lightning_seg.models.deeplabv3plus import DeepLabV3Plus
    from lightning_seg.models.ducknet import DUCKNet
    from lightning_seg.models.emcadnet import EMCADNet
    from lightning_seg.models.esfpnet import ESFPNet
    from lightning_seg.models.fatnet import FATNet
    from lightning_seg.models.fcbformer import FCBFormer
    from lightning_seg.models.fcn import FCN
    from lightning_seg.models.unet import UNet
    from lightning_seg.models.unetplusplus import UNetPlusPlus

__all__ = [
    "FCN",
    "CaraNet",
    "ColonFormer",
    "ColonSegNet",
    "DUCKNet",
    "DeepLabV3Plus",
    "EMCADNet",
    "ESFPNet",
    "FATNet",
    "FCBFormer",
    "SegmentationModel",
    "UNet",
    "UNetPlusPlus",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'base' if name == 'SegmentationModel' else name.lower()}"), name)
