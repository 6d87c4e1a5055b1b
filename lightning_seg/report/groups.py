"""Ways to divide the test images: by lesion size, by contrast, and by what a user's table says of them."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.files import MOST_TABLE_BYTES, read_bytes
from lightning_seg.wording import agreeing

# A value of a user's column with fewer images is left out, and so are all but its most frequent values.
FEWEST_IMAGES, MOST_LEVELS = 5, 12
# A column of numbers with more different ones is divided into thirds.
_MOST_NUMBERS = 6
NO_LESION = "no lesion"

Codes = NDArray[np.intp]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """One group of images.

    Attributes:
        name: as in a table, "smallest third".
        words: as in a sentence, "lesions below 0.9 % of the image".
        images: how many different images are in it.
        apart: whether the other levels are compared without it, as lesions are without images that have none.
    """

    name: str
    words: str
    images: int
    apart: bool = False


@dataclass(frozen=True)
class Grouping:
    """A division of the test images.

    Attributes:
        title: what divides them, "Lesion size".
        levels: the groups.
        codes: position in ``levels`` for each row of the table of images, -1 for none.
    """

    title: str
    levels: list[Level]
    codes: Codes


@dataclass(frozen=True)
class _Images:
    """The different images behind the rows of a table.

    Attributes:
        rows: the first row of each.
        row_of: for each row of the table, the position of its image.
        dataset: code of each image's dataset.
        datasets: how many datasets there are.
    """

    rows: Codes
    row_of: Codes
    dataset: Codes
    datasets: int

    @classmethod
    def of(cls, images: pd.DataFrame) -> "_Images":
        dataset, names = pd.factorize(images["dataset"])
        ids, known = pd.factorize(images["id"])
        _, first, inverse = np.unique(dataset * (len(known) + 1) + ids, return_index=True, return_inverse=True)
        return cls(first, inverse, dataset[first], len(names))

    def grouping(self, title: str, levels: list[tuple[str, str]], codes: Codes, apart: str = "") -> Grouping:
        """With the counts of images; levels without any are dropped."""
        counts = np.bincount(codes[codes >= 0], minlength=len(levels))
        place = np.full(len(levels) + 1, -1)
        place[np.flatnonzero(counts)] = np.arange(np.count_nonzero(counts))
        kept = [Level(*levels[n], int(counts[n]), levels[n][0] == apart) for n in np.flatnonzero(counts)]
        return Grouping(title, kept, place[codes][self.row_of])


def read_groups(path: Path) -> pd.DataFrame:
    """A user's table of images: text columns ``id``, perhaps ``dataset``, and others that divide the images.

    Raises:
        UserError: it cannot be read, lacks ``id`` or a further column, names an image twice or none.
    """
    try:
        content = io.BytesIO(read_bytes(path, MOST_TABLE_BYTES))
        table = pd.read_csv(content, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except FileNotFoundError as error:
        raise UserError(f"There is no table of groups {path}.") from error
    except (OSError, ValueError, UnreadableError, pd.errors.ParserError) as error:
        raise UserError(f"{path} cannot be read as a CSV file ({str(error).splitlines()[0].rstrip('.')}).") from error
    table.columns = [str(name).strip() for name in table.columns]
    keys = [name for name in ("dataset", "id") if name in table]
    if "id" not in table or len(table.columns) == len(keys):
        raise UserError(
            f"{path} needs a column `id` and at least one more, such as `site` or `device`; it has "
            f"{', '.join(table.columns) or 'none'}."
        )
    if (twice := table.duplicated(keys)).any():
        raise UserError(f"{path} names the image {table.loc[twice, 'id'].iloc[0]!r} twice; each needs one line.")
    if table.empty:
        raise UserError(f"{path} is empty but for the names of its columns; it needs a line an image.")
    return table


def groupings(images: pd.DataFrame, table: pd.DataFrame | None = None) -> tuple[list[Grouping], list[str]]:
    """Every division of the test images that can be made.

    Args:
        images: rows of test images with dataset, id, size, and perhaps contrast; see
            :func:`lightning_seg.report.reasons.compared_images`.
        table: a user's, of :func:`read_groups`.

    Returns:
        the divisions with at least two groups, and sentences on what was left out.

    Raises:
        UserError: the table names none of the images, or does not say of which dataset they are.
    """
    if images.empty:
        return [], []
    each = _Images.of(images)
    found = [_by_size(images, each)]
    if "contrast" in images:
        found.append(_by_contrast(images, each))
    notes: list[str] = []
    if table is not None:
        rows = _matched(images, each, table, notes)
        for column in [name for name in table if name not in ("dataset", "id")]:
            values = np.array(["", *table[column].str.strip()], dtype=object)[rows + 1]
            found.append(_by_column(str(column), values, each, notes))
    return [grouping for grouping in found if len(grouping.levels) > 1], notes


def _by_size(images: pd.DataFrame, each: _Images) -> Grouping:
    size = images["size"].to_numpy(dtype=float)[each.rows]
    codes, low, high = _thirds(size, each, size > 0)
    levels = [*_third_levels("smallest", "largest", "lesions", " % of the image", 100 * low, 100 * high)]
    levels.append((NO_LESION, "images without a lesion"))
    codes[size == 0] = 3
    return each.grouping("Lesion size", levels, codes, NO_LESION)


def _by_contrast(images: pd.DataFrame, each: _Images) -> Grouping:
    contrast = images["contrast"].to_numpy(dtype=float)[each.rows]
    lesion = images["size"].to_numpy(dtype=float)[each.rows] > 0
    codes, low, high = _thirds(contrast, each, lesion & np.isfinite(contrast))
    levels = _third_levels("lowest", "highest", "lesions of a contrast", "", low, high)
    return each.grouping("Contrast", levels, codes)


def _by_column(column: str, values: NDArray[np.object_], each: _Images, notes: list[str]) -> Grouping:
    known = values != ""
    numbers = pd.to_numeric(pd.Series(values[known], dtype=object), errors="coerce").to_numpy(dtype=float)
    if np.isfinite(numbers).all() and len(np.unique(numbers)) > _MOST_NUMBERS:
        every = np.full(len(values), np.nan)
        every[known] = numbers
        low, high = np.quantile(numbers, [1 / 3, 2 / 3])
        codes = np.where(known, (every > low).astype(int) + (every > high), -1)
        words = (f"below {low:.4g}", f"of {low:.4g} to {high:.4g}", f"above {high:.4g}")
        return each.grouping(column, [(part, f"images with {column} {part}") for part in words], codes)
    counts = pd.Series(values[known], dtype=object).value_counts()
    enough = counts[counts >= FEWEST_IMAGES]
    kept = sorted(str(name) for name in enough.index[:MOST_LEVELS])
    if len(kept) < len(counts):
        notes.append(
            f"Of the values of {column}, {len(kept)} of {len(counts)} {agreeing(len(kept), 'are')} compared: "
            f"those with the most images, and with at least {FEWEST_IMAGES}."
        )
    place = {name: n for n, name in enumerate(kept)}
    codes = np.array([place.get(str(value), -1) for value in values], dtype=int)
    return each.grouping(column, [(name, f"images with {column} {name}") for name in kept], codes)


def _matched(images: pd.DataFrame, each: _Images, table: pd.DataFrame, notes: list[str]) -> Codes:
    """For each image the row of the user's table, -1 for none."""
    chosen = images.iloc[each.rows]
    ids = chosen["id"].astype(str)
    if "dataset" in table:
        keys = pd.MultiIndex.from_arrays([chosen["dataset"].astype(str), ids])
        rows = pd.MultiIndex.from_frame(table[["dataset", "id"]]).get_indexer(keys)
    else:
        if (twice := ids.duplicated() & ids.isin(table["id"])).any():
            raise UserError(
                f"Several datasets of the study have an image {ids[twice].iloc[0]!r}: give the table of groups a "
                "column `dataset` too."
            )
        rows = pd.Index(table["id"]).get_indexer(pd.Index(ids))
    missing = int((rows < 0).sum())
    if missing == len(rows):
        raise UserError(
            f"The table of groups names none of the study's test images: it has ids such as {table['id'].iloc[0]!r}, "
            f"the study such as {ids.iloc[0]!r}."
        )
    if missing:
        notes.append(f"The table of groups lacks {missing} of the {len(rows)} test images; no subgroup of it has them.")
    return rows


def _thirds(values: NDArray[np.float64], each: _Images, known: NDArray[np.bool_]) -> tuple[Codes, Array, Array]:
    """Thirds of the images of each dataset, -1 for unknown ones, with the bounds in each dataset."""
    codes, bounds = np.full(len(values), -1), []
    for dataset in range(each.datasets):
        own = known & (each.dataset == dataset)
        if not own.any():
            continue
        low, high = np.quantile(values[own], [1 / 3, 2 / 3])
        codes[own] = (values[own] > low).astype(int) + (values[own] > high)
        bounds.append((low, high))
    low_high = np.array(bounds).reshape(-1, 2)
    return codes, low_high[:, 0], low_high[:, 1]


def _third_levels(first: str, last: str, what: str, unit: str, low: Array, high: Array) -> list[tuple[str, str]]:
    """Names of thirds and their words, "lesions below 0.9 % of the image"; of several datasets with all bounds."""
    names = [f"{first} third", "middle third", f"{last} third"]
    if len(low) == 1:
        below, above = f"{low[0]:.2g}", f"{high[0]:.2g}"
        bounds = [f"below {below}{unit}", f"of {below} to {above}{unit}", f"above {above}{unit}"]
        return [(name, f"{what} {bound}") for name, bound in zip(names, bounds, strict=True)]
    whole = what.removesuffix(" of a contrast")
    below, above = (f"{bound.min():.2g} to {bound.max():.2g}{unit}" for bound in (low, high)) if len(low) else ("", "")
    bounds = [f"below {below}", f"between {below} and {above}", f"above {above}"]
    by = "by contrast" if whole != what else "by size"
    return [
        (name, f"the {name} of each dataset's {whole} {by} ({bound})")
        for name, bound in zip(names, bounds, strict=True)
    ]
