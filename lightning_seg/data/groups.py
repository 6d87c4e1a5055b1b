"""Which images belong together, so that a split can keep them together."""

import csv
from pathlib import Path

import numpy as np

from lightning_seg.data.copies import Copy, find_copies
from lightning_seg.data.dataset import LesionDataset
from lightning_seg.data.duplicates import Pairs, dataset_hashes, joined, similar_pairs
from lightning_seg.data.naming import normalised
from lightning_seg.data.rules import FOLDERS, SIBLINGS
from lightning_seg.errors import UserError
from lightning_seg.wording import counted


def image_groups(
    dataset: LesionDataset, groups: str | Path | None = None, cache_dir: str | Path | None = None
) -> list[str]:
    """The group of each image, in the order of ``dataset.ids()``.

    Args:
        dataset: whose images are grouped.
        groups: a CSV file with the columns ``id`` and ``group``, or ``folders`` for the folder of each image; by
            default, or by the word ``siblings``, what the dataset itself knows (sequences), else exact and near
            duplicates, directly or through others: images whose difference hashes differ in at most
            ``dataset.near_duplicate_bits`` of 256 bits, and of the user's own data copies that were mirrored, turned
            or cropped.
        cache_dir: where hashes are kept.

    Raises:
        UserError: the file cannot be used.
    """
    if groups == FOLDERS:
        folders = dataset.folder_groups()
        if folders is None:
            raise UserError(
                f"Dataset {dataset.name!r}: data.groups={FOLDERS} needs images in several folders, such as one for "
                "each patient; all of them lie in one."
            )
        return folders
    if groups not in (None, SIBLINGS):
        return _read_groups(dataset, Path(groups).expanduser())
    known = dataset.groups()
    if known is not None:
        return known
    pairs = similar_pairs(dataset_hashes(dataset, cache_dir), dataset.near_duplicate_bits)
    if dataset.groups_copies:
        pairs = _with_copies(pairs, find_copies(dataset, cache_dir))
    ids = dataset.ids()
    return [ids[position] for position in joined(len(ids), pairs)]


def _with_copies(pairs: Pairs, copies: list[Copy]) -> Pairs:
    first, second = ([getattr(copy, name) for copy in copies] for name in ("first", "second"))
    added = (np.array(first, dtype=np.int64), np.array(second, dtype=np.int64), np.zeros(len(copies), dtype=np.int64))
    return Pairs(*(np.concatenate(parts) for parts in zip(pairs, added, strict=True)))


def _read_groups(dataset: LesionDataset, path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"data.groups: {path} cannot be read ({error}).") from error
    if rows and any(key and ";" in key for key in rows[0]):
        raise UserError(f"data.groups: the columns of {path} are separated by semicolons; save it with commas.")
    if not rows or not {"id", "group"} <= rows[0].keys():
        raise UserError(f"data.groups: {path} must be a CSV file with the columns 'id' and 'group'.")
    group_of: dict[str, str] = {}
    for row in rows:
        name, group = (normalised((row[column] or "").strip()) for column in ("id", "group"))
        if group_of.setdefault(name, group) != group:
            raise UserError(f"data.groups: {path} has {name!r} in two groups, {group_of[name]!r} and {group!r}.")
    missing = [name for name in dataset.ids() if not group_of.get(normalised(name))]
    if missing:
        raise UserError(
            f"data.groups: {path} gives no group to {len(missing)} of {counted(len(dataset.ids()), 'image')} of "
            f"{dataset.name!r}, such as {missing[0]!r}."
        )
    return [group_of[normalised(name)] for name in dataset.ids()]
