"""Augmentation as a controlled factor: what is drawn for an image depends on (seed, repeat, epoch, image) alone.

So all losses and networks are trained on the very same images, and a training that was killed goes on with them.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.data.batch import Batch
from lightning_seg.errors import UserError
from lightning_seg.seed import derive_seed, seeded

Augmentation = Callable[[Batch], Batch]
_DRAWS = 16  # numbers drawn for an image; each change has its own, whatever else is switched off
_TURN, _MOVE, _SCALE, _RIGHT, _DOWN, _ANGLE = range(6)
_BRIGHTNESS, _CONTRAST, _GAMMA, _BLUR, _NOISE = 6, 8, 10, 12, 14  # whether, and how much
_BLUR_RADIUS = 3  # standard deviations


class Flips:
    """One of the eight mirrors and quarter turns for each image, as likely as the others."""

    def __call__(self, batch: Batch) -> Batch:
        return turned(batch, draws(batch)[:, _TURN])


class Standard:
    """Mirrors and quarter turns for each image, and other changes for some.

    Masks are moved with their images, by the nearest pixel; what comes in from beyond the border is mirrored there.

    Args:
        scale: least and greatest factor of lengths.
        shift: most, along each axis, as a share of the side.
        rotation: most, in degrees.
        brightness: most that is added or taken, as a share of white.
        contrast: least and greatest factor of the distance from the image's mean.
        gamma: least and greatest exponent.
        blur: greatest standard deviation, in pixels.
        noise: greatest standard deviation of Gaussian noise, as a share of white.
        moved: share of images that are scaled, shifted and rotated.
        recoloured: share of images for each of brightness, contrast and gamma.
        degraded: share of images for each of blur and noise.

    Raises:
        UserError: a value is out of range.
    """

    def __init__(
        self,
        *,
        scale: Sequence[float],
        shift: float,
        rotation: float,
        brightness: float,
        contrast: Sequence[float],
        gamma: Sequence[float],
        blur: float,
        noise: float,
        moved: float,
        recoloured: float,
        degraded: float,
    ) -> None:
        for name, (least, most) in {"scale": scale, "contrast": contrast, "gamma": gamma}.items():
            if not 0 < least <= most:
                raise UserError(f"augmentation.{name} must be two numbers above 0 in order, such as [0.8,1.25].")
        sizes = {"shift": shift, "rotation": rotation, "brightness": brightness, "blur": blur, "noise": noise}
        for name, value in sizes.items():
            if value < 0:
                raise UserError(f"augmentation.{name}={value} is not valid: it must be a number from 0.")
        for name, value in {"moved": moved, "recoloured": recoloured, "degraded": degraded}.items():
            if not 0 <= value <= 1:
                raise UserError(f"augmentation.{name}={value} is not valid: it must be a share from 0 to 1.")
        self.scale, self.contrast, self.gamma = tuple(scale), tuple(contrast), tuple(gamma)
        self.shift, self.rotation, self.brightness, self.blur, self.noise = shift, rotation, brightness, blur, noise
        self.moved, self.recoloured, self.degraded = moved, recoloured, degraded

    def __call__(self, batch: Batch) -> Batch:
        drawn = draws(batch)
        batch = self._move(turned(batch, drawn[:, _TURN]), drawn)
        images = self._recolour(batch.images, drawn)
        images = self._blur(images, drawn)
        return batch._replace(images=self._add_noise(images, drawn, batch.seeds).clamp_(0, 1))

    def _move(self, batch: Batch, drawn: Tensor) -> Batch:
        """Scale, shift and rotate in one sampling."""
        chosen = _chosen(drawn[:, _MOVE], self.moved)
        if not len(chosen):
            return batch
        some = drawn[chosen]
        angle = math.radians(self.rotation) * _signed(some[:, _ANGLE])
        factor = _between(some[:, _SCALE], *self.scale)
        cosine, sine = angle.cos() / factor, angle.sin() / factor
        right, down = (2 * self.shift * _signed(some[:, axis]) for axis in (_RIGHT, _DOWN))  # the side is 2 long
        theta = torch.stack([cosine, -sine, right, sine, cosine, down], 1).view(-1, 2, 3)
        where = chosen.to(batch.images.device)
        images, masks = batch.images[where], batch.masks[where]
        grid = F.affine_grid(theta.float().to(images.device), list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        masks = F.grid_sample(masks, grid, mode="nearest", padding_mode="reflection", align_corners=False)
        return batch._replace(
            images=batch.images.index_copy(0, where, images), masks=batch.masks.index_copy(0, where, masks)
        )

    def _recolour(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Gamma, contrast and brightness; an image that none is drawn for keeps its values."""
        column = drawn.shape[0], 1, 1, 1

        def values(place: int, neutral: float, drawn_values: Tensor) -> Tensor:
            kept = torch.where(drawn[:, place] < self.recoloured, drawn_values, neutral)
            return kept.float().view(column).to(images.device)

        gamma = values(_GAMMA, 1.0, _between(drawn[:, _GAMMA + 1], *self.gamma))
        contrast = values(_CONTRAST, 1.0, _between(drawn[:, _CONTRAST + 1], *self.contrast))
        brightness = values(_BRIGHTNESS, 0.0, self.brightness * _signed(drawn[:, _BRIGHTNESS + 1]))
        images = images.clamp(0, 1).pow(gamma)
        centre = images.mean((1, 2, 3), keepdim=True)
        return images * contrast + (centre * (1 - contrast) + brightness)

    def _blur(self, images: Tensor, drawn: Tensor) -> Tensor:
        chosen = _chosen(drawn[:, _BLUR], self.degraded)
        if not len(chosen) or not self.blur:
            return images
        radius = min(math.ceil(_BLUR_RADIUS * self.blur), min(images.shape[-2:]) - 1)
        sigma = (self.blur * drawn[chosen, _BLUR + 1]).clamp(min=1e-3)[:, None]
        kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma).square())
        kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(images.shape[1], 0).float()
        where, kernel = chosen.to(images.device), kernel.to(images.device)
        some = images[where]
        stacked = F.pad(some, [radius] * 4, mode="reflect").flatten(0, 1)[None]
        stacked = F.conv2d(stacked, kernel[:, None, None, :], groups=len(kernel))
        stacked = F.conv2d(stacked, kernel[:, None, :, None], groups=len(kernel))
        return images.index_copy(0, where, stacked.view(some.shape))

    def _add_noise(self, images: Tensor, drawn: Tensor, seeds: Tensor | None) -> Tensor:
        assert seeds is not None
        for number in _chosen(drawn[:, _NOISE], self.degraded).tolist():
            generator = torch.Generator(images.device).manual_seed(derive_seed(int(seeds[number]), 1))
            noise = torch.randn(images.shape[1:], generator=generator, device=images.device)
            images[number] += self.noise * float(drawn[number, _NOISE + 1]) * noise
        return images


def draws(batch: Batch) -> Tensor:
    """Uniform numbers in [0, 1) for each image, from its seed; float64 ``(N, 16)`` on the CPU."""
    assert batch.seeds is not None
    return torch.stack(
        [
            torch.rand(_DRAWS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
            for seed in batch.seeds.tolist()
        ]
    )


def turned(batch: Batch, drawn: Tensor) -> Batch:
    """Mirror and turn each square image, and its mask, by what is drawn in [0, 1): not a pixel changes its value."""
    codes = (8 * drawn).long()
    images, masks = batch.images.clone(), batch.masks.clone()
    for code in codes.unique().tolist():
        where = (codes == code).nonzero()[:, 0].to(images.device)
        for pixels in (images, masks):
            some = pixels[where]
            some = some.flip(-1) if code >= 4 else some
            pixels[where] = some.rot90(code % 4, (-2, -1))
    return batch._replace(images=images, masks=masks)


class Augmented:
    """Any augmentation, called with its own random numbers and its result looked at.

    Torch's, NumPy's and Python's global random numbers are seeded for each batch and afterwards are what they were, so
    that an augmentation may use any of them, and the network's own (dropout) do not depend on it.

    Args:
        augmentation: what is called.

    Raises:
        UserError: it cannot be called; and, when called, it returns no batch of such images and masks.
    """

    def __init__(self, augmentation: Augmentation) -> None:
        if not callable(augmentation):
            raise UserError(f"augmentation must be callable, from batch to batch, and is a {_kind(augmentation)}.")
        self._augmentation = augmentation
        self._seen = False

    def __call__(self, batch: Batch) -> Batch:
        assert batch.seeds is not None
        with seeded(int(batch.seeds[0]), batch.images.device):
            made = self._augmentation(batch)
        problem = _shape_problem(made, batch) or ("" if self._seen else _value_problem(made))
        if problem:
            raise UserError(f"The augmentation {_kind(self._augmentation)} {problem}.")
        self._seen = True
        return made


def _shape_problem(made: object, batch: Batch) -> str:
    if not isinstance(made, Batch):
        return f"must return the batch that it was given, changed by batch._replace(...), and returns a {_kind(made)}"
    images, masks = made.images, made.masks
    if images.shape[:2] != batch.images.shape[:2] or masks.shape != (len(images), 1, *images.shape[2:]):
        return f"returns images of shape {tuple(images.shape)} with masks of shape {tuple(masks.shape)}"
    if not (images.is_floating_point() and masks.is_floating_point()):
        return f"must return floating-point numbers, and returns {images.dtype} and {masks.dtype}"
    return ""


def _value_problem(made: Batch) -> str:
    """What is wrong with the values of the first batch; later ones are not waited for."""
    if not bool(((made.masks == 0) | (made.masks == 1)).all()):
        return "returns masks that hold more than 0 and 1: move them by the nearest pixel"
    if not bool(made.images.isfinite().all()):
        return "returns images that are not finite"
    return ""


def _kind(value: object) -> str:
    return getattr(value, "__name__", type(value).__name__)


def _chosen(drawn: Tensor, share: float) -> Tensor:
    return (drawn < share).nonzero()[:, 0]


def _signed(drawn: Tensor) -> Tensor:
    return 2 * drawn - 1


def _between(drawn: Tensor, least: float, most: float) -> Tensor:
    """From ``least`` to ``most``, with uniform logarithms."""
    return least * (most / least) ** drawn
