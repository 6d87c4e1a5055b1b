"""How pixels of more than 8 bits become pixels of 8 bits."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_seg.errors import UserError

_PERCENTILES = re.compile(r"p(\d+(?:\.\d+)?)-p(\d+(?:\.\d+)?)")
_MEANING = "[low,high] (the values that become black and white), minmax, or percentiles such as p1-p99"


class Window(NamedTuple):
    """Which values become black and white; what lies between them is scaled, what lies beyond them is cut off.

    Attributes:
        low, high: values of the pixels; or, if ``relative``, percentiles of each image's own values, 0 to 100.
        relative: see there.
    """

    low: float
    high: float
    relative: bool

    def __str__(self) -> str:
        if not self.relative:
            return f"values from {self.low:g} to {self.high:g} become 0 to 255"
        if (self.low, self.high) == (0, 100):
            return "each image's least to greatest value become 0 to 255"
        return f"each image's {self.low:g}th to {self.high:g}th percentile become 0 to 255"

    def apply(self, pixels: NDArray) -> NDArray[np.uint8]:
        """Scale pixels of any number type and shape to 0 to 255; values that are not finite become black.

        An image of one value only, which ``relative`` windows cannot scale, becomes black.
        """
        values = np.asarray(pixels, dtype=np.float64)
        finite = np.isfinite(values)
        low, high = self.low, self.high
        if self.relative:
            low, high = np.percentile(values[finite], (low, high)) if finite.any() else (0, 0)
        if high <= low:
            return np.zeros(values.shape, dtype=np.uint8)
        scaled = (np.where(finite, values, low) - low) * (255 / (high - low))
        return scaled.round().clip(0, 255).astype(np.uint8)


def parse_window(value: str | Sequence[float] | None) -> Window | None:
    """The window that ``dataset.window`` names; ``None`` for none.

    Raises:
        UserError: it is none.
    """
    if value is None:
        return None
    if value == "minmax":
        return Window(0, 100, relative=True)
    if isinstance(value, str):
        match = _PERCENTILES.fullmatch(value.strip().lower())
        low, high = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
        if 0 <= low < high <= 100:
            return Window(low, high, relative=True)
    elif isinstance(value, Sequence) and len(value) == 2:
        first, last = list(value)
        if isinstance(first, int | float) and isinstance(last, int | float) and first < last:
            return Window(float(first), float(last), relative=False)
    raise UserError(f"dataset.window={value} is not valid: it must be null, {_MEANING}.")
