"""Display names of the known datasets, models and losses; anything else keeps its own name."""

METRICS = ("dice", "iou", "precision", "recall")
METRIC_NAMES = {"dice": "Dice", "iou": "IoU", "precision": "Precision", "recall": "Recall"}

LONGEST_LABEL = 24  # characters of a name in a figure

BASIC_LOSSES = {"iou": "IoU", "dice": "Dice", "bce": "BCE", "focal": "Focal"}

_DATASETS = {
    "isic": "ISIC-2017",
    "wound": "Wound (FUSeg)",
    "clinicdb": "CVC-ClinicDB",
    "kvasir": "Kvasir-SEG",
    "breast_benign": "Breast, benign",
    "breast_malignant": "Breast, malignant",
}
MODELS = {
    "fcn": "FCN",
    "deeplabv3plus": "DeepLabV3+",
    "unet": "U-Net",
    "unetplusplus": "U-Net++",
    "colonsegnet": "ColonSegNet",
    "fatnet": "FAT-Net",
    "fcbformer": "FCBFormer",
    "colonformer": "ColonFormer",
    "caranet": "CaraNet",
    "esfpnet": "ESFPNet",
    "ducknet": "DUCK-Net",
    "emcadnet": "EMCADNet",
}


def is_compound(loss: str) -> bool:
    """Whether ``loss`` is a plain sum of basic losses, told by its name, such as ``iou_focal``."""
    parts = loss.split("_")
    return len(parts) > 1 and all(part in BASIC_LOSSES for part in parts)


def loss_name(loss: str) -> str:
    """The name shown for a loss: ``iou_focal`` -> ``IoUFocal``."""
    if loss in BASIC_LOSSES:
        return BASIC_LOSSES[loss]
    return "".join(BASIC_LOSSES[part] for part in loss.split("_")) if is_compound(loss) else loss


def dataset_name(dataset: str) -> str:
    """The name shown for a dataset."""
    return _DATASETS.get(dataset, dataset)


def model_name(model: str) -> str:
    """The name shown for a model."""
    return MODELS.get(model, model)


def short(name: str) -> str:
    """A name as it fits into a figure: a long one loses its middle, since its beginning and end tell it from others."""
    if len(name) <= LONGEST_LABEL:
        return name
    end = (LONGEST_LABEL - 1) // 2
    return f"{name[: LONGEST_LABEL - 1 - end]}…{name[-end:]}"


def loss_label(loss: str) -> str:
    """The name of a loss in a figure."""
    return short(loss_name(loss))


def dataset_label(dataset: str) -> str:
    """The name of a dataset in a figure."""
    return short(dataset_name(dataset))


def model_label(model: str) -> str:
    """The name of a model in a figure."""
    return short(model_name(model))
