"""Any network of segmentation_models_pytorch (https://github.com/qubvel-org/segmentation_models.pytorch)."""

import difflib
import inspect
from typing import Any

import timm
from torch import Tensor

from lightning_seg.errors import UserError
from lightning_seg.extras import install_line
from lightning_seg.models.base import SegmentationModel
from lightning_seg.models.hub import WEIGHTS, hub_file


class SMP(SegmentationModel):
    """``arch`` on ``encoder``, by their names in segmentation_models_pytorch (the extra ``smp``).

    Args:
        arch: Unet, UnetPlusPlus, MAnet, Linknet, FPN, PSPNet, PAN, DeepLabV3, DeepLabV3Plus, UPerNet, Segformer or DPT.
        encoder: one of its encoders, such as resnet34, or ``tu-`` and the name of a timm model.
        pretrained: start the encoder from weights, downloaded once.
        weights: which of the encoder's weights; most have ``imagenet``.
        in_channels: channels of the input.
        classes: logit maps of the output.
        options: passed on to the architecture; those that it does not know itself reach the encoder, and are numbers.

    Raises:
        UserError: the package is missing, or it has no such architecture, encoder or weights.
    """

    size_multiple = 32

    def __init__(
        self,
        arch: str,
        encoder: str,
        pretrained: bool = True,
        weights: str | None = "imagenet",
        in_channels: int = 3,
        classes: int = 1,
        **options: Any,
    ) -> None:
        super().__init__()
        try:
            import segmentation_models_pytorch as smp
        except ImportError as error:
            raise UserError(f"model=smp needs the package: {install_line('smp')}.") from error
        architectures = {model.__name__.lower(): model for model in smp.MODEL_ARCHITECTURES_MAPPING.values()}
        if arch.lower() not in architectures:
            names = ", ".join(model.__name__ for model in architectures.values())
            raise UserError(f"model.arch={arch} does not exist; choose one of {names}.")
        if not encoder.startswith("tu-") and encoder not in smp.encoders.encoders:
            near = difflib.get_close_matches(encoder, smp.encoders.encoders, n=3) or ["resnet34", "mit_b2", "vgg16"]
            raise UserError(
                f"model.encoder={encoder} does not exist; choose one of `smp.encoders.get_encoder_names()`, such as "
                f"{', '.join(near)}, or tu- and the name of a timm model."
            )
        if encoder.startswith("tu-") and ":" in encoder:  # a place that timm would read a configuration from
            raise UserError(f"model.encoder={encoder} does not exist: after tu- comes the plain name of a timm model.")
        known = inspect.signature(architectures[arch.lower()]).parameters
        if odd := [name for name, value in options.items() if name not in known and not isinstance(value, int | float)]:
            raise UserError(f"model.{odd[0]} is no option of {arch}; it has {', '.join(known)}.")
        try:
            if pretrained:
                _fetch(smp.encoders.encoders, encoder, weights)
            self.network = architectures[arch.lower()](
                encoder_name=encoder,
                encoder_weights=weights if pretrained else None,
                in_channels=in_channels,
                classes=classes,
                **options,
            )
        except OSError as error:  # all of the hub's own errors are
            raise UserError(
                f"The {weights} weights of {encoder} are neither cached nor within reach: connect once, or train from "
                "scratch with model.pretrained=false."
            ) from error
        except (KeyError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"model.arch={arch} with model.encoder={encoder} cannot be built: {reason}") from error

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.network(images),)


def _fetch(encoders: dict[str, Any], encoder: str, weights: str | None) -> None:
    """Download an encoder's weights: out of the hub's reach, the package itself would try for half a minute."""
    if encoder.startswith("tu-"):
        cfg = timm.get_pretrained_cfg(encoder.removeprefix("tu-"))
        if cfg is not None and cfg.hf_hub_id:
            hub_file(cfg.hf_hub_id, WEIGHTS)
    elif settings := encoders[encoder]["pretrained_settings"].get(weights):
        for filename in ("config.json", "model.safetensors"):
            hub_file(settings["repo_id"], (filename,), settings["revision"])
