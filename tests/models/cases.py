"""Which recorded reference each network, and each of its variants, is held against: one row a recording."""

from dataclasses import dataclass, field
from typing import Any

from lightning_seg import models


@dataclass(frozen=True)
class Case:
    """A network as configured, and the suffix of its files in ``shared/golden/<folder>/``."""

    folder: str
    network: type[models.SegmentationModel]
    options: dict[str, Any] = field(default_factory=dict)
    suffix: str = ""

    def __str__(self) -> str:
        return self.folder + self.suffix


CASES = [
    Case("unet", models.UNet),
    Case("unet", models.UNet, {"bilinear": True}, "_bilinear"),
    Case("colonsegnet", models.ColonSegNet),
    Case("caranet", models.CaraNet),
    Case("colonformer", models.ColonFormer),
    Case("fcbformer", models.FCBFormer),
]
