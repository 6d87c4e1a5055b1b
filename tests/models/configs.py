"""The networks as their files in ``conf/model`` describe them."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from lightning_seg.models import SegmentationModel

CONFIGS = {path.stem: path for path in sorted((Path(__file__).parents[2] / "conf" / "model").glob("*.yaml"))}
if find_spec("segmentation_models_pytorch") is None:  # an extra
    del CONFIGS["smp"]

# The smallest form of each network that is still built of all its parts.
SMALL: dict[str, dict[str, Any]] = {
    "fcn": {"hidden": 16},
    "deeplabv3plus": {"encoder": "xception41"},
    "unet": {"width": 8},
    "unetplusplus": {"width": 8, "deep_supervision": True},
    "colonsegnet": {"width": 32},
    "fatnet": {},
    "fcbformer": {"variant": "b0"},
    "colonformer": {"variant": "b0"},
    "caranet": {},
    "esfpnet": {"variant": "b0"},
    "ducknet": {"filters": 4},
    "emcadnet": {"variant": "b0"},
}


def load(name: str) -> DictConfig:
    """The options of a network, its class as ``_target_``, pretrained where it can be."""
    root = OmegaConf.create({"pretrained": True, "model": OmegaConf.load(CONFIGS[name])})
    del root.model["name"]
    return root.model


def build(name: str, **changes: Any) -> SegmentationModel:
    """The network ``name`` with random weights, some of its options changed."""
    options = load(name)
    if "pretrained" in options:
        options.pretrained = False
    return instantiate(options, **changes)
