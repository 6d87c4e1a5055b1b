"""Which recorded reference each network, and each of its variants, is held against: one row a recording."""

from dataclasses import dataclass, field
from typing import Any

from lightning_seg import models


@dataclass(frozen=True)
class Case:
    """A network as configured, and the suffix of its files in ``shared/golden/<folder>/``.

    Attributes:
        suffix: "_variant"; a variant without files of its own stands in the plain ones under its name.
        unused: shapes, and their number, of recorded parameters that never reach the output, or are never trained:
            left out here.
        recordings: the files there are.
        recorded_as: names in the files, by the names of the outputs, where the plainly named one is another thing.
        tolerance: of a recording, where it is not the usual one.
        total: the output, if any, that is the sum of the recorded ones.
    """

    folder: str
    network: type[models.SegmentationModel]
    options: dict[str, Any] = field(default_factory=dict)
    suffix: str = ""
    unused: dict[str, int] = field(default_factory=dict)
    recordings: tuple[str, ...] = ("golden", "calibrated")
    recorded_as: dict[str, str] = field(default_factory=dict)
    tolerance: dict[str, float] = field(default_factory=dict)
    total: str | None = None

    def __str__(self) -> str:
        return self.folder + self.suffix


# The authors' FCN is recorded with random kernels for its transposed convolutions too, which are fixed here.
BILINEAR: dict[str, Any] = {
    "unused": {"4x4": 2, "16x16": 1},
    "recordings": ("golden",),
    "recorded_as": {name: f"bilinear_{name}" for name in ("main", "probe2_main", "odd_main")},
    "tolerance": {"golden": 1e-4},  # trained at once, the skips add little
}
LOGITS = {name: f"{name}_logits" for name in ("main", "probe2_main")}

CASES = [
    Case("unet", models.UNet),
    Case("unet", models.UNet, {"bilinear": True}, "_bilinear"),
    Case("colonsegnet", models.ColonSegNet),
    Case("fcn", models.FCN, **BILINEAR),
    Case("fcn", models.FCN, {"variant": "8s_at_once"}, "_atonce", **BILINEAR),
    Case("fcn", models.FCN, {"variant": "resnet50"}, "_resnet50"),
    # Calibrated, the pyramid's mean is normalised by the statistics of two images, which amplifies the noise of
    # float32: in float64 the network is 1.6e-3 away from the recording, in float32 6e-4.
    Case("deeplabv3plus", models.DeepLabV3Plus),
    Case("deeplabv3plus", models.DeepLabV3Plus, {"encoder": "resnet50"}, "_vainf_resnet50", recordings=("golden",)),
    Case("deeplabv3plus", models.DeepLabV3Plus, {"encoder": "resnet101"}, "_vainf_resnet101", recordings=("golden",)),
    Case("unetplusplus", models.UNetPlusPlus),
    Case("unetplusplus", models.UNetPlusPlus, {"deep_supervision": True}, "_deep_supervision"),
    Case("ducknet", models.DUCKNet, recorded_as=LOGITS),
    Case("ducknet", models.DUCKNet, {"filters": 34}, "_34", recordings=()),
    Case("esfpnet", models.ESFPNet),
    Case("esfpnet", models.ESFPNet, {"variant": "b4"}, "_b4"),
    Case("emcadnet", models.EMCADNet, unused={"3": 4}, total="aux3"),
    Case("fatnet", models.FATNet, unused={"64x16": 1, "16x64": 1, "16x16x3x3": 1, "64": 3, "16": 6}),
    Case("caranet", models.CaraNet),
    Case("colonformer", models.ColonFormer),
    Case("fcbformer", models.FCBFormer),
]
