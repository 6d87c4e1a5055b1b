"""What a mask file holds, before anybody has said which of it is lesion."""

from collections import Counter
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_seg.data.images import great_images_alone, is_grey, open_unconverted, pixels_of

_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".heic", ".heif")
FEW = 8  # values; more are shades: JPEG noise or smoothed outlines
_BLOCK = 1 << 24  # pixels that are counted or packed at a time
_MOST_VALUES = 1 << 16  # different ones, of which a file is described; the most common of them
_looking = Lock()
Kind = Literal["grey", "index", "colour"]
# How a file's alpha channel goes with the rest: there is none, it is the same everywhere, it alone varies, it varies as
# the rest does, it varies otherwise.
Alpha = Literal["none", "constant", "alone", "agrees", "conflicts"]


class Layers(NamedTuple):
    """A mask's pixels.

    Attributes:
        kind: ``grey`` levels, the ``index`` of a coloured palette, or a ``colour`` as 0xRRGGBB.
        values: of that kind, ``(H, W)``; grey levels are uint8, or int32 or float32 of deep files.
        alpha: 0 to 255, uint8 ``(H, W)``; ``None`` without an alpha channel.
        palette: 0xRRGGBB of each index.
        is_lossy: whether the file's format may blur values.
    """

    kind: Kind
    values: NDArray
    alpha: NDArray[np.uint8] | None
    palette: tuple[int, ...] = ()
    is_lossy: bool = False

    @property
    def is_blurred(self) -> bool:
        """Whether the format has blurred values: there are more than anybody draws."""
        return self.is_lossy and len(_counted(self.values)) > FEW

    def colours(self) -> NDArray[np.int32]:
        """The pixels' colours as 0xRRGGBB, int32 ``(H, W)``."""
        if self.kind == "colour":
            return self.values
        if self.kind == "index":
            return np.array(self.palette, dtype=np.int32)[self.values]
        return np.clip(self.values, 0, 255).astype(np.int32) * 0x010101


class Seen(NamedTuple):
    """A mask in figures.

    Attributes:
        path: of its file.
        kind: see :class:`Layers`.
        counts: how many pixels have each value.
        colours: of palettes, 0xRRGGBB of each index that occurs.
        alpha: see :data:`Alpha`.
        alpha_counts: how many pixels have each alpha, if there is an alpha channel.
    """

    path: Path
    kind: Kind
    counts: Counter[float]
    colours: dict[float, int]
    alpha: Alpha
    alpha_counts: Counter[float]

    @property
    def is_lossy(self) -> bool:
        """Whether the file's format may blur values."""
        return _is_lossy(self.path)

    @property
    def is_blurred(self) -> bool:
        """As of :class:`Layers`."""
        return self.is_lossy and len(self.counts) > FEW


def open_layers(path: Path) -> Layers:
    """Decode a mask file upright.

    Raises:
        BadFileError: as :func:`lightning_seg.data.images.open_unconverted`.
    """
    return _layers(open_unconverted(path).image)._replace(is_lossy=_is_lossy(path))


def _layers(image: Image.Image) -> Layers:
    alpha = _alpha(image)
    if image.mode in ("I", "F"):
        return Layers("grey", pixels_of(image), alpha)
    if image.mode in ("1", "L", "LA"):
        grey = image if image.mode == "L" else image.getchannel("L") if image.mode == "LA" else image.convert("L")
        return Layers("grey", np.asarray(grey), alpha)
    colours = image if image.mode == "RGB" else image.convert("RGB")
    if image.mode not in ("P", "PA"):
        image = colours  # a great one is not held twice
    if is_grey(colours):
        return Layers("grey", np.asarray(colours.convert("L")), alpha)
    if image.mode in ("P", "PA"):
        entries = np.array(image.getpalette("RGB"), dtype=np.int32).reshape(-1, 3)
        index = np.asarray(image.getchannel("P") if image.mode == "PA" else image)
        palette = np.zeros(256, dtype=np.int32)
        palette[: len(entries)] = _packed(entries)
        return Layers("index", index, alpha, tuple(palette.tolist()))
    packed = np.empty((colours.height, colours.width), dtype=np.int32)
    rows = max(1, _BLOCK // colours.width)
    for top in range(0, colours.height, rows):
        part = colours.crop((0, top, colours.width, min(top + rows, colours.height)))
        packed[top : top + rows] = _packed(np.asarray(part, dtype=np.int32))
    return Layers("colour", packed, alpha)


def _is_lossy(path: Path) -> bool:
    return path.suffix.lower() in _LOSSY


def look(path: Path) -> Seen:
    """A mask file in figures.

    Raises:
        BadFileError: as :func:`open_layers`.
    """
    with great_images_alone(path, turn=_looking):
        return _look(path)


def _look(path: Path) -> Seen:
    layers = open_layers(path)
    counts = _counted(layers.values)
    colours = {value: layers.palette[int(value)] for value in counts} if layers.kind == "index" else {}
    alpha_counts = Counter() if layers.alpha is None else _counted(layers.alpha)
    return Seen(path, layers.kind, counts, colours, _relation(layers, counts, alpha_counts), alpha_counts)


def _relation(layers: Layers, counts: Counter[float], alpha_counts: Counter[float]) -> Alpha:
    if layers.alpha is None:
        return "none"
    if len(alpha_counts) == 1:
        return "constant"
    if len(counts) == 1 or (layers.kind == "index" and len({layers.palette[int(value)] for value in counts}) == 1):
        return "alone"
    opaque, colours = layers.alpha >= 128, layers.colours()
    outside = colours.flat[int(opaque.argmin())]  # of the first pixel that is not opaque
    return "agrees" if not opaque.all() and ((colours != outside) == opaque).all() else "conflicts"


def _alpha(image: Image.Image) -> NDArray[np.uint8] | None:
    if "transparency" in image.info and image.mode in ("P", "L", "RGB"):
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    return np.asarray(image.getchannel("A")) if image.mode in ("LA", "PA", "RGBA") else None


def _packed(colours: NDArray[np.int32]) -> NDArray[np.int32]:
    return (colours[..., 0] << 16) | (colours[..., 1] << 8) | colours[..., 2]


def _counted(values: NDArray) -> Counter[float]:
    if values.dtype == np.uint8:
        found = np.array(Image.fromarray(values).histogram())  # bincount would take eight bytes a pixel
        return Counter({int(value): int(found[value]) for value in np.flatnonzero(found)})
    counts: Counter[float] = Counter()
    flat = values.reshape(-1)
    for start in range(0, len(flat), _BLOCK):
        unique, found = np.unique(flat[start : start + _BLOCK], return_counts=True)
        if len(unique) > _MOST_VALUES:  # of a photo or a ramp, not of a mask
            most = np.sort(np.argpartition(found, -_MOST_VALUES)[-_MOST_VALUES:])
            unique, found = unique[most], found[most]
        counts.update(dict(zip(unique.tolist(), found.tolist(), strict=True)))
    return Counter(dict(counts.most_common(_MOST_VALUES))) if len(counts) > _MOST_VALUES else counts
