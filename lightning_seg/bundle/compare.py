"""What differs between two files that should say the same, in sentences that name the number."""

import math
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from lightning_seg.bundle.contents import read_parquet
from lightning_seg.errors import UnreadableError
from lightning_seg.files import read_bytes
from lightning_seg.report.records import KEYS
from lightning_seg.wording import counted

# Machines add up in other orders: a number may differ in digits that no one reads. It is far less than is shown.
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12
_TOKEN = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w])|[^\W\d]\w*|\d\w*|\s+|.")
_MOST_BYTES = 512 * 2**20
_LONGEST = 60  # characters of a text in a sentence
_TEXTS = (".csv", ".tex", ".html", ".svg", ".md", ".bib", ".json", ".txt")


def differences(name: str, bundled: Path, derived: Path) -> Iterator[str]:
    """Sentences on what a bundled file says otherwise than the one that follows from the data.

    Args:
        name: of the file in the bundle.
    """
    if name.endswith(".parquet"):
        yield from _of_tables(name, read_parquet(bundled), read_parquet(derived))
        return
    try:
        there, here = (read_bytes(path, _MOST_BYTES) for path in (bundled, derived))
    except UnreadableError as error:
        yield f"{name} cannot be read ({error})."
        return
    if there == here:
        return
    if name.endswith(_TEXTS):
        lines = zip_longest(*(each.decode(errors="replace").split("\n") for each in (there, here)), fillvalue="")
        for number, (one, other) in enumerate(lines, start=1):
            if one != other and (found := _of_lines(one, other)):
                yield f"{name}, line {number}: {found}."
    else:
        yield f"{name} is another picture than its numbers give."


def _of_lines(there: str, here: str) -> str:
    """The first token in which two lines differ by more than rounding, in words; "" where there is none."""
    for one, other in zip_longest(_TOKEN.findall(there), _TOKEN.findall(here), fillvalue=""):
        if one != other and not _close(one, other):
            return f"{one[:_LONGEST]!r} is written, {other[:_LONGEST]!r} follows from the data"
    return ""


def _of_tables(name: str, there: pd.DataFrame, here: pd.DataFrame) -> Iterator[str]:
    if list(there.columns) != list(here.columns) or len(there) != len(here):
        sizes = [f"{counted(len(each), 'row')} of {counted(len(each.columns), 'column')}" for each in (there, here)]
        yield f"{name} has {sizes[0]}; {sizes[1]} follow from the data."
        return
    for column in there:
        one, other = there[column].astype(object), here[column].astype(object)
        unequal = ~((one == other) | (one.isna() & other.isna())).to_numpy(dtype=bool)
        for row in unequal.nonzero()[0]:
            if not _close(one.iloc[row], other.iloc[row]):
                run = "{}/{}/{}/repeat_{}".format(*(here[key].iloc[row] for key in KEYS))
                yield (
                    f"{name}, {column} of {run}: {str(one.iloc[row])[:_LONGEST]!r} is written, "
                    f"{str(other.iloc[row])[:_LONGEST]!r} follows from the data."
                )


def _close(one: object, other: object) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
