"""The contract that every network of the study keeps."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import islice

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.errors import UserError


class SegmentationModel(nn.Module, ABC):
    """A network that maps normalised images to lesion logits.

    Subclasses write :meth:`outputs`; this class makes it work at any input size and picks what training and
    inference see of it.

    Attributes:
        size_multiple: the input sides that the network itself accepts are multiples of this number. Images of
            other sizes are padded at the bottom and right by repeating the border, and the logits are cropped
            back.
        output_weights: the weight of each map of :meth:`outputs` in the training loss, as the network's
            authors chose them; the first belongs to the main output.
        every_map: whether training mode gives every map, for a loss on each; without it there is one tensor in both
            modes, as :func:`lightning_seg.build_model` has it.
        training_version: which form of the network's behaviour in training this is: its initialisation, dropout,
            normalisation, auxiliary maps and their weights. It rises with every change that makes new runs differ from
            old ones; the record of each run holds it. docs/networks.md tells what changed.
    """

    size_multiple: int = 1
    output_weights: tuple[float, ...] = (1.0,)
    every_map: bool = True
    training_version: int = 1

    @abstractmethod
    def outputs(self, images: Tensor) -> Iterable[Tensor]:
        """All logit maps, the main one first, then the auxiliary ones.

        Evaluation takes the first alone: what comes from a generator after it is not computed then.

        Args:
            images: normalised images, float ``(N, in_channels, H, W)``, sides multiples of ``size_multiple``.

        Returns:
            One logit map ``(N, classes, H, W)`` for each entry of ``output_weights``.
        """

    @property
    def weights_source(self) -> dict[str, dict[str, str]]:
        """The pretrained weights that each encoder started from, by its name in this network.

        See :func:`lightning_seg.models.encoders.create_encoder`; empty if everything started at random.
        """
        sources = {name: getattr(part, "weights_source", None) for name, part in self.named_children()}
        return {name: source for name, source in sources.items() if source}

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Training mode with ``every_map``: every logit map of :meth:`outputs`; else the main one alone.

        Args:
            images: normalised images, float ``(N, in_channels, H, W)``, any size.

        Returns:
            Logits ``(N, classes, H, W)`` at the images' size.
        """
        height, width = images.shape[-2:]
        down, right = -height % self.size_multiple, -width % self.size_multiple
        if down or right:
            images = F.pad(images, (0, right, 0, down), mode="replicate")
        every = self.training and self.every_map
        maps = tuple(islice(self.outputs(images), None if every else 1))
        if down or right:
            maps = tuple(logits[..., :height, :width] for logits in maps)
        return maps if every else maps[0]


def check_multiple(key: str, value: object, of: int = 1) -> None:
    """Raise a :class:`UserError` unless the option ``key`` is a positive multiple ``of`` a number."""
    if not isinstance(value, int) or value < of or value % of:
        kind = "a whole number from 1" if of == 1 else f"a multiple of {of} from {of}"
        raise UserError(f"model.{key}={value} is not valid: it must be {kind}.")
