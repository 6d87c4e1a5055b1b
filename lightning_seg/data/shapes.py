"""Outlines of lesions, as annotation tools store them, and the pixels that they cover.

A pixel belongs to a shape if its centre lies inside: pixel ``(x, y)`` reaches from ``x`` to ``x + 1``, its centre is at
``x + 0.5``. A polygon along the edges of a mask's pixels so gives back exactly that mask. (Pillow's polygons also
cover the pixels that the line itself touches, and are half a pixel too large.)
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True, eq=False)
class Shape:
    """One outlined object.

    Attributes:
        label: the name of its class.
    """

    label: str

    def pixels(self, width: int, height: int) -> NDArray[np.bool_]:
        """True inside, bool ``(height, width)``.

        Raises:
            ValueError: the shape does not suit an image of this size.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Polygon(Shape):
    """A closed polygon; where it crosses itself, what it surrounds twice is outside.

    Attributes:
        points: x and y of its corners in pixels, float ``(N, 2)``.
        relative: x and y are shares of the image's width and height instead.
    """

    points: NDArray[np.float64]
    relative: bool = False

    def pixels(self, width: int, height: int) -> NDArray[np.bool_]:
        return fill(self.points * (width, height) if self.relative else self.points, width, height)


@dataclass(frozen=True, eq=False)
class Ellipse(Shape):
    """An upright ellipse.

    Attributes:
        centre: its x and y in pixels.
        radii: along x and along y.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]

    def pixels(self, width: int, height: int) -> NDArray[np.bool_]:
        x = (np.arange(width) + 0.5 - self.centre[0]) / max(self.radii[0], 1e-9)
        y = (np.arange(height) + 0.5 - self.centre[1]) / max(self.radii[1], 1e-9)
        return np.add.outer(y**2, x**2) <= 1


@dataclass(frozen=True, eq=False)
class Runs(Shape):
    """A mask as lengths of runs that are in turn outside and inside, from its top left corner.

    Attributes:
        lengths: of the runs, int64.
        size: the mask's width and height.
        by_columns: pixels follow each other down the columns, not along the rows.
        corner: x and y of the mask's top left pixel in the image; ``None`` for a mask of the whole image.
    """

    lengths: NDArray[np.int64]
    size: tuple[int, int]
    by_columns: bool
    corner: tuple[int, int] | None = None

    def pixels(self, width: int, height: int) -> NDArray[np.bool_]:
        own_width, own_height = self.size
        left, top = self.corner or (0, 0)
        if self.corner is None and self.size != (width, height):
            raise ValueError(f"the mask is {own_width}x{own_height} but the image is {width}x{height}")
        if min(left, top, own_width, own_height) < 0 or left + own_width > width or top + own_height > height:
            raise ValueError(f"a mask reaches beyond the image of {width}x{height}")
        # Of single lengths first: sums of great ones start again from below zero.
        area = own_width * own_height
        if ((self.lengths < 0) | (self.lengths > area)).any() or self.lengths.sum() != area:
            raise ValueError(f"the runs of a mask do not add up to its {own_width}x{own_height} pixels")
        inside = np.repeat(np.arange(len(self.lengths)) % 2 == 1, self.lengths)
        mask = inside.reshape(own_width, own_height).T if self.by_columns else inside.reshape(own_height, own_width)
        canvas = np.zeros((height, width), dtype=bool)
        canvas[top : top + own_height, left : left + own_width] = mask
        return canvas


@dataclass(frozen=True, eq=False)
class Bitmap(Shape):
    """A mask as an image of a part of the picture, decoded when it is drawn: a short one may be of many pixels.

    Attributes:
        png: a PNG file that is above 0 inside.
        corner: x and y of its top left pixel.
    """

    png: bytes
    corner: tuple[int, int]

    def pixels(self, width: int, height: int) -> NDArray[np.bool_]:
        left, top = self.corner
        try:
            with Image.open(io.BytesIO(self.png), formats=["PNG"]) as image:
                if min(left, top) < 0 or left + image.width > width or top + image.height > height:
                    raise ValueError(f"a mask reaches beyond the image of {width}x{height}")
                mask = np.asarray(image.convert("L")) > 0
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"the image of a mask cannot be read ({error})") from error
        canvas = np.zeros((height, width), dtype=bool)
        canvas[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
        return canvas


def fill(points: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    """The pixels whose centres a polygon surrounds an odd number of times, bool ``(height, width)``.

    Each edge flips, in every row whose centre line it crosses, the pixels to the right of the crossing.

    Args:
        points: x and y of the corners in pixels, float ``(N, 2)``; they may lie outside the image.
        width, height: of the image.
    """
    inside = np.zeros((height, width), dtype=bool)
    top, bottom = (int(np.ceil(end - 0.5).clip(0, height)) for end in (points[:, 1].min(), points[:, 1].max()))
    left, right = (int(np.ceil(end - 0.5).clip(0, width)) for end in (points[:, 0].min(), points[:, 0].max()))
    crossed = np.zeros((bottom - top, right - left + 1), dtype=bool)  # where the polygon lies: thousands may be small
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        first, last = sorted((y0, y1))
        rows = np.arange(max(top, int(np.ceil(first - 0.5))), min(bottom, int(np.ceil(last - 0.5))))
        x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        columns = np.ceil(x - 0.5).clip(left, right).astype(np.int64)
        crossed[rows - top, columns - left] ^= True  # an edge crosses a row once
    inside[top:bottom, left:right] = np.logical_xor.accumulate(crossed[:, :-1], axis=1)
    return inside
