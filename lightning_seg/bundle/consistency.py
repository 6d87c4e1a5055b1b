"""Whether a bundle's data agree with themselves: each number that others imply is worked out from them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lightning_seg.bundle.contents import CURVES, ELSEWHERE, IMAGES, RECORDS, SPLITS, read_parquet, split_digest
from lightning_seg.catalogue import COUNTS, METRICS
from lightning_seg.files import read_json
from lightning_seg.predicted import dice_of
from lightning_seg.report.records import KEYS

# Scores are kept as float32, and older records round them to six digits.
_MOST_GAP = 2e-6


def contradictions(folder: Path) -> Iterator[str]:
    """Sentences on numbers that others in the data contradict.

    Args:
        folder: of a bundle whose data have been read without complaint.
    """
    images, curves = read_parquet(folder / IMAGES), read_parquet(folder / CURVES)
    records, splits = read_json(folder / RECORDS, 2**30), read_json(folder / SPLITS, 2**30)
    if len(images):
        yield from _scores(images)
        yield from _means(images, records)
        yield from _tested(images, splits)
    yield from _digests(splits)
    if len(curves):
        yield from _best_epochs(curves, records)
    if (folder / ELSEWHERE).exists():
        yield from _means_elsewhere(read_parquet(folder / ELSEWHERE), records)


def _scores(images: pd.DataFrame) -> Iterator[str]:
    """Dice, IoU, precision and recall of each image from its counts."""
    tp, fp, fn, _ = (images[name].to_numpy(dtype=np.int64) for name in COUNTS)
    wholes = {"iou": tp + fp + fn, "precision": tp + fp, "recall": tp + fn}
    implied = {name: np.where(whole == 0, np.nan, tp / np.maximum(whole, 1)) for name, whole in wholes.items()}
    implied["dice"] = dice_of(images[list(COUNTS)].to_numpy())  # of others, metrics say what an empty mask counts
    for name, values in implied.items():
        off = np.abs(images[name].to_numpy(dtype=float) - values) > _MOST_GAP
        for row in np.flatnonzero(off):
            yield (
                f"{IMAGES}, {name} of {_run(images.iloc[row])}, image {images['id'].iloc[row]}: "
                f"{images[name].iloc[row]:.6f} is written, {values[row]:.6f} follows from its pixel counts."
            )
    pixels = images[list(COUNTS)].sum(axis=1)
    usual = pixels.groupby([images[key] for key in ("dataset", "model", "loss", "repeat")], observed=True).transform(
        "median"
    )
    for row in np.flatnonzero((pixels != usual).to_numpy()):
        yield (
            f"{IMAGES}, pixel counts of {_run(images.iloc[row])}, image {images['id'].iloc[row]}: they add up to "
            f"{pixels.iloc[row]}, those of the run's other images to {usual.iloc[row]:g}."
        )


def _means(images: pd.DataFrame, records: dict[str, Any]) -> Iterator[str]:
    means = images.groupby(KEYS, observed=True)[list(METRICS)].mean()
    for key, row in means.iterrows():
        address = "{}/{}/{}/repeat_{}".format(*key)  # type: ignore[misc]
        test = records.get(address, {}).get("test") or {}
        for metric in METRICS:
            if metric in test and not abs(float(row[metric]) - float(test[metric])) <= _MOST_GAP:
                yield (
                    f"{RECORDS}, test {metric} of {address}: {test[metric]:.6f} is written, its images in {IMAGES} "
                    f"have a mean of {row[metric]:.6f}."
                )


def _means_elsewhere(rows: pd.DataFrame, records: dict[str, Any]) -> Iterator[str]:
    """What a record says of other datasets and of images made worse is the mean over them."""
    means = rows.groupby([*KEYS, "place", "kind"], observed=True)[list(METRICS)].mean()
    for (*key, place, kind), row in means.iterrows():  # type: ignore[misc]
        address = "{}/{}/{}/repeat_{}".format(*key)
        record = records.get(address, {})
        written = (record.get("external", {}).get(place) if place else record.get("corruptions", {}).get(kind)) or {}
        for metric in METRICS:
            if not abs(float(row[metric]) - float(written.get(metric, np.inf))) <= _MOST_GAP:
                yield (
                    f"{RECORDS}, {metric} of {address} on {place or kind}: {written.get(metric)} is written, "
                    f"{ELSEWHERE} has a mean of {row[metric]:.6f}."
                )


def _tested(images: pd.DataFrame, splits: dict[str, Any]) -> Iterator[str]:
    """The test images of each run are those of its split."""
    for key, rows in images.groupby(KEYS, observed=True)["id"]:
        address = "{}/{}/{}/repeat_{}".format(*key)
        split = splits["splits"].get(splits["runs"].get(address))
        if isinstance(split, dict) and isinstance(split.get("test"), list) and set(split["test"]) != set(rows):
            odd = sorted(set(map(str, split["test"])) ^ set(map(str, rows)))
            yield f"{SPLITS}: the test images of {address} are others than in {IMAGES}, such as {odd[0]}."


def _digests(splits: dict[str, Any]) -> Iterator[str]:
    for name, split in splits["splits"].items():
        if (found := split_digest(split)) != name:
            runs = [address for address, used in splits["runs"].items() if used == name]
            yield f"{SPLITS}: the split of {', '.join(runs[:1])} has the digest {found[:12]}..., not {name[:12]}... ."


def _best_epochs(curves: pd.DataFrame, records: dict[str, Any]) -> Iterator[str]:
    """Epochs, the best one and its validation Dice are in each record those of its table of epochs."""
    for key, rows in curves.groupby(KEYS, observed=True):
        address = "{}/{}/{}/repeat_{}".format(*key)
        epochs = records.get(address, {}).get("epochs")
        if isinstance(epochs, int) and epochs != len(rows):
            yield f"{RECORDS}, epochs of {address}: {epochs} is written, {CURVES} has {len(rows)}."
        best, dice = (records.get(address, {}).get(name) for name in ("best_epoch", "best_val_dice"))
        there = rows.loc[rows["epoch"] == best, "val_dice"]
        if len(there) == 1 and isinstance(dice, float) and not abs(float(there.iloc[0]) - dice) <= _MOST_GAP:
            yield f"{RECORDS}, best_val_dice of {address}: {dice:.6f} is written, {CURVES} has {there.iloc[0]:.6f}."


def _run(row: pd.Series) -> str:
    return "{}/{}/{}/repeat_{}".format(*(row[key] for key in KEYS))
