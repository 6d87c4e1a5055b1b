"""How pixels of more than 8 bits become pixels of 8 bits."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_seg.errors import UserError

_PERCENTILES = re.compile(r"p(\d+(?:\.\d+)?)-p(\d+(?:\.\d+)?)")
_BLOCK = 1 << 22  # pixels that are scaled at a time
_WHOLE = 1 << 25  # pixels whose percentiles are worked out in double precision
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
        values = np.asarray(pixels)
        low, high = self._ends(values)
        grey = np.zeros(values.size, dtype=np.uint8)
        if high <= low:
            return grey.reshape(values.shape)
        flat = values.reshape(-1)
        for start in range(0, values.size, _BLOCK):  # great images would take many times their size at once
            block = flat[start : start + _BLOCK].astype(np.float64)
            scaled = (np.where(np.isfinite(block), block, low) - low) * (255 / (high - low))
            grey[start : start + _BLOCK] = scaled.round().clip(0, 255).astype(np.uint8)
        return grey.reshape(values.shape)

    def _ends(self, values: NDArray) -> tuple[float, float]:
        """The values that become black and white."""
        if not self.relative:
            return self.low, self.high
        known = values[np.isfinite(values)]
        if not known.size:
            return 0, 0
        low, high = np.percentile(known.astype(np.float64) if known.size <= _WHOLE else known, (self.low, self.high))
        return float(low), float(high)


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
