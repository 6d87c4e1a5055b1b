"""The differences between losses on chosen test images, with what single images favour as noise of its own.

Subgroups are small, and a loss may by chance suit the few images in them. All models of a repeat are tested on the same
images, which the analysis of splits sees; but repeats that re-split a dataset test some images again, and what these
favour is shared by their splits. That share is the difference of two cluster-robust variances, of images over all
repeats and of images within each (Cameron, Gelbach & Miller, J. of Business & Economic Statistics 29, 2011). Where no
image is tested twice it is zero.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightning_seg.report.comparison import PAIR
from lightning_seg.report.contrasts import Array, Contrasts, Term, components

Codes = NDArray[np.intp]
Chosen = NDArray[np.bool_]


@dataclass(frozen=True)
class _Side:
    """What chosen images add to the losses' means.

    Attributes:
        means: of each row of the index, (rows, losses); NaN where a loss has no chosen image.
        counts: chosen images of each row under the first loss, (rows,).
        rows: positions of the chosen values in the table.
    """

    means: Array
    counts: Array
    rows: Codes


@dataclass(frozen=True)
class ImageTable:
    """Values of images, and in which run and under which loss each was had.

    Attributes:
        index: (dataset, model, repeat) of the rows of its means.
        losses: names of their columns.
        row, loss: codes, (values,).
        cell: code of the image in a repeat, (values,).
        image_of: code of the image of each cell.
        values: the metric, (values,).
    """

    index: pd.MultiIndex
    losses: list[str]
    row: Codes
    loss: Codes
    cell: Codes
    image_of: Codes
    values: Array

    @classmethod
    def of(cls, images: pd.DataFrame, metric: str) -> "ImageTable":
        """From the table of the compared runs' test images."""
        code, names = zip(*(pd.factorize(images[key], sort=True) for key in (*PAIR, "loss", "id")), strict=True)
        pair = (code[0] * len(names[1]) + code[1]) * len(names[2]) + code[2]
        _, first, row = np.unique(pair, return_index=True, return_inverse=True)
        levels = [np.asarray(names[n])[code[n][first]] for n in range(3)]
        image = code[0] * len(names[4]) + code[4]
        tested, cell = np.unique(image * len(names[2]) + code[2], return_inverse=True)
        return cls(
            index=pd.MultiIndex.from_arrays(levels, names=PAIR),
            losses=[str(name) for name in names[3]],
            row=row,
            loss=code[3],
            cell=cell,
            image_of=np.unique(tested // max(len(names[2]), 1), return_inverse=True)[1],
            values=images[metric].to_numpy(dtype=float),
        )

    def contrasts(self, chosen: Chosen, rest: Chosen | None, test_to_train: float) -> Contrasts | None:
        """The losses' differences on chosen images, or by how much more they differ there than on the rest.

        Args:
            chosen: which rows of the table.
            rest: those beside which they are held; None for none.
            test_to_train: see :class:`lightning_seg.report.comparison.Comparison`.

        Returns:
            None where no run has such images under every loss.
        """
        sides = [(1.0, self._side(chosen)), *([] if rest is None else [(-1.0, self._side(rest))])]
        means = sum((sign * side.means for sign, side in sides), np.zeros((len(self.index), len(self.losses))))
        used = np.isfinite(means).all(axis=1)
        if not used.any():
            return None
        table = pd.DataFrame(means[used], self.index[used], self.losses)
        here = components(table, test_to_train).here()
        blocks = table.groupby(level=["dataset", "model"]).ngroup().to_numpy()
        sizes = np.bincount(blocks)
        weights = np.zeros(len(self.index))
        weights[used] = 1 / sizes[blocks] / len(sizes)
        terms = self._image_terms(sides, weights, float(sizes.mean())) if here.tested else []
        return replace(here, terms=(*here.terms, *terms))

    def _side(self, chosen: Chosen) -> _Side:
        used = np.flatnonzero(chosen & np.isfinite(self.values))
        shape = (len(self.index), len(self.losses))
        place = self.row[used] * shape[1] + self.loss[used]
        counts = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
        sums = np.bincount(place, self.values[used], minlength=counts.size).reshape(shape)
        means = np.divide(sums, counts, out=np.full(shape, np.nan), where=counts > 0)
        return _Side(means, counts[:, 0].astype(float), used)

    def _image_terms(self, sides: list[tuple[float, _Side]], weights: Array, repeats: float) -> list[Term]:
        """What images add to the variance of the means because several repeats test them."""
        shape = (len(self.image_of), len(self.losses))
        parts, shares = np.zeros(shape), np.zeros(shape[0])
        for sign, side in sides:
            rows, loss, cells = (codes[side.rows] for codes in (self.row, self.loss, self.cell))
            share = np.divide(weights, side.counts, out=np.zeros_like(weights), where=side.counts > 0)
            # Taking out the mean of n images takes out 1/n of what one favours.
            freed = np.sqrt(side.counts / np.maximum(side.counts - 1, 1))
            rest = sign * (share * freed)[rows] * np.nan_to_num(self.values[side.rows] - side.means[rows, loss])
            parts += np.bincount(cells * shape[1] + loss, rest, minlength=parts.size).reshape(shape)
            shares += np.bincount(cells[loss == 0], share[rows[loss == 0]], minlength=len(shares))
        parts -= parts.mean(axis=1, keepdims=True)
        images = np.zeros((int(self.image_of.max(initial=-1)) + 1, shape[1]))
        np.add.at(images, self.image_of, parts)
        whole = np.bincount(self.image_of, shares).astype(float)
        shared = images.T @ images - parts.T @ parts
        if np.trace(shared) <= 0 or repeats <= 1:
            return []
        # The spread of overlapping splits lacks a part of what they share.
        scale = repeats / (repeats - 1)
        return [
            Term(scale * images.T @ images, _effective(whole)),
            Term(-scale * parts.T @ parts, _effective(shares)),
        ]


def _effective(weights: Array) -> float:
    """Degrees of freedom of a sum of squares with these weights."""
    return max(float((weights**2).sum() ** 2 / (weights**4).sum()) - 1, 1.0)
