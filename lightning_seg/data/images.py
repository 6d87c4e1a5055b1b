"""How an image file becomes pixels: one rule for every dataset and for prediction.

:func:`_decode` is the one place where a file is opened.
"""

import math
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageChops, ImageFile, UnidentifiedImageError

from lightning_seg.data.window import Window
from lightning_seg.errors import UserError
from lightning_seg.extras import install_line
from lightning_seg.files import open_plain

MASK_THRESHOLD = 128  # of 255: JPEG noise around 0 and 255 and stray values disappear; "> 0" would keep them
IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
    | {".tif", ".tiff", ".webp"}
)
COLOUR_TOLERANCE = 32  # of 255 between the channels of a grey mask; JPEG may leave a little colour

# 8 bits a channel with a known meaning. Others (CMYK without its profile, 16-bit grey of an unknown range, ...) would
# be converted to something plausible and wrong.
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"})
_PAGED = frozenset({"TIFF", "GIF", "WEBP"})  # of which a second page is a second picture
# Pillow knows many more, and hands one of them, EPS, to another program. JPEG also opens MPO, of phones.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MOST_FILE_BYTES = 2**30
_GREAT = 2**25  # pixels; the largest usual photos have fewer
_great = Lock()
_PART = 1 << 22  # pixels that Pillow passes on at a time
_MOST_PIXELS = 178_956_970  # at which Pillow refuses images of its own kinds
_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_DRAFT_FACTOR = 3  # a reduced JPEG keeps at least this multiple of the side that it is resized to
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Said of damaged tags and of palettes with transparency, for each image anew; only pixels' colours are read.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

Deepen = Callable[[NDArray], Image.Image]  # makes an image of an array of more than 8 bits


class BadFileError(UserError):
    """A file that cannot be used.

    Attributes:
        path: which.
        reason: why, and what to do.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Picture(NamedTuple):
    """A decoded file.

    Attributes:
        image: the pixels, upright; ``RGB`` for an image, ``L`` for a mask.
        size: width and height of the file's full, upright image; ``image`` is smaller if it was reduced while decoding.
    """

    image: Image.Image
    size: tuple[int, int]


def open_image(path: Path, reduce_to: int | None = None, window: Window | None = None) -> Picture:
    """Decode an image: 8-bit RGB, turned upright by its EXIF orientation, alpha dropped.

    Args:
        path: a file of one of ``IMAGE_SUFFIXES``.
        reduce_to: the side in pixels to which a JPEG will be resized. It is then decoded at 1/2, 1/4 or 1/8 where that
            leaves three times this side. On the 40 sample images of ISIC-2017, the resized result at 224 is at most 2
            of 255 levels off that of the full image, on average 0.11, in less than half the time.
        window: how grey or colour of 16 or 32 bits or floating point becomes 8-bit; without it such files are refused.

    Raises:
        BadFileError: the file is unreadable, or of a kind whose colours cannot be told (CMYK, Lab, deep without a
            window).
    """

    def windowed(pixels: NDArray) -> Image.Image:
        assert window is not None
        return Image.fromarray(window.apply(pixels))

    picture = _decode(path, reduce_to, windowed if window else None, deep_colours=window is not None)
    return picture if picture.image.mode == "RGB" else picture._replace(image=picture.image.convert("RGB"))


def open_mask(path: Path) -> Picture:
    """Decode a mask: 8-bit grey, turned upright, alpha dropped; the lesion is where it is >= ``MASK_THRESHOLD``.

    This is the rule of the published datasets; for others see :mod:`lightning_seg.data.lesion`.

    Raises:
        BadFileError: the file is unreadable, its kind has no clear grey values, it is coloured, or it has values but
            none reaches the threshold (such as a mask of 0 and 1): each of these would silently lose lesions.
    """
    image, size = _decode(path)
    if image.mode not in ("1", "L"):
        image = image.convert("RGB")
        if not is_grey(image):
            raise BadFileError(path, "the mask has colours; save it in grey, the lesion white (255) on black (0)")
    grey = image.convert("L")
    brightest = int(np.asarray(grey).max(initial=0))
    if 0 < brightest < MASK_THRESHOLD:
        raise BadFileError(
            path,
            f"the mask's brightest value is {brightest} of 255, so nothing in it counts as lesion; "
            "save it with the lesion white (255) on black (0)",
        )
    return Picture(grey, size)


def open_unconverted(path: Path) -> Picture:
    """Decode a file upright in a mode of its own values: ``I`` for deep integers, ``F`` for floating point.

    Raises:
        BadFileError: the file is unreadable, or of a kind whose values cannot be told (CMYK, Lab, deep colours).
    """

    def kept(pixels: NDArray) -> Image.Image:
        if pixels.ndim != 2:
            raise ValueError(f"it has colours of {pixels.dtype}")
        return Image.fromarray(pixels.astype(np.float32 if pixels.dtype.kind == "f" else np.int32, copy=False))

    return _decode(path, deepen=kept, kept_modes=("I", "F"))


@contextmanager
def great_images_alone(*paths: Path, turn: Lock = _great) -> Iterator[None]:
    """Work on images of many pixels while no other thread does: a few kilobytes may take a gigabyte.

    Args:
        paths: of the images, such as a photo and its mask.
        turn: what is held meanwhile; another one for work that is waited for under the first.
    """
    with turn if any(map(_is_great, paths)) else nullcontext():
        yield


def _is_great(path: Path) -> bool:
    """Whether a file says that it has many pixels, by its header alone."""
    try:
        with open_plain(path, _MOST_FILE_BYTES, follow=True) as file:
            try:
                with _identified(file, path) as image:
                    return math.prod(image.size) > _GREAT
            except UnidentifiedImageError:
                file.seek(0)
                with tifffile.TiffFile(file, name=path.name) as tiff:
                    return _values_of(tiff) > _GREAT
    except Exception:  # reading it says what is wrong
        return False


def _values_of(tiff: tifffile.TiffFile) -> int:
    """The values that the first picture takes while it is unpacked, each in its whole tile or strip."""
    series = tiff.series[0]
    return max(math.prod(series.shape), math.prod(series.keyframe.chunks))


def is_grey(image: Image.Image) -> bool:
    """Whether the channels of an RGB image are equal, but for the little colour that JPEG leaves."""
    red, green, blue = image.split()
    return all(
        np.asarray(ImageChops.difference(red, other)).max(initial=0) <= COLOUR_TOLERANCE for other in (green, blue)
    )


def _decode(
    path: Path,
    reduce_to: int | None = None,
    deepen: Deepen | None = None,
    deep_colours: bool = False,
    kept_modes: Collection[str] = (),
) -> Picture:
    """Decode a file completely and turn it upright, in its own mode.

    Args:
        path: of the file.
        reduce_to: see :func:`open_image`.
        deepen: what becomes of grey of more than 8 bits; without it such files are refused.
        kept_modes: deep ones that stay as they are.
        deep_colours: colours of 16 bits go that way, too; Pillow alone would take their high bytes.
    """
    try:
        # Given a name, Pillow 13 maps grey TIFFs into memory, and scrambles those that lie on their side.
        with (
            open_plain(path, _MOST_FILE_BYTES, follow=True) as file,
            _open(file, path, deepen, deep_colours) as image,
        ):
            pages = getattr(image, "n_frames", 1) if image.format in _PAGED else 1
            if pages > 1:
                raise BadFileError(path, f"holds {pages} pages; save one image a file")
            deep = image.mode[0] in "IF"
            if image.mode not in _MODES and not (deep and deepen):
                raise BadFileError(path, f"is {_spelt(image.mode)}; {_remedy(deep)}")
            size = image.size
            if reduce_to is not None:
                image.draft(None, (_DRAFT_FACTOR * reduce_to, _DRAFT_FACTOR * reduce_to))  # does nothing but for JPEG
            reduced = image.size != size
            upright = _upright(image)
            if not reduced:
                size = upright.size  # not by the orientation: a TIFF is opened upright, though the tag is still there
            elif image.getexif().get(ExifTags.Base.Orientation, 1) in _ON_ITS_SIDE:
                size = size[::-1]
            if deep and deepen and image.mode not in kept_modes:
                return Picture(deepen(pixels_of(upright)), size)
            return Picture(upright, size)
    except BadFileError:
        raise
    except MemoryError:
        raise BadFileError(path, "cannot be read as an image (it needs more memory than there is)") from None
    except Exception as error:  # decoders let whatever a damaged file makes them stumble over escape
        raise BadFileError(path, f"cannot be read as an image ({' '.join(str(error).split())})") from error


def pixels_of(image: Image.Image) -> NDArray:
    """An image's values; of four bytes a pixel in parts, as Pillow passes on the whole by way of two copies."""
    if image.mode not in ("I", "F"):
        return np.asarray(image)
    pixels = np.empty((image.height, image.width), dtype=np.int32 if image.mode == "I" else np.float32)
    rows = max(1, _PART // max(image.width, 1))
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says.

    ``ImageOps.exif_transpose`` also writes the other tags anew, and fails where one of them is damaged.
    """
    image.load()
    method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if method is None else image.transpose(method)


def _open(file: BinaryIO, path: Path, deepen: Deepen | None, deep_colours: bool) -> Image.Image:
    is_tiff = path.suffix.lower() in (".tif", ".tiff")
    try:
        image = _identified(file, path)
    except UnidentifiedImageError:
        if not is_tiff:
            raise ValueError("it is of no known kind") from None
        return _open_tiff(file, path, deepen)
    if deep_colours and image.mode == "RGB" and any(";16" in str(tile) for tile in image.tile):
        if not is_tiff:
            raise ValueError("it has colours of 16 bits, which are read from TIFF files alone")
        return _open_tiff(file, path, deepen)
    return image


def _identified(file: BinaryIO, path: Path) -> ImageFile.ImageFile:
    """The image that Pillow finds in a file, its header read.

    Raises:
        UnidentifiedImageError: it knows no such kind.
    """
    # Of warnings Pillow has one that matters, on images of over 89 megapixels, and ISIC comes near it; over 178 is an
    # error.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        is_heif = path.suffix.lower() in (".heic", ".heif")
        if is_heif:
            _add_heif()
        return Image.open(file, formats=("HEIF",) if is_heif else _FORMATS)


def _add_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ValueError(f"HEIC needs pillow-heif: {install_line('heic')}") from None
    register_heif_opener()


def _open_tiff(file: BinaryIO, path: Path, deepen: Deepen | None) -> Image.Image:
    """A TIFF that Pillow refuses, such as CVC-ClinicDB's: three samples a pixel, declared as grey."""
    try:
        file.seek(0)
        with tifffile.TiffFile(file, name=path.name) as tiff:
            series = tiff.series[0]
            # Known before anything is unpacked: a few kilobytes may say that they are gigabytes.
            if _values_of(tiff) * series.dtype.itemsize > 3 * _MOST_PIXELS:
                raise ValueError(f"it is of {series.shape} values, more than {3 * _MOST_PIXELS:,} bytes")
            pixels = series.asarray()
    except Exception as error:  # as in _decode
        raise ValueError(str(error)) from error
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] == 3):
        raise ValueError(f"TIFF of {pixels.dtype} in the shape {pixels.shape}; grey or RGB is understood")
    if pixels.dtype == np.uint8:
        return Image.fromarray(pixels)
    if deepen is None or pixels.dtype.kind not in "iuf":
        raise ValueError(f"TIFF of {pixels.dtype} in the shape {pixels.shape}; {_remedy(deep=True)}")
    return deepen(pixels)


def _remedy(deep: bool) -> str:
    if not deep:
        return "convert it to 8-bit RGB or grey"
    return "say with dataset.window which values are black and white, or convert it to 8-bit RGB or grey"


def _spelt(mode: str) -> str:
    if mode.startswith("I"):
        return "16- or 32-bit grey, whose range is unknown"
    return {"F": "floating-point grey", "La": "grey with premultiplied alpha"}.get(mode, mode)
