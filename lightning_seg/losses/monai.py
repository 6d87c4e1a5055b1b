"""Any segmentation loss of MONAI (https://docs.monai.io/en/stable/losses.html)."""

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.extras import install_line
from lightning_seg.losses.inputs import to_computing_dtype

log = logging.getLogger(__name__)

# They take logits without being told to. Most others take them with sigmoid=True.
_OF_LOGITS = ("FocalLoss",)
# They take probabilities, and know no sigmoid.
_OF_PROBABILITIES = ("AsymmetricUnifiedFocalLoss",)
# What they do with other activations and more channels than the lesion's.
_FOR_OTHER_CHANNELS = {"sigmoid", "softmax", "other_act", "to_onehot_y", "include_background", "num_classes"}
# Losses of segmentation all the same, and why they cannot be had here.
_REFUSED = {
    "MaskedDiceLoss": "needs a region of interest with each image, which no dataset here has",
    "MaskedLoss": "wraps another loss, and needs a region of interest with each image",
    "DeepSupervisionLoss": "wraps another loss; auxiliary outputs are trained here as model.deep_supervision says",
    "MultiScaleLoss": "wraps another loss",
    "GeneralizedWassersteinDiceLoss": "needs distances between several classes, and there is the lesion alone",
    "NACLLoss": "needs a channel for each class; loss=nacl is the same for a single one",
    "SSIMLoss": "compares pictures by their local statistics, not a prediction with its mask",
    "AUCMLoss": "scores one number an image",
}


class MonaiLoss(nn.Module):
    """A loss of ``monai.losses`` on one channel of logits (the extra ``monai``).

    A warning tells where a loss, as it is set, is Dice by another name, or flat on masks without a lesion.

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
            raise UserError(f"loss=monai needs the package: {install_line('monai')}.") from error
        name = options.pop("class")
        losses = segmentation_losses(vars(monai.losses))
        if name not in losses:
            reason = f": it {_REFUSED[name]}" if name in _REFUSED else " in MONAI"
            raise UserError(
                f"loss.class={name} is no loss of logits and masks{reason}; choose one of {', '.join(losses)}."
            )
        known = inspect.signature(losses[name]).parameters
        accepted = known.keys() - _FOR_OTHER_CHANNELS
        if unknown := options.keys() - accepted:
            raise UserError(
                f"MONAI's {name} has no option {min(unknown)!r} here; it has {', '.join(sorted(accepted))}."
            )
        # There is one channel and it is the lesion's, not the background's.
        fixed = {key: True for key in ("sigmoid", "include_background") if key in known}
        self.loss = losses[name](**fixed, **options)
        self.takes_probabilities = name in _OF_PROBABILITIES
        for remark in self._traps(monai.losses.DiceLoss(sigmoid=True)):
            log.warning("MONAI's %s, as it is set, %s.", name, remark)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        return self.loss(torch.sigmoid(logits) if self.takes_probabilities else logits, targets)

    def _traps(self, dice: nn.Module) -> list[str]:
        """What its user should know, found by a look at a small image."""
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(1, 1, 16, 16, generator=generator).requires_grad_()
        truth = torch.zeros_like(logits)
        (slope,) = torch.autograd.grad(self(logits, truth).sum(), logits)
        remarks = []
        if not slope.any():
            remarks.append("is flat on a mask without a lesion, whatever is predicted there")
        truth[..., 4:12, 4:12] = 1
        value, other = self(logits, truth), dice(logits, truth)
        if not isinstance(self.loss, type(dice)) and torch.allclose(value, other, rtol=1e-4):
            remarks.append("is the Dice loss (here loss=dice)")
        return remarks


def segmentation_losses(names: Mapping[str, Any]) -> dict[str, type[nn.Module]]:
    """The classes that score one channel of logits against its mask."""

    def suits(loss: type[nn.Module]) -> bool:
        if loss.__name__ in _REFUSED:
            return False
        by_name = loss.__name__ in (*_OF_LOGITS, *_OF_PROBABILITIES)
        return by_name or "sigmoid" in inspect.signature(loss).parameters

    modules = [value for value in names.values() if inspect.isclass(value) and issubclass(value, nn.Module)]
    return {loss.__name__: loss for loss in sorted(modules, key=lambda loss: loss.__name__) if suits(loss)}
