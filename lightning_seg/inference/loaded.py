"""A trained run, or the mean of a cell's, for one's own Python."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from PIL import Image, ImageOps
from torch import nn

from lightning_seg.errors import UserError
from lightning_seg.inference.images import SMALLEST_SIDE, read_photo
from lightning_seg.inference.predict import to_source
from lightning_seg.inference.threshold import choose_threshold
from lightning_seg.inference.trained import Predictor, choose_device, find_weights, to_square
from lightning_seg.runs.record import Record

AnyImage = NDArray[np.uint8] | Image.Image | str | Path


class LoadedRun:
    """What :func:`load_run` gives.

    Args:
        predictor: one run, or several whose mean is taken.

    Attributes:
        predictor: the same.
        directory, record, config, model: of the run, or of the first of several; ``model`` is an ordinary
            ``torch.nn.Module`` in evaluation mode, ``record.test["dice"]`` its Dice on its own test images.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        first = predictor.runs[0]
        self.directory: Path = first.directory
        self.record: Record = first.record
        self.config: DictConfig = first.config
        self.model: nn.Module = first.model

    def __repr__(self) -> str:
        return f"<{len(self.predictor.runs)} trained by {self.directory}, test Dice {self.record.test.get('dice')}>"

    def predict(self, image: AnyImage) -> NDArray[np.uint8]:
        """The mask of an image, as ``lightning-seg predict`` writes it: 0 and 255, uint8 ``(H, W)``.

        Args:
            image: RGB or grey, uint8 ``(H, W, 3)`` or ``(H, W)``, a Pillow image, or a file, of any size. JPEGs that a
                dataset of photographs decodes at a reduced size, as ISIC's are, are so decoded from a file alone.

        Raises:
            UserError: it is none such, or too small.
        """
        return (self.probability(image) > self.predictor.threshold.value) * np.uint8(255)

    def probability(self, image: AnyImage) -> NDArray[np.float32]:
        """The lesion's probability at each pixel, ``(H, W)``, in [0, 1]; arguments and errors as of :meth:`predict`."""
        if isinstance(image, str | Path):
            photo = read_photo(Path(image).expanduser(), self.predictor.preparation)
            pixels, size = photo.pixels, photo.size
        else:
            picture = _picture(image)
            pixels, size = to_square(picture, self.predictor.preparation.size), picture.size
        return to_source(self.predictor.probabilities(pixels[None]).mean(axis=0)[0], size)


def load_run(run: str | Path, *, flips: bool = False, device: str = "auto", threshold: str | float = 0.5) -> LoadedRun:
    """Load a finished run that has kept its weights.

    Args:
        run: its folder or its weights file; or its cell's folder, ``<study>/<dataset>/<model>/<loss>``, for the mean of
            all its repeats.
        flips: average over four mirrored views of each image.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ... or ``mps``.
        threshold: above which probability a pixel is called lesion, as ``--threshold`` takes it.

    Raises:
        UserError: there are no weights, they are damaged, or not those of the recorded network.
    """
    weights = find_weights([Path(run).expanduser()])
    return LoadedRun(Predictor(weights, choose_device(device), flips, choose_threshold(str(threshold), weights)))


def _picture(image: NDArray[np.uint8] | Image.Image) -> Image.Image:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
            raise UserError(
                f"An image is uint8, (H, W, 3) or (H, W), from 0 to 255, and not {image.dtype} {image.shape}: bring it "
                "to that first, as the images that the run was trained on."
            )
        image = Image.fromarray(np.ascontiguousarray(image))
    else:
        if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
            raise UserError(f"An image of Pillow's mode {image.mode} has no 8-bit colours: convert it to RGB first.")
        image = ImageOps.exif_transpose(image)
    if min(image.size) < SMALLEST_SIDE:
        raise UserError(f"The image is {image.size[0]}x{image.size[1]}: {SMALLEST_SIDE} pixels a side are the least.")
    return image.convert("RGB")
