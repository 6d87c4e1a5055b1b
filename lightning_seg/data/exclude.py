"""Which images of a dataset are left out: ids of one's own, or those of which defects have been published."""

import csv
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from lightning_seg.data.naming import normalised
from lightning_seg.errors import UserError
from lightning_seg.files import MOST_TABLE_BYTES, open_plain

PUBLISHED = "published_defects"


def published_defects(dataset: str) -> dict[str, str]:
    """What is wrong with images of a published dataset, by id, from ``published/defects/defects.csv``.

    - ``isic``: training images that are byte for byte in the test set (Cassidy et al. 2022,
      doi:10.1016/j.media.2021.102305, list 09 of their duplicate removal strategy).
    - ``wound``: of each group of equal images all but the first (measured; labels of a group differ).
    - ``breast_benign``, ``breast_malignant``: all that Curated BUSI leaves out as duplicate or inconsistent (Caumente,
      github.com/caumente/multi_task_breast_cancer), among them the lesion that lies in both classes, pixel by pixel.
      The letter of Pawlowska et al. 2023 (PMC10293973) described these defects first; its ids are not at hand.
    """
    with files("lightning_seg.data").joinpath("published/defects/defects.csv").open(encoding="utf-8") as file:
        return {row["id"]: row["defect"] for row in csv.DictReader(file) if row["dataset"] == dataset}


def excluded_ids(exclude: str | Sequence[str] | None, dataset: str, published_as: str | None) -> set[str]:
    """The ids that ``dataset.exclude`` names.

    Args:
        exclude: ``published_defects``, a file with an id a line, a list of ids, or ``None``.
        dataset: the dataset's name in errors.
        published_as: the name under which its defects are listed; ``None`` for one's own data.

    Raises:
        UserError: no defects are listed for the dataset, or the file cannot be read.
    """
    if exclude is None:
        return set()
    if exclude == PUBLISHED:
        defects = published_defects(published_as) if published_as else {}
        if not defects:
            raise UserError(f"dataset.exclude={PUBLISHED}: no defects are listed for dataset {dataset!r}.")
        return set(defects)
    if not isinstance(exclude, str):
        return {normalised(str(name)) for name in exclude}
    try:
        with open_plain(Path(exclude).expanduser(), MOST_TABLE_BYTES, follow=True) as file:
            lines = file.read().decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(
            f"dataset.exclude={exclude} cannot be read ({error}); it must be {PUBLISHED}, a list of ids, or a file "
            "with an id a line."
        ) from error
    return {normalised(line.strip()) for line in lines if line.strip()}
