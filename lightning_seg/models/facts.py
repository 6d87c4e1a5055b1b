"""Who published each network, and what it starts from: what its code cannot tell."""

from dataclasses import dataclass

import timm


@dataclass(frozen=True)
class Facts:
    """A network's origin.

    Attributes:
        title: its name in print.
        authors: of its paper.
        source: where that appeared and how to find it.
        year: of publication.
        encoder: in words; "own" where the network is one piece, trained from scratch.
        weights: timm's names of the ImageNet weights that its configuration starts from; ``nvidia/...`` are on the hub.
    """

    title: str
    authors: str
    source: str
    year: int
    encoder: str = "own"
    weights: tuple[str, ...] = ()

    @property
    def licences(self) -> str:
        """The licences of the weights that training starts from, as their publishers state them; "none" without."""
        return ", ".join(dict.fromkeys(licence_of(name) for name in self.weights)) or "none"


def licence_of(weights: str) -> str:
    """The licence of encoder weights by name; "not stated" where timm knows of none."""
    if weights.startswith(("nvidia/", "mit_")):
        return "NVIDIA, non-commercial"
    cfg = timm.get_pretrained_cfg(weights)
    licence = cfg.license if cfg is not None else None
    return licence if licence and licence != "unknown" else "not stated"


# By the names of conf/model.
FACTS = {
    "fcn": Facts("FCN-8s", "Long et al.", "CVPR, arXiv:1411.4038", 2015, "VGG-16", ("vgg16.tv_in1k",)),
    "deeplabv3plus": Facts(
        "DeepLabV3+", "Chen et al.", "ECCV, arXiv:1802.02611", 2018, "Xception-65", ("xception65.tf_in1k",)
    ),
    "unet": Facts("U-Net", "Ronneberger et al.", "MICCAI, arXiv:1505.04597", 2015),
    "unetplusplus": Facts("U-Net++", "Zhou et al.", "DLMIA, arXiv:1807.10165", 2018),
    "colonsegnet": Facts("ColonSegNet", "Jha et al.", "IEEE Access, doi:10.1109/ACCESS.2021.3063716", 2021),
    "fatnet": Facts(
        "FAT-Net",
        "Wu et al.",
        "Medical Image Analysis, doi:10.1016/j.media.2021.102327",
        2022,
        "ResNet-34 and DeiT-Ti",
        ("resnet34.tv_in1k", "deit_tiny_distilled_patch16_224.fb_in1k"),
    ),
    "fcbformer": Facts(
        "FCBFormer", "Sanderson & Matuszewski", "MIUA, arXiv:2208.08352", 2022, "PVTv2-B3", ("pvt_v2_b3.in1k",)
    ),
    "colonformer": Facts(
        "ColonFormer", "Duc et al.", "IEEE Access, doi:10.1109/ACCESS.2022.3195241", 2022, "MiT-B3", ("nvidia/mit-b3",)
    ),
    "caranet": Facts(
        "CaraNet",
        "Lou et al.",
        "Journal of Medical Imaging, doi:10.1117/1.JMI.10.1.014005",
        2023,
        "Res2Net-101",
        ("res2net101d.in1k",),
    ),
    "esfpnet": Facts(
        "ESFPNet", "Chang et al.", "SPIE Medical Imaging, arXiv:2207.07759", 2023, "MiT-B2", ("nvidia/mit-b2",)
    ),
    "ducknet": Facts("DUCK-Net", "Dumitru et al.", "Scientific Reports, doi:10.1038/s41598-023-36940-5", 2023),
    "emcadnet": Facts("EMCADNet", "Rahman et al.", "CVPR, arXiv:2405.06880", 2024, "PVTv2-B2", ("pvt_v2_b2.in1k",)),
}
