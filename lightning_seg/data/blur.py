"""Masks of formats that blur values, such as JPEG: which colours they mainly hold, and which of these a pixel had.

Around each outline such a mask holds a fringe of hundreds of colours that nobody drew. An explicit choice of values is
therefore of the main ones, and each pixel counts as the one that it is nearest to: for black and white, at least 128.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_NEAR, _AROUND = 16, 48  # of 255 a channel: what noise leaves of one colour, and how far apart main colours are
_LEAST = 0.01  # of the pixels that are not black
_CANDIDATES = 256


def main_colours(counts: Counter[float], wanted: Iterable[int] = ()) -> tuple[int, ...]:
    """The colours, 0xRRGGBB, around which those of blurred masks gather; black comes first.

    Args:
        counts: pixels of each colour, over all blurred masks.
        wanted: colours that count however few pixels have them, if any has and they are no other's noise.
    """
    colours = _channels(np.array(list(counts), dtype=np.int32))
    pixels = np.array(list(counts.values()))
    mains = [0]
    drawn = pixels[_apart(colours, 0) > _NEAR].sum()

    def is_free(colour: int) -> bool:
        return all(_apart(_channels(np.array([colour])), known)[0] >= _AROUND for known in mains)

    for colour, _ in counts.most_common(_CANDIDATES):
        apart = _apart(colours, int(colour))
        near, around = pixels[apart <= _NEAR].sum(), pixels[(apart > _NEAR) & (apart < _AROUND)].sum()
        # A fringe runs evenly from one colour to another.
        if is_free(int(colour)) and near >= _LEAST * drawn and near >= around:
            mains.append(int(colour))
    for colour in wanted:
        if is_free(colour) and (_apart(colours, colour) <= _NEAR).any():
            mains.append(colour)
    return tuple(mains)


def among(mains: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """Of the main colours, those that are meant by the colours wanted; black by itself alone."""
    near = {main: _apart(_channels(np.array(list(wanted), dtype=np.int32)), main) for main in mains}
    return tuple(main for main in mains if (near[main] <= (_NEAR if main else 0)).any())


def nearest(colours: NDArray[np.int32], mains: Sequence[int], chosen: Sequence[int]) -> NDArray[np.bool_]:
    """Where colours ``(H, W)`` are nearer to one of the main colours ``chosen`` than to all others, bool ``(H, W)``."""
    held, position = np.unique(colours, return_inverse=True)
    distances = np.stack([((_channels(held) - _channels(np.array([main]))) ** 2).sum(axis=1) for main in mains])
    is_chosen = np.isin(mains, chosen)
    found = distances[is_chosen].min(axis=0) <= distances[~is_chosen].min(axis=0, initial=np.iinfo(np.int32).max)
    return found[position].reshape(colours.shape)


def _channels(colours: NDArray) -> NDArray[np.int32]:
    return np.stack([(colours >> shift) & 255 for shift in (16, 8, 0)], axis=-1).astype(np.int32)


def _apart(channels: NDArray[np.int32], colour: int) -> NDArray[np.int32]:
    """How far colours are from another one, in the channel in which they differ most."""
    return np.abs(channels - _channels(np.array([colour]))).max(axis=-1)
