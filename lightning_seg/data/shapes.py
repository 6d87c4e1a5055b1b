"""Outlines of lesions, as annotation tools store them, and the pixels that they cover.

A pixel belongs to a shape if its centre lies inside: pixel ``(x, y)`` reaches from ``x`` to ``x + 1``, its centre is at
``x + 0.5``. A polygon along the edges of a mask's pixels so gives back exactly that mask. (Pillow's polygons also
cover the pixels that the line itself touches, and are half a pixel too large.)
"""

import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BLOCK = 1 << 20  # values worked on at a time
_MOST_CROSSINGS = 1 << 26  # of rows by the edges of one outline, some seconds; an outline by hand has thousands


class Part(NamedTuple):
    """The pixels of a shape, in the part of the image where it lies.

    Attributes:
        inside: bool ``(h, w)``.
        left, top: the part's first pixel in the image.
    """

    inside: NDArray[np.bool_]
    left: int
    top: int


@dataclass(frozen=True, eq=False)
class Shape:
    """One outlined object.

    Attributes:
        label: the name of its class.
    """

    label: str

    def part(self, width: int, height: int) -> Part:
        """Its pixels in an image of this size.

        Raises:
            ValueError: the shape does not suit an image of this size.
        """
        raise NotImplementedError

    def draw(self, canvas: NDArray[np.bool_]) -> int:
        """Add the shape to a mask, bool ``(height, width)``; only the part where it lies is touched.

        Returns:
            How many pixels that part has.

        Raises:
            ValueError: as :meth:`part`.
        """
        inside, left, top = self.part(canvas.shape[1], canvas.shape[0])
        canvas[top : top + inside.shape[0], left : left + inside.shape[1]] |= inside
        return inside.size

    def pixels(self, width: int, height: int) -> NDArray[np.bool_]:
        """True inside, bool ``(height, width)``.

        Raises:
            ValueError: as :meth:`part`.
        """
        canvas = np.zeros((height, width), dtype=bool)
        self.draw(canvas)
        return canvas


@dataclass(frozen=True, eq=False)
class Polygon(Shape):
    """A closed polygon; where it crosses itself, what it surrounds twice is outside.

    Attributes:
        points: x and y of its corners in pixels, float ``(N, 2)``; they may lie outside the image.
        relative: x and y are shares of the image's width and height instead.
    """

    points: NDArray[np.float64]
    relative: bool = False

    def part(self, width: int, height: int) -> Part:
        points = self.points * (width, height) if self.relative else self.points
        low, high = np.ceil(points.min(axis=0) - 0.5), np.ceil(points.max(axis=0) - 0.5)
        if not np.isfinite([low, high]).all():
            raise ValueError("the corners of an outline are no numbers")
        (left, top), (right, bottom) = (end.clip(0, (width, height)).astype(np.int64).tolist() for end in (low, high))
        crossed = _crossed(points, slice(left, right), slice(top, bottom))
        return Part(np.bitwise_xor.accumulate(crossed[:, :-1], axis=1).view(np.bool_), left, top)


@dataclass(frozen=True, eq=False)
class Ellipse(Shape):
    """An upright ellipse.

    Attributes:
        centre: its x and y in pixels.
        radii: along x and along y.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]

    def part(self, width: int, height: int) -> Part:
        ends = [
            [int(np.clip(np.floor(middle + sign * radius) + (sign > 0), 0, size)) for sign in (-1, 1)]
            for middle, radius, size in zip(self.centre, self.radii, (width, height), strict=True)
        ]
        (left, right), (top, bottom) = ends
        x = (np.arange(left, right) + 0.5 - self.centre[0]) / max(self.radii[0], 1e-9)
        y = (np.arange(top, bottom) + 0.5 - self.centre[1]) / max(self.radii[1], 1e-9)
        inside = np.zeros((len(y), len(x)), dtype=bool)
        rows = max(1, _BLOCK // max(1, len(x)))
        for first in range(0, len(y), rows):
            inside[first : first + rows] = np.add.outer(y[first : first + rows] ** 2, x**2) <= 1
        return Part(inside, left, top)


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

    def part(self, width: int, height: int) -> Part:
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
        return Part(mask, left, top)


@dataclass(frozen=True, eq=False)
class Bitmap(Shape):
    """A mask as an image of a part of the picture, decoded when it is drawn: a short one may be of many pixels.

    Attributes:
        png: a PNG file that is above 0 inside.
        corner: x and y of its top left pixel.
    """

    png: bytes
    corner: tuple[int, int]

    def part(self, width: int, height: int) -> Part:
        left, top = self.corner
        try:
            with Image.open(io.BytesIO(self.png), formats=["PNG"]) as image:
                if min(left, top) < 0 or left + image.width > width or top + image.height > height:
                    raise ValueError(f"a mask reaches beyond the image of {width}x{height}")
                return Part(np.asarray(image.convert("L")) > 0, left, top)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"the image of a mask cannot be read ({error})") from error


def _crossed(points: NDArray[np.float64], columns: slice, rows: slice) -> NDArray[np.uint8]:
    """Where a polygon's edges cross the centre lines of rows an odd number of times.

    Each edge flips, in every row whose centre line it crosses, the pixels to the right of the crossing.

    Args:
        points: the corners, float ``(N, 2)``.
        columns, rows: of the image that are looked at, ``w`` and ``h`` of them.

    Returns:
        1 at the first pixel that is flipped, uint8 ``(h, w + 1)``.

    Raises:
        ValueError: there are more crossings than are worked out.
    """
    x0, y0 = points.T
    x1, y1 = np.roll(points, -1, axis=0).T
    first, end = (
        np.ceil(ends - 0.5).clip(rows.start, rows.stop).astype(np.int64)
        for ends in (np.minimum(y0, y1), np.maximum(y0, y1))
    )
    totals = np.cumsum(end - first)
    if totals[-1] > _MOST_CROSSINGS:
        raise ValueError(f"an outline of {len(points):,} corners crosses the image's rows {totals[-1]:,} times")
    width = columns.stop - columns.start + 1
    crossed = np.zeros((rows.stop - rows.start) * width, dtype=np.uint8)
    cuts = np.searchsorted(totals, np.arange(_BLOCK, totals[-1] + _BLOCK, _BLOCK), side="right")
    for edges in map(slice, [0, *cuts[:-1]], [*cuts[:-1], len(points)]):
        counts = (end - first)[edges]
        edge = np.repeat(np.arange(len(points))[edges], counts)
        row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
        x = x0[edge] + (row + 0.5 - y0[edge]) * ((x1[edge] - x0[edge]) / (y1[edge] - y0[edge]))
        column = np.ceil(x - 0.5).clip(columns.start, columns.stop).astype(np.int64)
        np.add.at(crossed, (row - rows.start) * width + column - columns.start, np.uint8(1))
    return (crossed & np.uint8(1)).reshape(rows.stop - rows.start, width)
