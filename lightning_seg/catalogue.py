"""The published study as facts: its datasets, networks and losses, in its order, with the names shown for them.

This is the one place that knows the paper's 6 x 12 x 10. The configuration's lists are copies, held against it by a
test. Nothing here needs torch, so that commands which only list or report start at once.
"""

from dataclasses import dataclass

from lightning_seg.wording import short


@dataclass(frozen=True)
class Network:
    """What a network's code cannot tell of it.

    Attributes:
        title: its name in print.
        authors: of its paper.
        source: where that appeared and how to find it.
        year: of publication.
        gmacs: billions of multiply-accumulates for one image of 224 x 224, as ``lightning-seg models`` counts them.
        encoder: in words; "own" where the network is one piece, trained from scratch.
        weights: timm's names of the ImageNet weights that its configuration starts from; ``nvidia/...`` are on the hub.
        licences: of these weights, as their publishers state them; "none" without weights.
    """

    title: str
    authors: str
    source: str
    year: int
    gmacs: float
    encoder: str = "own"
    weights: tuple[str, ...] = ()
    licences: str = "none"


# Names as they are typed, which are those of the files in conf/, and as they are shown.
DATASETS = {
    "isic": "ISIC-2017",
    "wound": "Wound (FUSeg)",
    "clinicdb": "CVC-ClinicDB",
    "kvasir": "Kvasir-SEG",
    "breast_benign": "Breast, benign",
    "breast_malignant": "Breast, malignant",
}

NETWORKS = {
    "fcn": Network(
        "FCN-8s", "Long et al.", "CVPR, arXiv:1411.4038", 2015, 49.3, "VGG-16", ("vgg16.tv_in1k",), "bsd-3-clause"
    ),
    "deeplabv3plus": Network(
        "DeepLabV3+",
        "Chen et al.",
        "ECCV, arXiv:1802.02611",
        2018,
        9.8,
        "Xception-65",
        ("xception65.tf_in1k",),
        "apache-2.0",
    ),
    "unet": Network("U-Net", "Ronneberger et al.", "MICCAI, arXiv:1505.04597", 2015, 36.9),
    "unetplusplus": Network("U-Net++", "Zhou et al.", "DLMIA, arXiv:1807.10165", 2018, 26.4),
    "colonsegnet": Network("ColonSegNet", "Jha et al.", "IEEE Access, doi:10.1109/ACCESS.2021.3063716", 2021, 30.2),
    "fatnet": Network(
        "FAT-Net",
        "Wu et al.",
        "Medical Image Analysis, doi:10.1016/j.media.2021.102327",
        2022,
        22.9,
        "ResNet-34 and DeiT-Ti",
        ("resnet34.tv_in1k", "deit_tiny_distilled_patch16_224.fb_in1k"),
        "bsd-3-clause, apache-2.0",
    ),
    "fcbformer": Network(
        "FCBFormer",
        "Sanderson & Matuszewski",
        "MIUA, arXiv:2208.08352",
        2022,
        29.9,
        "PVTv2-B3",
        ("pvt_v2_b3.in1k",),
        "apache-2.0",
    ),
    "colonformer": Network(
        "ColonFormer",
        "Duc et al.",
        "IEEE Access, doi:10.1109/ACCESS.2022.3195241",
        2022,
        9.5,
        "MiT-B3",
        ("nvidia/mit-b3",),
        "NVIDIA, non-commercial",
    ),
    "caranet": Network(
        "CaraNet",
        "Lou et al.",
        "Journal of Medical Imaging, doi:10.1117/1.JMI.10.1.014005",
        2023,
        8.7,
        "Res2Net-101",
        ("res2net101d.in1k",),
        "not stated",
    ),
    "esfpnet": Network(
        "ESFPNet",
        "Chang et al.",
        "SPIE Medical Imaging, arXiv:2207.07759",
        2023,
        3.4,
        "MiT-B2",
        ("nvidia/mit-b2",),
        "NVIDIA, non-commercial",
    ),
    "ducknet": Network("DUCK-Net", "Dumitru et al.", "Scientific Reports, doi:10.1038/s41598-023-36940-5", 2023, 18.5),
    "emcadnet": Network(
        "EMCADNet",
        "Rahman et al.",
        "CVPR, arXiv:2405.06880",
        2024,
        4.4,
        "PVTv2-B2",
        ("pvt_v2_b2.in1k",),
        "apache-2.0",
    ),
}

BASIC_LOSSES = {"iou": "IoU", "dice": "Dice", "bce": "BCE", "focal": "Focal"}
LOSSES = (*BASIC_LOSSES, "iou_dice", "iou_bce", "iou_focal", "dice_bce", "dice_focal", "bce_focal")

REPEATS = 5

COUNTS = ("tp", "fp", "fn", "tn")  # the pixels of an image, in the order of all tables
METRIC_NAMES = {"dice": "Dice", "iou": "IoU", "precision": "Precision", "recall": "Recall"}
METRICS = tuple(METRIC_NAMES)


def metric_name(metric: str) -> str:
    """The name shown for a metric; one's own keeps the name that is typed."""
    return METRIC_NAMES.get(metric, metric)


def is_compound(loss: str) -> bool:
    """Whether ``loss`` is a plain sum of basic losses, as its name says, such as ``iou_focal``."""
    parts = loss.split("_")
    return len(parts) > 1 and all(part in BASIC_LOSSES for part in parts)


def loss_name(loss: str) -> str:
    """The name shown for a loss: ``iou_focal`` -> ``IoUFocal``; one's own keeps the name that is typed."""
    if loss in BASIC_LOSSES:
        return BASIC_LOSSES[loss]
    return "".join(BASIC_LOSSES[part] for part in loss.split("_")) if is_compound(loss) else loss


def dataset_name(dataset: str) -> str:
    """The name shown for a dataset."""
    return DATASETS.get(dataset, dataset)


def model_name(model: str) -> str:
    """The name shown for a network."""
    network = NETWORKS.get(model)
    return network.title if network else model


def loss_label(loss: str) -> str:
    """The name of a loss in a figure."""
    return short(loss_name(loss))


def dataset_label(dataset: str) -> str:
    """The name of a dataset in a figure."""
    return short(dataset_name(dataset))


def model_label(model: str) -> str:
    """The name of a network in a figure."""
    return short(model_name(model))
