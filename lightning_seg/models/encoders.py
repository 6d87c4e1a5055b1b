"""Encoders from timm, with ImageNet weights or without."""

import hashlib
import logging
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import load_state_dict
from torch import Tensor

from lightning_seg.errors import UserError
from lightning_seg.models.hub import WEIGHTS, hub_file

StateDict = dict[str, Tensor]

logger = logging.getLogger(__name__)


def create_encoder(name: str, *, pretrained: bool, weights: str | Path | None = None, **options: Any) -> Any:
    """Build the timm model ``name``, without its classifier.

    It is an :class:`torch.nn.Module` with the attributes that timm gives it, such as ``feature_info``. One more,
    ``weights_source``, says which weights it started from: None for random ones, otherwise a dictionary of
    ``encoder`` (name and tag), ``file`` (a path, or a file on timm's hub) and ``sha256``.

    Args:
        name: timm's name with the tag of the exact weights, such as ``resnet34.tv_in1k``.
        pretrained: start from the weights of that tag, downloaded once and cached as timm does.
        weights: a file to load instead of the download: safetensors, or a state dict saved by ``torch.save``,
            in timm's layout or, where timm knows how to convert it, in that of the encoder's authors.
        options: passed on to :func:`timm.create_model`; with ``in_chans`` other than 3 timm adapts the first
            convolution of the weights.

    Raises:
        UserError: the weights are not at hand, unreadable, or not those of this encoder in full.
    """
    cfg = timm.get_pretrained_cfg(name) if name in timm.list_pretrained() else None
    if cfg is None:
        raise UserError(f"timm has no encoder {name} with weights; choose one of `timm.list_pretrained()`.")
    classifiers = (cfg.classifier,) if isinstance(cfg.classifier, str) else cfg.classifier or ()
    prefixes = tuple(f"{classifier}." for classifier in classifiers)

    def without_classifier(state: StateDict) -> StateDict:
        return {key: value for key, value in state.items() if not key.startswith(prefixes)}

    return _build(name, name, cfg.hf_hub_id, without_classifier, pretrained, weights, options)


def mix_transformer(variant: str, *, pretrained: bool, weights: str | Path | None = None, **options: Any) -> Any:
    """SegFormer's Mix Transformer (Xie et al. 2021, arXiv:2105.15203) as a list of features at strides 4 to 32.

    MiT is timm's PVTv2 with an MLP ratio of 4 in every stage. Blocks and stages normalise with an epsilon of
    1e-6, patch embeddings and the attention's reduction with 1e-5, as in the original. The drop path of 0.1
    that SegFormer trains with is the default.

    Args:
        variant: ``b0`` to ``b5``.
        pretrained: start from NVIDIA's ImageNet-1k weights, downloaded once and cached. They are licensed for
            non-commercial use only, which a warning says.
        weights: a file to load instead of the download, in the layout of SegFormer's own code, of
            ``transformers`` or of timm.
        options: passed on to :func:`timm.create_model`.

    Raises:
        UserError: an unknown variant, or as :func:`create_encoder`.
    """
    check_variant(variant)
    if pretrained:
        logger.warning(
            "The ImageNet weights of MiT are NVIDIA's, licensed for non-commercial use only (NVIDIA Source Code "
            "License for SegFormer): what is trained from them may fall under it too."
        )
    options = {"mlp_ratios": (4, 4, 4, 4), "drop_path_rate": 0.1, "features_only": True, **options}
    name = f"mit_{variant}"
    return _build(f"pvt_v2_{variant}", name, f"nvidia/mit-{variant}", _from_segformer, pretrained, weights, options)


def check_variant(variant: str) -> None:
    """Raise a :class:`UserError` unless ``variant`` names a size of PVTv2 or MiT, ``b0`` to ``b5``."""
    if variant not in (valid := [f"b{size}" for size in range(6)]):
        raise UserError(f"model.variant={variant} does not exist; choose one of {', '.join(valid)}.")


def _build(
    architecture: str,
    name: str,
    hub_id: str | None,
    convert: Callable[[StateDict], StateDict],
    pretrained: bool,
    weights: str | Path | None,
    options: dict[str, Any],
) -> Any:
    options = {"num_classes": 0, **options}
    encoder: Any
    if not pretrained:
        if weights is not None:
            raise UserError(f"model.weights={weights} contradicts model.pretrained=false; leave one of them out.")
        encoder = timm.create_model(architecture, pretrained=False, **options)
        encoder.weights_source = None
        return encoder
    if weights is not None:
        path, origin = Path(weights), str(weights)
        if not path.is_file():
            raise UserError(f"model.weights={weights} is not a file; give the weights of {name} or leave it out.")
    else:
        path, origin = _from_hub(name, hub_id)
    # With a state dict and no classifier named in it, timm loads strictly: nothing may be missing or left over.
    overlay = {"state_dict": convert(_read(path, name)), "classifier": None}
    try:
        encoder = timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    except RuntimeError as error:
        mismatch = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise UserError(f"{path} does not hold the weights of {name}, whole and alone: {mismatch}") from error
    encoder.pretrained_cfg.pop("state_dict", None)  # a second copy of all weights
    encoder.weights_source = {"encoder": name, "file": origin, "sha256": _sha256(path)}
    return encoder


def _from_hub(name: str, hub_id: str | None) -> tuple[Path, str]:
    """The cached file of ``hub_id``, downloaded if need be, and what to call it."""
    if hub_id is None:
        raise UserError(f"timm has no weights for {name}; set model.pretrained=false or model.weights=/path/to/file.")
    try:
        path = hub_file(hub_id, WEIGHTS)
    except OSError as error:  # all of the hub's own errors are: offline, not found, refused
        raise UserError(
            f"The weights of {name} (file {WEIGHTS[0]} of the hub's {hub_id}) are neither cached nor within reach: "
            "connect once, give the file as model.weights=/path/to/file, or train from scratch with "
            "model.pretrained=false."
        ) from error
    return path, f"{hub_id}/{path.name}"


def _read(path: Path, name: str) -> StateDict:
    try:
        state = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # whatever the parsers of a damaged or foreign file may raise
        raise UserError(
            f"{path} cannot be read as the weights of {name}: it is neither safetensors nor a state dict "
            f"saved by torch.save ({textwrap.shorten(str(error), 150, placeholder=' ...')})."
        ) from error
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} cannot be the weights of {name}: it is not a dictionary of tensors.")
    return state


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# From the names in transformers' Segformer to those of timm's PVTv2; timm itself knows the authors' own names.
_TRANSFORMERS_NAMES = [
    (r"^(segformer\.)?encoder\.", ""),
    (r"^patch_embeddings\.0\.", "patch_embed."),
    (r"^patch_embeddings\.(\d)\.", r"stages.\1.downsample."),
    (r"^block\.(\d)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"^layer_norm\.(\d)\.", r"stages.\1.norm."),
    (r"layer_norm_(\d)", r"norm\1"),
    (r"layer_norm", "norm"),
    (r"attention\.self\.query", "attn.q"),
    (r"attention\.self\.", "attn."),
    (r"attention\.output\.dense", "attn.proj"),
    (r"mlp\.dense(\d)", r"mlp.fc\1"),
    (r"dwconv\.dwconv", "dwconv"),
]


def _from_segformer(state: StateDict) -> StateDict:
    """An encoder's weights out of any of SegFormer's checkpoints, renamed as far as timm needs it."""
    encoder: StateDict = {}
    for name, value in state.items():
        name = name.removeprefix("backbone.")
        if name.startswith(("head.", "classifier.", "decode_head.")):
            continue
        if "patch_embed.proj.weight" not in state:
            for pattern, replacement in _TRANSFORMERS_NAMES:
                name = re.sub(pattern, replacement, name)
        encoder[name] = value
    # Keys and values are two layers in transformers, one in MiT.
    for name in [name for name in encoder if ".attn.key." in name]:
        if (value_name := name.replace(".key.", ".value.")) in encoder:
            encoder[name.replace(".key.", ".kv.")] = torch.cat((encoder.pop(name), encoder.pop(value_name)))
    return encoder
