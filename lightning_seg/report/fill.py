"""Measures of masks for runs that have kept their masks and no measures yet: those of an older version."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.predicted import PUBLISHED
from lightning_seg.runs import measures, predictions
from lightning_seg.runs.folder import RunFolder
from lightning_seg.studies.folder import StudyFolder

Truth = Mapping[str, NDArray[np.bool_]]


def fill_measures(directory: Path) -> list[str]:
    """Write ``test_measures.csv`` where it is missing, from the kept masks and the decoded data.

    Returns:
        a sentence for each reason why runs still have none.
    """
    known: dict[str, Truth | str] = {}
    failed: dict[str, int] = {}
    for folder in StudyFolder(directory).runs()[0]:
        if not folder.predictions.is_file() or folder.measures.is_file():
            continue
        try:
            _fill(folder, known)
        except (FileNotFoundError, UnreadableError, UserError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            failed[reason] = failed.get(reason, 0) + 1
    runs = {reason: "1 run has" if count == 1 else f"{count} runs have" for reason, count in failed.items()}
    return [f"{which} no measures of masks: {reason}." for reason, which in runs.items()]


def _fill(folder: RunFolder, known: dict[str, Truth | str]) -> None:
    record = folder.record()
    if record is None:
        return
    data = record.config.get("data")
    dataset, data = record.config.get("dataset"), data if isinstance(data, dict) else {}
    key = json.dumps([dataset, data], sort_keys=True, default=str)
    if key not in known:
        try:
            known[key] = true_masks(dataset, data, str(folder.result))
        except UserError as error:
            known[key] = str(error)
    truth = known[key]
    if isinstance(truth, str):
        raise UserError(truth)
    tested = predictions.read(folder).test
    if missing := [name for name in tested.ids if name not in truth]:
        raise UserError(f"{record.dataset} no longer has images that runs were tested on, such as {missing[0]!r}")
    masks = np.stack([truth[name] for name in tested.ids])
    tp, _, fn, _ = np.moveaxis(tested.counts[:, PUBLISHED], -1, 0)
    if masks.shape != tested.masks.shape or (masks.sum(axis=(1, 2)) != tp + fn).any():
        raise UserError(f"the masks of {record.dataset} have changed since")
    measures.write(folder, tested, masks)


def true_masks(dataset: Any, data: Mapping[str, Any], where: str) -> Truth:
    """The decoded masks of a record's dataset by id, each bool (H, W), memory-mapped.

    Args:
        dataset, data: groups of a record's configuration.
        where: the record's file, for errors.

    Raises:
        UserError: the dataset is not there, or not decoded any longer.
    """
    from lightning_seg.config.allowed import refuse_foreign
    from lightning_seg.config.build import build
    from lightning_seg.data import LesionDataset
    from lightning_seg.data.cache import cache_folder, open_cache

    refuse_foreign(dataset, "dataset", where)
    size, directory = data.get("image_size"), data.get("cache_dir")
    if not isinstance(dataset, dict) or not isinstance(size, int) or not isinstance(directory, str):
        raise UserError("their records do not tell where the dataset lies")
    found = build(OmegaConf.create(dataset), "dataset")
    if not isinstance(found, LesionDataset):
        raise UserError("what their records name as dataset is none")
    if not cache_folder(found, size, directory).is_dir():
        raise UserError(f"{found.name} is not decoded any longer at {size} pixels below {directory}")
    cache = open_cache(found, size, directory)
    return dict(zip(cache.ids, cache.masks[:, 0], strict=True))
