"""What is served: images, their masks, and what goes with them."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Images and masks.

    Attributes:
        images: ``(N, 3, H, W)``: uint8 on their way to the device, float32 in [0, 1] while they are augmented there,
            then normalised.
        masks: ``(N, 1, H, W)``: bool on their way, float32 in {0, 1} on the device.
        distances: of the masks, float16 ``(N, 1, H, W)``, where they are served: see
            :func:`lightning_seg.distances.boundary_distances`.
        seeds: int64 ``(N,)`` on the CPU, where images are augmented: of each image's random numbers, from (seed,
            repeat, epoch, image) alone.
    """

    images: Tensor
    masks: Tensor
    distances: Tensor | None = None
    seeds: Tensor | None = None
