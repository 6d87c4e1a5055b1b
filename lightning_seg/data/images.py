"""How an image file becomes pixels: one rule for every dataset and for prediction."""

import math
import warnings
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageChops, ImageOps, UnidentifiedImageError

from lightning_seg.errors import UserError
from lightning_seg.files import open_plain

MASK_THRESHOLD = 128  # of 255: JPEG noise around 0 and 255 and stray values disappear; "> 0" would keep them
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

# 8 bits a channel with a known meaning. Others (CMYK without its profile, 16-bit grey of an unknown range, ...) would
# be converted to something plausible and wrong.
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"})
_COLOUR_TOLERANCE = 32  # of 255 between the channels of a grey mask; JPEG may leave a little colour
# Pillow knows many more, and hands one of them, EPS, to another program.
_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
_MOST_FILE_BYTES = 2**30
_MOST_PIXELS = 178_956_970  # at which Pillow refuses images of its own kinds
_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_DRAFT_FACTOR = 3  # a reduced JPEG keeps at least this multiple of the side that it is resized to


class Picture(NamedTuple):
    """A decoded file.

    Attributes:
        image: the pixels, upright; ``RGB`` for an image, ``L`` for a mask.
        size: width and height of the file's full, upright image; ``image`` is smaller if it was reduced while decoding.
    """

    image: Image.Image
    size: tuple[int, int]


def open_image(path: Path, reduce_to: int | None = None) -> Picture:
    """Decode an image: 8-bit RGB, turned upright by its EXIF orientation, alpha dropped.

    Args:
        path: a BMP, JPEG, PNG, TIFF or WebP file.
        reduce_to: the side in pixels to which a JPEG will be resized. It is then decoded at 1/2, 1/4 or 1/8 where that
            leaves three times this side. On the 40 sample images of ISIC-2017, the resized result at 224 is at most 2
            of 255 levels off that of the full image, on average 0.11, in less than half the time.

    Raises:
        UserError: the file is unreadable, or of a kind whose colours cannot be told (CMYK, 16-bit or float grey, Lab).
    """
    picture = _decode(path, reduce_to)
    return picture._replace(image=picture.image.convert("RGB"))


def open_mask(path: Path) -> Picture:
    """Decode a mask: 8-bit grey, turned upright, alpha dropped; the lesion is where it is >= ``MASK_THRESHOLD``.

    Raises:
        UserError: the file is unreadable, its kind has no clear grey values, it is coloured, or it has values but none
            reaches the threshold (such as a mask of 0 and 1): each of these would silently lose lesions.
    """
    image, size = _decode(path)
    if image.mode not in ("1", "L"):
        image = image.convert("RGB")
        red, green, blue = image.split()
        for other in (green, blue):
            if np.asarray(ImageChops.difference(red, other)).max(initial=0) > _COLOUR_TOLERANCE:
                raise UserError(f"{path}: the mask has colours; save it in grey, the lesion white (255) on black (0)")
    grey = image.convert("L")
    brightest = int(np.asarray(grey).max(initial=0))
    if 0 < brightest < MASK_THRESHOLD:
        raise UserError(
            f"{path}: the mask's brightest value is {brightest} of 255, so nothing in it counts as lesion; "
            "save it with the lesion white (255) on black (0)"
        )
    return Picture(grey, size)


def _decode(path: Path, reduce_to: int | None = None) -> Picture:
    """Decode a file completely and turn it upright, in its own mode."""
    try:
        # Given a name, Pillow 13 maps grey TIFFs into memory, and scrambles those that lie on their side.
        with open_plain(path, _MOST_FILE_BYTES, follow=True) as file, _open(file, path) as image:
            if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
                raise UserError(f"{path}: holds {image.n_frames} pages; save one image a file")  # type: ignore[attr-defined]
            if image.mode not in _MODES:
                raise UserError(f"{path}: is {_spelt(image.mode)}; convert it to 8-bit RGB or grey")
            size = image.size
            if reduce_to is not None:
                image.draft(None, (_DRAFT_FACTOR * reduce_to, _DRAFT_FACTOR * reduce_to))  # does nothing but for JPEG
            reduced = image.size != size
            upright = ImageOps.exif_transpose(image)
            if not reduced:
                size = upright.size  # not by the orientation: a TIFF is opened upright, though the tag is still there
            elif image.getexif().get(ExifTags.Base.Orientation, 1) in _ON_ITS_SIDE:
                size = size[::-1]
            return Picture(upright, size)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be read as an image ({error})") from error


def _open(file: BinaryIO, path: Path) -> Image.Image:
    # Of warnings Pillow has one that matters, on images of over 89 megapixels, and ISIC comes near it; over 178 is an
    # error.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(file, formats=_FORMATS)
        except UnidentifiedImageError:
            if path.suffix.lower() not in (".tif", ".tiff"):
                raise ValueError("it is of no known kind") from None
            return _open_tiff(path)


def _open_tiff(path: Path) -> Image.Image:
    """A TIFF that Pillow refuses, such as CVC-ClinicDB's: three samples a pixel, declared as grey."""
    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            # Known before anything is unpacked: a few kilobytes may say that they are gigabytes.
            if max(math.prod(series.shape), math.prod(series.keyframe.chunks)) > 3 * _MOST_PIXELS:
                raise ValueError(f"it is of {series.shape} values, more than {_MOST_PIXELS:,} pixels")
            pixels = series.asarray()
    except Exception as error:  # on damaged files tifffile lets whatever it stumbles over escape
        raise ValueError(str(error)) from error
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(f"TIFF of {pixels.dtype} in the shape {pixels.shape}; 8-bit grey or RGB is understood")
    return Image.fromarray(pixels)


def _spelt(mode: str) -> str:
    if mode.startswith("I"):
        return "16- or 32-bit grey, whose range is unknown"
    return {"F": "floating-point grey", "La": "grey with premultiplied alpha"}.get(mode, mode)
