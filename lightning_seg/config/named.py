"""A loss or a network by the name that the command line takes."""

from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

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
        What maps logits ``(N, 1, H, W)``, floating point, and masks of the same shape, 0 and 1, to a scalar. Other
        values, such as the 0 and 255 of image files, are refused: on the CPU in every call, elsewhere in the first,
        since looking at them makes the host wait.

    Raises:
        UserError: there is no such loss or option.
    """
    loss = _build("loss", name, options)
    loss.register_forward_pre_hook(MaskCheck(), with_kwargs=True)
    return loss


def build_model(name: str, *, pretrained: bool = False, auxiliary: bool = False, **options: Any) -> nn.Module:
    """A network of the study or of one's own.

    Args:
        name: as in ``model=<name>``.
        pretrained: start from ImageNet the encoders whose authors do, which downloads their weights.
        auxiliary: in training mode, return all maps that the network is trained by, the main one first, as a tuple;
            its ``output_weights`` are what the authors weigh their losses by.
        options: other values of its configuration, such as ``width=16``.

    Returns:
        What maps normalised images ``(N, 3, H, W)``, of any size, to logits ``(N, 1, H, W)``.

    Raises:
        UserError: there is no such network or option, or its weights cannot be had.
    """
    from lightning_seg.models.base import SegmentationModel  # here: it loads all networks, which losses need not

    model = _build("model", name, options, f"pretrained={str(pretrained).lower()}")
    if isinstance(model, SegmentationModel):
        model.every_map = auxiliary
    return model


class MaskCheck:
    """Refuses masks that hold other values than 0 and 1, before a loss takes them for probabilities."""

    def __init__(self) -> None:
        self._passed = False

    def __call__(self, loss: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        masks = named.get("targets", arguments[1] if len(arguments) > 1 else None)
        if not isinstance(masks, Tensor) or (self._passed and masks.device.type != "cpu"):
            return
        if not bool(((masks == 0) | (masks == 1)).all()):
            low, high = masks.min().item(), masks.max().item()
            raise UserError(
                f"The masks hold values from {low:g} to {high:g}, and a loss takes 0 and 1 alone: give "
                f"{'(masks > 127).float()' if high > 1 else '(masks > 0.5).float()'}."
            )
        self._passed = True


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
