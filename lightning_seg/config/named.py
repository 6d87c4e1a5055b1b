"""A loss or a network by the name that the command line takes."""

from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from lightning_seg.config.build import build_nameless
from lightning_seg.config.compose import compose_config
from lightning_seg.config.overrides import override_value
from lightning_seg.errors import UserError


def build_loss(name: str, **options: Any) -> nn.Module:
    """A loss of the study or of one's own, for any training loop.

    Args:
        name: as in ``loss=<name>``.
        options: other values of its configuration, such as ``weights={"focal": 2.0}``.

    Returns:
        What maps logits ``(N, 1, H, W)``, floating point, and masks of the same shape, 0 and 1, to a scalar.

    Raises:
        UserError: there is no such loss or option.
    """
    return _build("loss", name, options)


def build_model(name: str, *, pretrained: bool = False, **options: Any) -> nn.Module:
    """A network of the study or of one's own.

    Args:
        name: as in ``model=<name>``.
        pretrained: start from ImageNet the encoders whose authors do, which downloads their weights.
        options: other values of its configuration, such as ``width=16``.

    Returns:
        What maps normalised images ``(N, 3, H, W)`` to logits ``(N, 1, H, W)``.

    Raises:
        UserError: there is no such network or option, or its weights cannot be had.
    """
    return _build("model", name, options, f"pretrained={str(pretrained).lower()}")


def _build(group: str, name: str, options: dict[str, Any], *overrides: str) -> nn.Module:
    composed = compose_config([f"{group}={override_value(name)}", *overrides])
    node = composed[group]
    for key, value in options.items():
        if key not in node:
            choices = ", ".join(sorted(str(known) for known in node if known not in ("name", "_target_")))
            raise UserError(f"{group} {name!r} has no option {key!r}; it has {choices or 'none'}.")
        try:
            OmegaConf.update(node, key, value, merge=True)
        except OmegaConfBaseException as error:
            raise UserError(f"{group} {name!r}: {key}={value!r} is not valid ({error}).") from error
    return build_nameless(node, group)
