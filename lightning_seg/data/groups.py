"""Which images belong together, so that a split can keep them together."""

import csv
from pathlib import Path

from lightning_seg.data.dataset import LesionDataset
from lightning_seg.data.duplicates import dataset_hashes, joined, similar_pairs
from lightning_seg.errors import UserError


def image_groups(
    dataset: LesionDataset, groups: str | Path | None = None, cache_dir: str | Path | None = None
) -> list[str]:
    """The group of each image, in the order of ``dataset.ids()``.

    Args:
        dataset: whose images are grouped.
        groups: a CSV file with the columns ``id`` and ``group``; by default what the dataset itself knows (sequences),
            else exact and near duplicates: images whose difference hashes differ in at most
            ``dataset.near_duplicate_bits`` of 256 bits, directly or through others.
        cache_dir: where hashes are kept.

    Raises:
        UserError: the file cannot be used.
    """
    if groups is not None:
        return _read_groups(dataset, Path(groups).expanduser())
    known = dataset.groups()
    if known is not None:
        return known
    pairs = similar_pairs(dataset_hashes(dataset, cache_dir), dataset.near_duplicate_bits)
    ids = dataset.ids()
    return [ids[position] for position in joined(len(ids), pairs)]


def _read_groups(dataset: LesionDataset, path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"data.groups: {path} cannot be read ({error}).") from error
    if not rows or not {"id", "group"} <= rows[0].keys():
        raise UserError(f"data.groups: {path} must be a CSV file with the columns 'id' and 'group'.")
    group_of: dict[str, str] = {}
    for row in rows:
        name, group = ((row[column] or "").strip() for column in ("id", "group"))
        if group_of.setdefault(name, group) != group:
            raise UserError(f"data.groups: {path} has {name!r} in two groups, {group_of[name]!r} and {group!r}.")
    missing = [name for name in dataset.ids() if not group_of.get(name)]
    if missing:
        raise UserError(
            f"data.groups: {path} gives no group to {len(missing)} of {len(dataset.ids())} images of "
            f"{dataset.name!r}, such as {missing[0]!r}."
        )
    return [group_of[name] for name in dataset.ids()]
