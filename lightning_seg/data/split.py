"""The division of a dataset into training, validation and test images."""

import csv
import hashlib
import io
import itertools
import json
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_seg.data.dataset import LesionDataset
from lightning_seg.data.groups import image_groups
from lightning_seg.data.naming import normalised
from lightning_seg.data.rules import SIBLINGS, STRATEGIES, refuse_fractions
from lightning_seg.errors import UserError
from lightning_seg.files import MOST_TABLE_BYTES, open_plain
from lightning_seg.once import is_news
from lightning_seg.wording import counted

log = logging.getLogger(__name__)

SUBSETS = ("train", "val", "test")


@dataclass(frozen=True)
class Fractions:
    """Shares of the three subsets; they sum to 1."""

    train: float
    val: float
    test: float

    def __post_init__(self) -> None:
        if (wrong := refuse_fractions((self.train, self.val, self.test))) is not None:
            raise UserError(wrong)


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
    train, val, _ = _sizes(count, fractions)
    return _checked(Split(*(np.sort(part) for part in np.split(order, [train, train + val]))))


def make_split(
    strategy: str,
    dataset: LesionDataset,
    fractions: Fractions,
    seed: int,
    repeat: int,
    *,
    groups: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> Split:
    """Divide a dataset.

    Args:
        strategy: how:

            - ``random``: :func:`random_split`, the paper's.
            - ``grouped``: at random, but images of one group (see :func:`image_groups`) stay together; the sizes are
              as near to the fractions as the groups allow.
            - ``official``: the publisher's; where it has no validation set, that is drawn from its training set.
            - ``folders``: by the folders ``train``, ``val`` and ``test`` that the images lie in; of ``train`` and
              ``val`` alone, the latter is the test set. A missing validation set is drawn from the training set.
            - ``kfold``: the dataset is cut into round(1 / fractions.test) parts and repeat k tests on part k, so that
              over all repeats each image is tested once; validation images are drawn from the rest.
            - the path of a file of ids: JSON with the lists ``train``, ``val`` and ``test`` (such as a run's own
              ``split.json``), or CSV with the column ``id`` and a column ``subset`` or ``repeat_0``, ``repeat_1``, ...
              of the values train, val and test.
        dataset: what to divide.
        fractions: shares of the three subsets.
        seed: of all randomness, together with ``repeat``.
        repeat: which of the study's repeats, from 0.
        groups: what belongs together, for ``grouped`` and, where it is given, ``kfold``; see :func:`image_groups`.
        cache_dir: where ``grouped`` keeps the images' hashes.

    Raises:
        UserError: the strategy is unknown, does not suit the dataset, or leaves a subset empty.
    """
    ids = dataset.ids()
    rng = np.random.default_rng([seed, repeat])
    match strategy:
        case "random":
            return random_split(len(ids), fractions, seed, repeat)
        case "grouped":
            return _grouped(_group_numbers(dataset, groups, cache_dir), fractions, rng)
        case "official":
            return _official(dataset, fractions, rng)
        case "folders":
            return _by_folders(dataset, fractions, rng)
        case "kfold":
            numbers = np.arange(len(ids)) if groups is None else _group_numbers(dataset, groups, cache_dir)
            return _fold(numbers, fractions, seed, repeat, rng)
    path = Path(strategy).expanduser()
    if not path.is_file():
        raise UserError(f"data.split={strategy} is neither one of {', '.join(STRATEGIES)} nor a file.")
    return _from_ids(dataset, _read_subsets(path, repeat), str(path))


def compares_images(strategy: str, groups: str | Path | None) -> bool:
    """Whether :func:`make_split` may have to read and compare images."""
    by_groups = strategy == "grouped" or (strategy == "kfold" and groups is not None)
    return by_groups and groups in (None, SIBLINGS)


def count_repeats(strategy: str, fractions: Fractions) -> int | None:
    """How many repeats a way to divide has, see :func:`make_split`; ``None`` for as many as one likes.

    Raises:
        UserError: the strategy is a file that cannot be read.
    """
    if strategy == "kfold":
        return _folds(fractions)
    path = Path(strategy).expanduser()
    if strategy in STRATEGIES or path.suffix.lower() == ".json":
        return None
    columns: dict[str, str] = next(iter(_read(path)), {})
    return None if "subset" in columns else next(k for k in itertools.count() if f"repeat_{k}" not in columns)


def split_digest(ids: list[str], split: Split) -> str:
    """The SHA-256 of a split's ids, by which two people can tell that theirs is the same."""
    subsets = {name: [ids[position] for position in part] for name, part in split._asdict().items()}
    return hashlib.sha256(json.dumps(subsets, sort_keys=True).encode()).hexdigest()


def siblings_in_training(split: Split, groups: list[str]) -> int:
    """How many test images have an image of their own group in the training set."""
    labels = np.unique(groups, return_inverse=True)[1]
    return int(np.isin(labels[split.test], labels[split.train]).sum())


def _sizes(count: int, fractions: Fractions) -> tuple[int, int, int]:
    train, val = round(fractions.train * count), round(fractions.val * count)
    return train, val, count - train - val


def _checked(split: Split) -> Split:
    if not all(len(part) for part in split):
        count = sum(len(part) for part in split)
        sizes = " / ".join(str(len(part)) for part in split)
        raise UserError(
            f"{counted(count, 'image', 'are')} too few, or the groups too large, to split: "
            f"training / validation / test would get {sizes}; each needs at least one."
        )
    return split


def _group_numbers(
    dataset: LesionDataset, groups: str | Path | None, cache_dir: str | Path | None
) -> NDArray[np.int64]:
    """A number from 0 for each image; equal numbers belong together."""
    return np.unique(image_groups(dataset, groups, cache_dir), return_inverse=True)[1].astype(np.int64)


def _grouped(numbers: NDArray[np.int64], fractions: Fractions, rng: np.random.Generator) -> Split:
    _, val, test = _sizes(len(numbers), fractions)
    units = rng.permutation(numbers.max() + 1)
    in_test = _take(units, numbers, test)
    in_val = _take(units[~np.isin(units, in_test)], numbers, val)
    return _by_groups(numbers, in_val, in_test)


def _folds(fractions: Fractions) -> int:
    return max(2, round(1 / fractions.test))


def _fold(numbers: NDArray[np.int64], fractions: Fractions, seed: int, repeat: int, rng: np.random.Generator) -> Split:
    folds = _folds(fractions)
    if repeat >= folds:
        raise UserError(
            f"data.split=kfold with fractions.test={fractions.test:g} has {folds} parts, so repeat={repeat} does not "
            f"exist; use 0 to {folds - 1}."
        )
    sizes = np.bincount(numbers)
    units = np.random.default_rng(seed).permutation(len(sizes))  # the same parts in every repeat
    fold_of, filled = np.empty(len(sizes), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for unit in units[np.argsort(-sizes[units], kind="stable")]:
        fold_of[unit] = filled.argmin()
        filled[fold_of[unit]] += sizes[unit]
    in_test = np.flatnonzero(fold_of == repeat)
    rest = rng.permutation(np.flatnonzero(fold_of != repeat))
    return _by_groups(numbers, _take(rest, numbers, _sizes(len(numbers), fractions)[1]), in_test)


def _by_groups(numbers: NDArray[np.int64], in_val: NDArray[np.int64], in_test: NDArray[np.int64]) -> Split:
    val, test = np.isin(numbers, in_val), np.isin(numbers, in_test)
    return _checked(Split(*(np.flatnonzero(part) for part in (~val & ~test, val, test))))


def _take(units: NDArray[np.int64], numbers: NDArray[np.int64], target: int) -> NDArray[np.int64]:
    """The first of the groups ``units`` whose images together number as near to ``target`` as any choice can."""
    sizes = np.bincount(numbers)[units].tolist()
    limit = (1 << (target + max(sizes, default=0) + 1)) - 1
    reachable = [1]  # bit s: some of the groups so far have s images together
    for size in sizes:
        reachable.append((reachable[-1] | reachable[-1] << size) & limit)
    total = min((s for s in range(limit.bit_length()) if reachable[-1] >> s & 1), key=lambda s: (abs(s - target), s))
    taken = []
    for index in range(len(sizes) - 1, -1, -1):
        if not reachable[index] >> total & 1:
            taken.append(index)
            total -= sizes[index]
    return units[taken]


def _official(dataset: LesionDataset, fractions: Fractions, rng: np.random.Generator) -> Split:
    subsets = dataset.official()
    if subsets is None:
        raise UserError(f"Dataset {dataset.name!r} has no official split; use one of random, grouped, kfold or a file.")
    if not subsets.get("train") or not subsets.get("test"):
        raise UserError(
            f"Dataset {dataset.name!r}: data.split=official needs its training and its test images, but here are only "
            f"those of {', '.join(subsets)}."
        )
    return _from_ids(dataset, _with_validation(subsets, fractions, rng), "the official split")


def _by_folders(dataset: LesionDataset, fractions: Fractions, rng: np.random.Generator) -> Split:
    subsets = dataset.by_folders()
    if subsets is None:
        raise UserError(
            f"Dataset {dataset.name!r}: data.split=folders needs every image in a folder called train, val or test, "
            "and some in train and in test or val; use one of random, grouped, kfold or a file."
        )
    return _from_ids(dataset, _with_validation(subsets, fractions, rng), "the folders' split")


def _with_validation(
    subsets: dict[str, list[str]], fractions: Fractions, rng: np.random.Generator
) -> dict[str, list[str]]:
    """The subsets; a missing validation set is drawn from the training set, by the shares of the two."""
    if subsets.get("val"):
        return subsets
    train = sorted(subsets["train"])
    order = rng.permutation(len(train))
    val = round(len(train) * fractions.val / (fractions.train + fractions.val))
    return subsets | {"val": [train[i] for i in order[:val]], "train": [train[i] for i in order[val:]]}


def _read(path: Path) -> Any:
    """What a file of ids holds: JSON's content, or the rows of a CSV file."""
    try:
        with open_plain(path, MOST_TABLE_BYTES, follow=True) as file:
            content = file.read().decode("utf-8-sig")
        if path.suffix.lower() == ".json":
            return json.loads(content)
        return list(csv.DictReader(io.StringIO(content, newline="")))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise UserError(f"data.split: {path} cannot be read ({error}).") from error


def _read_subsets(path: Path, repeat: int) -> dict[str, list[str]]:
    """The ids of each subset, from a JSON or CSV file."""
    content = _read(path)
    if path.suffix.lower() == ".json":
        return _listed(content, path)
    rows: list[dict[str, str]] = content
    columns = rows[0].keys() if rows else ()
    column = next((name for name in (f"repeat_{repeat}", "subset") if name in columns), None)
    if column is None or "id" not in columns:
        raise UserError(f"data.split: {path} needs the columns 'id' and 'repeat_{repeat}' or 'subset'.")
    odd = sorted({row[column] or "" for row in rows} - {*SUBSETS, ""})
    if odd:
        raise UserError(f"data.split: {path} has {odd[0]!r} in the column {column!r}; known are {', '.join(SUBSETS)}.")
    return {subset: [row["id"] for row in rows if row[column] == subset] for subset in SUBSETS}


def _listed(content: Any, path: Path) -> dict[str, list[str]]:
    if not isinstance(content, dict) or not all(isinstance(content.get(subset), list) for subset in SUBSETS):
        raise UserError(f"data.split: {path} must hold the lists 'train', 'val' and 'test'.")
    return {subset: [str(name) for name in content[subset]] for subset in SUBSETS}


def _from_ids(dataset: LesionDataset, subsets: dict[str, list[str]], source: str) -> Split:
    """The positions of the ids, which must all exist and occur once."""
    position = {normalised(name): index for index, name in enumerate(dataset.ids())}
    subsets = {subset: [normalised(name) for name in names] for subset, names in subsets.items()}
    counts = Counter(name for names in subsets.values() for name in names)
    unknown = [name for name in counts if name not in position]
    if unknown:
        raise UserError(
            f"{source} names {counted(len(unknown), 'image')} that dataset {dataset.name!r} lacks, such as "
            f"{unknown[0]!r}."
        )
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise UserError(f"{source} names {counted(len(repeated), 'image')} more than once, such as {repeated[0]!r}.")
    left_out = len(position) - len(counts)
    if left_out and is_news("left out", source, dataset.name, left_out):
        log.warning("%s leaves out %d of the dataset's %d images.", source, left_out, len(position))
    parts = (np.array(sorted(position[name] for name in subsets[subset]), dtype=np.int64) for subset in SUBSETS)
    return _checked(Split(*parts))
