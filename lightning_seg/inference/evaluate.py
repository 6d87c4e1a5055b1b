"""Trained networks on another dataset, or on their own at full resolution."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from lightning_seg.catalogue import COUNTS, METRICS
from lightning_seg.config.allowed import refuse_foreign
from lightning_seg.config.build import build
from lightning_seg.config.compose import compose_config
from lightning_seg.config.overrides import line_to_type
from lightning_seg.config.plugins import choices
from lightning_seg.data import FileDataset, LesionDataset
from lightning_seg.data.images import MASK_THRESHOLD
from lightning_seg.errors import UserError
from lightning_seg.files import csv_text, mark_output, write_json, write_text
from lightning_seg.inference.distances import DISTANCES, TOLERANCE, outline_distances, units
from lightning_seg.inference.intervals import bootstrap_interval
from lightning_seg.inference.predict import map_ahead, to_source
from lightning_seg.inference.tested import tested_ids, tested_images
from lightning_seg.inference.trained import Predictor, TrainedRun
from lightning_seg.metrics import image_scores, mask_counts
from lightning_seg.runs.folder import RESULT, RunFolder
from lightning_seg.runs.record import versions
from lightning_seg.wording import from_cell

FILES = ("images.csv", "summary.json")
EMPTIES = (
    "Where truth and prediction are both empty, all scores are 1 and HD95 is 0; where one of them is, all scores are 0 "
    "and HD95 is the image's diagonal."
)
_COMPARED = 20  # test images by whose lesions a run's own data is recognised
_ALIKE = 0.02  # a lesion's area differs by less where its mask has only been stored anew


@dataclass(frozen=True)
class _Pair:
    """An image as the network sees it, and its mask at the size at which it is scored."""

    pixels: NDArray[np.uint8]
    truth: NDArray[np.bool_]


def choose_dataset(run: TrainedRun, overrides: Sequence[str]) -> LesionDataset:
    """The dataset that overrides such as ``dataset=clinicdb dataset.root=...`` name.

    Without ``dataset=`` it is the run's own, with changes such as ``dataset.root=...``.

    Raises:
        UserError: an override is wrong or not about the dataset, or the dataset is.
    """
    if wrong := [override for override in overrides if not override.startswith(("dataset=", "dataset."))]:
        raise UserError(_instead_of(wrong[0]))
    if any(override.startswith("dataset=") for override in overrides):
        dataset = build(compose_config(list(overrides)).dataset, "dataset")
    else:
        refuse_foreign(run.record.config.get("dataset"), "dataset", str(RunFolder(run.directory).result))
        dataset = build(_own_dataset(run, overrides), "dataset")
    if not isinstance(dataset, LesionDataset):
        raise UserError(f"What {run.directory} records as its dataset is none.")
    dataset.reading()  # what cannot be told is told once, not of each image
    return dataset


def _instead_of(argument: str) -> str:
    """What to type where an argument is none of the dataset's."""
    path = Path(argument).expanduser()
    if argument in choices("dataset"):
        return f"{argument} is a dataset: type dataset={argument} ."
    if (path / RESULT).is_file():
        return f"{argument} is another run: to score the mean of both, type --with {argument} ."
    if path.is_dir():
        return f"{argument} is a folder: type dataset=folder {line_to_type(f'dataset.root={argument}')} ."
    return f"{argument} cannot be set here; what can are dataset=... and dataset.<key>=... ."


def _own_dataset(run: TrainedRun, overrides: Sequence[str]) -> DictConfig:
    keys = {override.split("=")[0].removeprefix("dataset.") for override in overrides}
    if unknown := keys - run.config.dataset.keys():
        raise UserError(
            f"dataset.{min(unknown)} is no key of the run's dataset, which has {', '.join(run.config.dataset)}; "
            "dataset=... chooses another one."
        )
    return cast(DictConfig, OmegaConf.merge(run.config, OmegaConf.from_dotlist(list(overrides)))).dataset


def fair_positions(runs: Sequence[TrainedRun], dataset: LesionDataset) -> list[int]:
    """The positions of the images that no run has trained on or been chosen by.

    Of other data these are all, of the runs' own those in the test set of every one. A run's own data is recognised
    whatever it is called: by its folder, or by its lesions.

    Raises:
        UserError: there are none, or the dataset lacks images of the run's test.
    """
    ids = dataset.ids()
    allowed = set(ids)
    for run in runs:
        areas = _tested_areas(run)
        if _is_own(run, areas, dataset):
            if absent := areas.keys() - set(ids):
                raise UserError(
                    f"Dataset {dataset.name!r} lacks {len(absent)} of the images that {run.directory} was tested on, "
                    f"such as {min(absent)!r}; set dataset.root to the data of that run."
                )
            allowed &= set(areas)
    if not allowed:
        raise UserError(
            f"No image of {dataset.name!r} is in the test set of every run, so none can be scored fairly; "
            "evaluate the runs one by one."
        )
    return [index for index, name in enumerate(ids) if name in allowed]


def _tested_areas(run: TrainedRun) -> dict[str, int]:
    """The lesion's pixels, at the run's size, in each image that a run was tested on, by ids."""
    folder = RunFolder(run.directory)
    tested = {from_cell(row["id"]): int(row["tp"]) + int(row["fn"]) for row in tested_images(folder)}
    if tested.keys() != set(tested_ids(folder)):
        raise UserError(
            f"{folder.test_images} and {folder.split} do not name the same test images, so it is not known which "
            "images the run has trained on: one of them is damaged."
        )
    return tested


def _is_own(run: TrainedRun, areas: dict[str, int], dataset: LesionDataset) -> bool:
    """Whether a dataset holds images that a run was tested on, and so others that it was trained on.

    They have the ids of those, and lie in the run's own folder, or most of their lesions are as large. Names do not
    tell: two folders may be called alike, and one may be called otherwise. Nor do ids alone: many are mere numbers.
    """
    shared = {name: index for index, name in enumerate(dataset.ids()) if name in areas}
    if not shared:
        return False
    root = run.config.dataset.get("root")
    if isinstance(dataset, FileDataset) and root and Path(root).expanduser().resolve() == dataset.root.resolve():
        return True
    differences = []
    for name in itertools.islice((name for name in shared if areas[name]), _COMPARED):
        with suppress(UserError):  # evaluating names the files that cannot be read
            area = int(dataset.read(shared[name], run.preparation.size)[1].sum())
            differences.append(abs(area - areas[name]) / areas[name])
    return not differences or median(differences) < _ALIKE


def evaluate(
    predictor: Predictor,
    dataset: LesionDataset,
    positions: Sequence[int],
    *,
    native: bool = False,
    distances: bool = True,
    batch_size: int | None = None,
) -> Iterator[dict[str, Any] | str]:
    """Score images one by one, in order.

    Args:
        predictor: one run, or several whose mean is scored.
        dataset: where images and truth come from.
        positions: which of its images.
        native: score at each image's own size: the network sees the image at the run's size, and its probabilities are
            brought back to the image's. Otherwise both are scored at the run's size, as in the run's own test.
        distances: NSD and HD95 as well.
        batch_size: of the network; by default that of the run's own test.

    Yields:
        A row of id, width, height, counts and scores, or the sentence why the image has none.

    Raises:
        UserError: ``native`` for a dataset that has no files.
    """
    if native and not isinstance(dataset, FileDataset):
        raise UserError(f"Dataset {dataset.name!r} has no files and so no native resolution; leave --native out.")
    size = predictor.preparation.size
    batch_size = batch_size or predictor.batch_size

    def read(index: int) -> _Pair | str:
        try:
            pixels, mask = dataset.read(index, size)
            return _Pair(pixels, native_mask(dataset, index) if isinstance(dataset, FileDataset) and native else mask)
        except UserError as error:
            return str(error)

    def predictions() -> Iterator[tuple[int, _Pair | str, NDArray[np.float32]]]:
        pairs = zip(positions, map_ahead(read, positions, 2 * batch_size), strict=True)
        while batch := list(itertools.islice(pairs, batch_size)):
            pixels = [pair.pixels for _, pair in batch if isinstance(pair, _Pair)]
            found = iter(predictor.probabilities(np.stack(pixels)).mean(axis=0) if pixels else ())
            for index, pair in batch:
                yield index, pair, next(found) if isinstance(pair, _Pair) else np.empty(0, dtype=np.float32)

    ids = dataset.ids()

    def score(item: tuple[int, _Pair | str, NDArray[np.float32]]) -> dict[str, Any] | str:
        index, pair, probability = item
        if isinstance(pair, str):
            return pair
        height, width = pair.truth.shape
        with dataset.alone(index) if native else nullcontext():
            predicted = (to_source(probability, (width, height)) if native else probability) > predictor.threshold.value
            row = {"id": ids[index], "width": width, "height": height, **_overlap(predicted, pair.truth)}
            return row | outline_distances(predicted, pair.truth) if distances else row

    return map_ahead(score, predictions(), 2 * batch_size)


def native_mask(dataset: FileDataset, index: int) -> NDArray[np.bool_]:
    """The mask ``(height, width)`` at its files' own size."""
    with dataset.alone(index):
        masks = dataset.load(index, size=1)[1]
        return np.logical_or.reduce([np.asarray(mask) >= MASK_THRESHOLD for mask in masks])


def _overlap(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, Any]:
    counts = mask_counts(*(torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (predicted, truth)))
    scores = image_scores(counts)
    return dict(zip(COUNTS, counts[0].tolist(), strict=True)) | {name: scores[name].item() for name in METRICS}


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each score the mean over images, its 95 % interval, the median and the standard deviation."""
    summary = {}
    for name in (*METRICS, *DISTANCES):
        if name in rows[0]:
            values = np.array([row[name] for row in rows])
            summary[name] = {
                "mean": values.mean(),
                "interval_95": bootstrap_interval(values),
                "median": float(np.median(values)),
                "std": float(values.std(ddof=1)) if len(values) > 1 else None,
            }
    return summary


def write_evaluation(
    output: Path, rows: Sequence[dict[str, Any]], predictor: Predictor, dataset: LesionDataset, native: bool
) -> dict[str, dict[str, Any]]:
    """Write ``images.csv`` and ``summary.json`` into ``output`` and return the summary of the scores.

    Distances have their unit in words beside their mean, as ``unit``, and NSD its tolerance as a share of the diagonal.
    """
    mark_output(output, FILES)
    write_text(output / "images.csv", csv_text([rows[0], *(row.values() for row in rows)]))
    scores, side = summarise(rows), predictor.preparation.size
    for name, unit in units(None if native else side).items():
        if name in scores:
            scores[name]["unit"] = unit
    if "nsd" in scores:
        scores["nsd"]["tolerance_of_diagonal"] = TOLERANCE
    empty_truth = sum(row["tp"] + row["fn"] == 0 for row in rows)
    empty_prediction = sum(row["tp"] + row["fp"] == 0 for row in rows)
    summary = {
        "runs": [str(run.directory) for run in predictor.runs],
        "trained_on": predictor.runs[0].record.dataset,
        "dataset": dataset.name,
        "images": len(rows),
        "empty": {"truth": empty_truth, "prediction": empty_prediction},
        "scored_at": "each image's own size" if native else f"{side} x {side}",
        "flips": predictor.flips,
        "threshold": predictor.threshold.as_json(),
        "empties": EMPTIES,
        "scores": scores,
        "versions": versions(),
    }
    write_json(output / "summary.json", summary)
    return scores
