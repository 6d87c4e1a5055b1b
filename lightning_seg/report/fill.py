"""Measures of masks for runs that have kept their masks and no measures yet: those of an older version."""

import json
from pathlib import Path

import numpy as np

from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.predicted import PUBLISHED
from lightning_seg.report.sources import Source, open_source
from lightning_seg.runs import measures, predictions
from lightning_seg.runs.folder import RunFolder
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.wording import counted


def fill_measures(directory: Path) -> list[str]:
    """Write ``test_measures.csv`` where it is missing, from the kept masks and the decoded data.

    Returns:
        a sentence for each reason why runs still have none.
    """
    known: dict[str, Source | UserError] = {}
    failed: dict[str, int] = {}
    for folder in StudyFolder(directory).runs()[0]:
        if not folder.predictions.is_file() or folder.measures.is_file():
            continue
        try:
            _fill(folder, known)
        except (OSError, UnreadableError, UserError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            failed[reason] = failed.get(reason, 0) + 1
    runs = {reason: counted(count, "run", "have") for reason, count in failed.items()}
    return [f"{which} no measures of masks: {reason}." for reason, which in runs.items()]


def _fill(folder: RunFolder, known: dict[str, Source | UserError]) -> None:
    record = folder.record()
    if record is None:
        return
    key = json.dumps([record.config.get("dataset"), record.config.get("data")], sort_keys=True, default=str)
    if key not in known:
        try:
            known[key] = open_source(record, folder)
        except UserError as error:
            known[key] = error
    source = known[key]
    if isinstance(source, UserError):
        raise source
    tested = predictions.read(folder).test
    if missing := [name for name in tested.ids if name not in source.place]:
        raise UserError(f"{record.dataset} no longer has images that runs were tested on, such as {missing[0]!r}")
    masks = np.stack([source.mask(name) for name in tested.ids])
    tp, _, fn, _ = np.moveaxis(tested.counts[:, PUBLISHED], -1, 0)
    if masks.shape != tested.masks.shape or (masks.sum(axis=(1, 2)) != tp + fn).any():
        raise UserError(f"the masks of {record.dataset} have changed since")
    measures.write(folder, tested, masks)
