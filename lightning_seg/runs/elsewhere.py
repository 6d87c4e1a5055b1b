"""A run's best weights elsewhere: on other datasets, and on its own test images made worse.

Counts and scores are those of the run's own test, of the same masks at 0.5. A run does this at its end, before its
record; ``lightning-seg evaluate --record`` does it later for a run that has kept its weights.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor

from lightning_seg.catalogue import COUNTS, METRICS
from lightning_seg.config.build import build
from lightning_seg.config.external import external_nodes, refuse_absent
from lightning_seg.data.cache import Cache, open_cache
from lightning_seg.data.copies import find_shared
from lightning_seg.data.corruption import KINDS, STRENGTHS, corrupted
from lightning_seg.data.datamodule import LesionDataModule, normalise
from lightning_seg.data.dataset import LesionDataset
from lightning_seg.errors import UserError
from lightning_seg.files import csv_text, write_text
from lightning_seg.metrics import Metric, Scores, confusion_counts
from lightning_seg.once import is_news
from lightning_seg.runs.folder import RunFolder

log = logging.getLogger(__name__)

Network = Callable[[NDArray[np.uint8]], Tensor]
"""From RGB images uint8 (N, 3, H, W) to logits (N, 1, H, W), by the run's best weights."""
Means = dict[str, dict[str, float]]
"""By place, the mean of each metric over its images; of another dataset also ``images`` and ``copies``, two counts."""


@dataclass(frozen=True)
class Tester:
    """Scores images as a run's own test does.

    Attributes:
        network: of the run.
        batch_size: of its own test.
        metrics: a user's own, of counts.
    """

    network: Network
    batch_size: int
    metrics: Mapping[str, Metric]

    def scores(self, batches: Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]) -> Scores:
        """Of all images of some batches of images and masks (N, 1, H, W)."""
        counts = []
        with torch.inference_mode():
            for images, masks in batches:
                logits = self.network(images)
                lesion = torch.from_numpy(np.ascontiguousarray(masks)).to(logits.device)
                counts.append(confusion_counts(logits, lesion).cpu())
        return Scores.of(torch.cat(counts), self.metrics)

    def external(self, folder: RunFolder, name: str, cache: Cache) -> dict[str, float]:
        """Score all images of another dataset and write their table; the means, and how many images they are of."""
        starts = range(0, len(cache.ids), self.batch_size)
        scores = self.scores(
            (cache.images[start : start + self.batch_size], cache.masks[start : start + self.batch_size])
            for start in starts
        )
        table = image_table(cache.ids, scores, cache.contrasts)
        write_text(folder.external(name), csv_text(table))
        return {"images": len(cache.ids), **scores.means}

    def corruptions(self, folder: RunFolder, cache: Cache, positions: Sequence[int], seed: int) -> Means:
        """Score the run's own test images made worse and write their table.

        Args:
            folder: of the run.
            cache: of its dataset.
            positions: of its test images.
            seed: of the study.

        Returns:
            by kind, the mean of each metric over images and strengths.
        """
        rows: list[tuple[object, ...]] = []
        means: Means = {}
        names: list[str] = [*METRICS]
        for kind in KINDS:
            of_kind = []
            for strength in STRENGTHS:
                scores = self.scores(self._corrupted(cache, positions, kind, strength, seed))
                names = [*scores.values]
                of_kind.append(scores.means)
                values = [[f"{value:.6g}" for value in scores.values[name].tolist()] for name in names]
                columns = zip([cache.ids[n] for n in positions], *scores.counts.T.tolist(), *values, strict=True)
                rows += [(kind, strength, *row) for row in columns]
            means[kind] = {name: fmean(each[name] for each in of_kind) for name in names}
        write_text(folder.corruptions, csv_text([("kind", "strength", "id", *COUNTS, *names), *rows]))
        return means

    def _corrupted(
        self, cache: Cache, positions: Sequence[int], kind: str, strength: int, seed: int
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
        for start in range(0, len(positions), self.batch_size):
            batch = positions[start : start + self.batch_size]
            images = [corrupted(cache.images[n], kind, strength, seed, cache.ids[n]) for n in batch]
            yield np.stack(images), cache.masks[np.asarray(batch)]


def image_table(ids: Sequence[str], scores: Scores, contrasts: NDArray[np.floating]) -> list[tuple[object, ...]]:
    """The rows of a table of images: id, counts, the study's metrics, lesion contrast, and a user's metrics."""
    names = (*METRICS, "contrast", *(name for name in scores.values if name not in METRICS))
    columns = {name: values.tolist() for name, values in scores.values.items()}
    columns["contrast"] = np.abs(contrasts).tolist()
    rows = zip(ids, *scores.counts.T.tolist(), *(columns[name] for name in names), strict=True)
    return [("id", *COUNTS, *names), *rows]


def make_external(cfg: DictConfig) -> dict[str, LesionDataset]:
    """The datasets of ``external=[...]`` by name, without the run's own.

    Raises:
        UserError: one is not there, or its files do not fit together.
    """
    nodes = external_nodes(cfg.external, cfg.data_dir, cfg.dataset)
    refuse_absent(nodes)
    found = {name: build(node, f"external {name}") for name, node in nodes.items()}
    if wrong := [name for name, dataset in found.items() if not isinstance(dataset, LesionDataset)]:
        raise UserError(f"external=[...]: what the configuration of {wrong[0]} builds is no dataset.")
    return found


class Elsewhere(Callback):
    """Tests the best weights elsewhere at the test's end, on the device and in the precision of the test.

    Args:
        folder: of the run.
        data: of the run.
        datasets: other ones, of :func:`make_external`.
        metrics: a user's own, of counts.
        corrupt: whether to test on the run's own test images made worse.

    Attributes:
        external: by dataset; there after a test, as ``corruptions`` by kind.
    """

    def __init__(
        self,
        folder: RunFolder,
        data: LesionDataModule,
        datasets: Mapping[str, LesionDataset],
        metrics: Mapping[str, Metric],
        corrupt: bool,
    ) -> None:
        self.folder, self.data, self.datasets, self.metrics, self.corrupt = folder, data, datasets, metrics, corrupt
        self.external: Means = {}
        self.corruptions: Means = {}
        self._caches: dict[str, Cache] = {}
        self._copies: dict[str, int] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Decode the other datasets and look for copies, before the first step of a training that they belong to."""
        for name in self.datasets.keys() - self._caches.keys():
            dataset, data = self.datasets[name], self.data
            self._caches[name] = open_cache(dataset, data.image_size, data.cache_dir)
            self._copies[name] = copies_in(data.dataset, dataset, data.cache_dir)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = self.data

        def network(images: NDArray[np.uint8]) -> Tensor:
            batch = torch.from_numpy(np.ascontiguousarray(images)).to(pl_module.device)
            with trainer.precision_plugin.forward_context():
                return pl_module.eval()(normalise(batch, data.mean, data.std))

        if not self.datasets and not self.corrupt:
            return
        self.folder.refuse_lost()
        tester = Tester(network, data.eval_batch_size, self.metrics)
        for name in self.datasets:
            found = tester.external(self.folder, name, self._caches[name])
            self.external[name] = {**found, "copies": self._copies[name]}
        if self.corrupt:
            self.corruptions = tester.corruptions(self.folder, data.cache, data.split.test.tolist(), data.seed)


def copies_in(home: LesionDataset, other: LesionDataset, cache_dir: str | Path | None = None) -> int:
    """How many images of another dataset are copies of some in the run's own; told once for each two datasets."""
    found = find_shared(home, other, cache_dir)
    copies = len({copy.second for copy in found})
    if copies and is_news("copies", home.name, other.name):
        first = found[0]
        log.warning(
            "%d of the %d images of %s are copies of images in %s (such as %s of %s), so networks trained there may "
            "know them: dataset.exclude of a choice of its own leaves them out.",
            copies,
            len(other.ids()),
            other.name,
            home.name,
            other.ids()[first.second],
            home.ids()[first.first],
        )
    return copies
