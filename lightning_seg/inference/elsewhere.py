"""Tests elsewhere of a run that has finished without them, kept in its folder as its own training would have done."""

import tempfile
from dataclasses import replace
from pathlib import Path

from lightning_seg.data import LesionDataset
from lightning_seg.data.cache import open_cache
from lightning_seg.errors import UserError
from lightning_seg.inference.evaluate import fair_positions
from lightning_seg.inference.trained import Predictor
from lightning_seg.runs.elsewhere import Tester, copies_in
from lightning_seg.runs.folder import RunFolder


def record_elsewhere(predictor: Predictor, dataset: LesionDataset, home: LesionDataset | None) -> Path:
    """Test a run on a dataset and write table and record.

    Of another dataset it is what ``external=[...]`` does, of the run's own what ``corruptions=standard`` does.

    Args:
        predictor: of one run, at the threshold of its own test.
        dataset: on which it is tested.
        home: the run's own, beside which copies are looked for; ``None`` where ``dataset`` is it.

    Returns:
        the table.

    Raises:
        UserError: images cannot be read, or are not those that the run was tested on.
    """
    run = predictor.runs[0]
    folder, seed = RunFolder(run.directory), run.record.seed
    folder.refuse_links()
    positions = fair_positions([run], dataset)
    tester = Tester(predictor.logits, predictor.batch_size, {})
    with tempfile.TemporaryDirectory() as place:
        cache = open_cache(dataset, predictor.preparation.size, place)
        if home is None:
            if seed is None:
                raise UserError(f"{folder.result} does not say its seed, from which the corruptions are drawn.")
            found = tester.corruptions(folder, cache, positions, seed)
            folder.write(replace(run.record, corruptions=found))
            return folder.corruptions
        if len(positions) < len(cache.ids):
            raise UserError(
                f"{dataset.name} holds images that {run.directory} was tested on: it is no other dataset; without "
                "dataset=... the run is tested on its own."
            )
        means = {**tester.external(folder, dataset.name, cache), "copies": copies_in(home, dataset)}
        folder.write(replace(run.record, external=run.record.external | {dataset.name: means}))
    return folder.external(dataset.name)
