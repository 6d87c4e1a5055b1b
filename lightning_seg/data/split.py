"""The division of a dataset into training, validation and test images."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_seg.errors import UserError


@dataclass(frozen=True)
class Fractions:
    """Shares of the three subsets; they sum to 1."""

    train: float
    val: float
    test: float

    def __post_init__(self) -> None:
        shares = (self.train, self.val, self.test)
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
            raise UserError(
                f"data.fractions are {shares[0]:g} / {shares[1]:g} / {shares[2]:g} and sum to {sum(shares):g}; "
                "train, val and test must all be positive and sum to 1."
            )


class Split(NamedTuple):
    """Positions, in sorted-id order, of the images of each subset; disjoint, sorted, int64."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def random_split(count: int, fractions: Fractions, seed: int, repeat: int) -> Split:
    """Divide ``count`` images at random; the paper's protocol.

    The division depends on (count, fractions, seed, repeat) alone, so every model and loss of a repeat sees the
    same images: losses are compared in pairs. Sizes are round(train * count), round(val * count) and the rest.

    Raises:
        UserError: a subset would be empty.
    """
    order = np.random.default_rng([seed, repeat]).permutation(count)
    train, val = round(fractions.train * count), round(fractions.val * count)
    split = Split(*(np.sort(part) for part in np.split(order, [train, train + val])))
    if not all(len(part) for part in split):
        raise UserError(
            f"{count} images are too few to split {fractions.train:g} / {fractions.val:g} / {fractions.test:g}: "
            "training, validation and test need at least one image each."
        )
    return split
