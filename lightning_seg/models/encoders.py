"""Encoders from timm, with ImageNet weights or without."""

from pathlib import Path
from typing import Any

import timm
from torch import nn


def create_encoder(name: str, *, pretrained: bool, weights: str | Path | None = None, **options: Any) -> nn.Module:
    """Build the timm model ``name`` (an architecture, or architecture.tag to name the weights' exact version).

    Args:
        name: timm's name, such as ``resnet34.tv_in1k``.
        pretrained: start from the weights of that tag, downloaded by timm and cached.
        weights: a file to load them from instead.
        options: passed on to :func:`timm.create_model`.
    """
    return timm.create_model(name, pretrained=pretrained, **options)
