"""Any segmentation loss of MONAI (https://docs.monai.io/en/stable/losses.html)."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.losses.inputs import to_computing_dtype

# They take logits without being told to. The others take them with sigmoid=True, and those that know no such option
# compare something else than a prediction and its mask.
_OF_LOGITS = ("FocalLoss",)
# What they do with other activations and more channels than the lesion's.
_FOR_OTHER_CHANNELS = {"sigmoid", "softmax", "other_act", "to_onehot_y", "include_background"}
# With a sigmoid, but not a loss of a single foreground channel and its mask alone: they need more in each call.
_WITH_MORE = ("MaskedDiceLoss",)


class MonaiLoss(nn.Module):
    """A loss of ``monai.losses`` on one channel of logits (the extra ``monai``).

    Args:
        options: ``class``, its name, such as TverskyLoss; all else is passed on to it.

    Raises:
        UserError: MONAI is missing, has no such loss of logits and masks, or the loss has no such option.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        try:
            import monai.losses
        except ImportError as error:
            raise UserError("loss=monai needs the package: pip install 'lightning-seg[monai]'.") from error
        name = options.pop("class")
        losses = segmentation_losses(vars(monai.losses))
        if name not in losses:
            raise UserError(
                f"loss.class={name} is no loss of logits and masks in MONAI; choose one of {', '.join(losses)}."
            )
        accepted = inspect.signature(losses[name]).parameters.keys() - _FOR_OTHER_CHANNELS
        if unknown := options.keys() - accepted:
            raise UserError(
                f"MONAI's {name} has no option {min(unknown)!r} here; it has {', '.join(sorted(accepted))}."
            )
        # There is one channel and it is the lesion's, not the background's.
        known = inspect.signature(losses[name]).parameters
        fixed = {key: True for key in ("sigmoid", "include_background") if key in known}
        self.loss = losses[name](**fixed, **options)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.loss(*to_computing_dtype(logits, targets))


def segmentation_losses(names: Mapping[str, Any]) -> dict[str, type[nn.Module]]:
    """The classes that score one channel of logits against its mask."""

    def suits(loss: type[nn.Module]) -> bool:
        if loss.__name__ in _WITH_MORE:
            return False
        return loss.__name__ in _OF_LOGITS or "sigmoid" in inspect.signature(loss).parameters

    modules = [value for value in names.values() if inspect.isclass(value) and issubclass(value, nn.Module)]
    return {loss.__name__: loss for loss in sorted(modules, key=lambda loss: loss.__name__) if suits(loss)}
