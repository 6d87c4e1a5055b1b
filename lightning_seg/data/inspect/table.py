"""The inspection in the terminal."""

import numpy as np
from rich.table import Table
from rich.text import Text

from lightning_seg.data.dataset import FileDataset
from lightning_seg.data.inspect.measure import Inspection
from lightning_seg.wording import counted, printable

QUANTILES = (0, 0.25, 0.5, 0.75, 1)


def summary_rows(found: Inspection) -> list[tuple[str, str]]:
    """What was found, as pairs of a label and its value in words."""
    sizes = np.unique(found.sizes, axis=0)
    smallest, largest = (found.sizes[index(found.sizes.prod(axis=1))] for index in (np.argmin, np.argmax))
    size = f"{smallest[0]}x{smallest[1]}"
    if len(sizes) > 1:
        size += f" to {largest[0]}x{largest[1]}, {len(sizes)} different"
    areas = " / ".join(f"{100 * area:.2g} %" for area in np.quantile(found.areas, QUANTILES))
    contrast = found.contrasts[~np.isnan(found.contrasts)]
    darker = f"{100 * (contrast < 0).mean():.0f} % of lesions are darker" if len(contrast) else "no lesions"
    between = int(found.values[1:255].sum())
    published = found.dataset.full_count if isinstance(found.dataset, FileDataset) else None
    images = f"{len(found.ids):,}"
    if published not in (None, len(found.ids)):
        images += f" of {published:,} published"
    rows = [
        ("Images", images),
        ("Sizes", size),
        ("Lesion area (min, quartiles, max)", areas),
        (
            "Contrast to surroundings",
            f"median {np.median(np.abs(contrast)):.3f}; {darker}" if len(contrast) else darker,
        ),
        ("Without any lesion", f"{len(found.empty):,}"),
        ("Mask pixels neither 0 nor 255", f"{between:,} ({100 * between / found.values.sum():.3g} %)"),
        ("Unreadable or mismatched", f"{len(found.bad):,}"),
        *(("Mind", remark) for remark in found.remarks),
    ]
    if found.reading is not None:
        rows.insert(2, ("Lesion", found.reading))
    if found.bad:
        return [*rows, ("Duplicates", "not looked for before the bad files are put right")]
    multiple = np.unique(found.groups, return_counts=True)[1]
    return [
        *rows,
        ("Exact duplicates", counted(len(found.exact), "pair")),
        (
            "Near duplicates",
            f"{counted(len(found.near), 'pair')} (at most {found.dataset.near_duplicate_bits} of 256 hash bits)",
        ),
        ("Copies, mirrored, turned or cropped", counted(len(found.copies), "pair")),
        ("Images with a sibling", f"{multiple[multiple > 1].sum():,} in {counted(int((multiple > 1).sum()), 'group')}"),
        *(
            (
                f"Test images with a sibling in training, {strategy}",
                counts if isinstance(counts, str) else spell(counts),
            )
            for strategy, counts in found.siblings.items()
        ),
    ]


def spell(counts: list[int]) -> str:
    """Counts of several repeats, as one number if they are all the same."""
    return str(counts[0]) if len(set(counts)) == 1 else ", ".join(map(str, counts))


def summary_table(found: Inspection) -> Table:
    """The rows as a table for the terminal."""
    table = Table(title=Text(printable(found.dataset.name)), show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in summary_rows(found):
        table.add_row(Text(label), Text(printable(value)))
    return table
