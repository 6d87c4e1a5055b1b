"""From a dataset to normalised batches on the device."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor

from lightning_seg.catalogue import DATASETS
from lightning_seg.data.augmentation import Augmentation, Augmented
from lightning_seg.data.batch import Batch
from lightning_seg.data.cache import Cache, open_cache, open_distances
from lightning_seg.data.dataset import LesionDataset
from lightning_seg.data.groups import image_groups
from lightning_seg.data.readers.folder import Folder
from lightning_seg.data.remarks import data_remarks, siblings_remark
from lightning_seg.data.split import Fractions, Split, make_split, siblings_in_training
from lightning_seg.once import is_news
from lightning_seg.seed import derive_seed

log = logging.getLogger(__name__)


class GatherLoader:
    """Batches gathered by index from arrays in memory: no worker processes, no collation.

    Args:
        images: uint8 ``(N, 3, H, W)``.
        masks: bool ``(N, 1, H, W)``.
        positions: which of the N to serve, int64.
        batch_size: images of a batch. A last training batch of one joins the batch before it, since batch
            normalisation of 1x1 maps needs two.
        shuffle_seed: called at the start of each epoch for the seed of its order; ``None`` keeps the order.
        distances: of the masks, float16 ``(N, 1, H, W)``, or ``None`` for batches without.
        image_seeds: called at the start of each epoch with its positions, in order, for the seeds of their images;
            ``None`` for batches without.
    """

    def __init__(
        self,
        images: Tensor,
        masks: Tensor,
        positions: Tensor,
        batch_size: int,
        shuffle_seed: Callable[[], int] | None = None,
        distances: Tensor | None = None,
        image_seeds: Callable[[list[int]], list[int]] | None = None,
    ) -> None:
        self.distances = distances
        self.image_seeds = image_seeds
        self.images = images
        self.masks = masks
        self.positions = positions
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed

    def __len__(self) -> int:
        batches = math.ceil(len(self.positions) / self.batch_size)
        return batches - 1 if self._lone_last() else batches

    def _lone_last(self) -> bool:
        count = len(self.positions)
        return self.shuffle_seed is not None and count > self.batch_size > 1 and count % self.batch_size == 1

    def __iter__(self) -> Iterator[Batch]:
        positions = self.positions
        if self.shuffle_seed is not None:
            generator = torch.Generator().manual_seed(self.shuffle_seed())
            positions = positions[torch.randperm(len(positions), generator=generator).to(positions.device)]
        batches = list(positions.split(self.batch_size))
        if self._lone_last():
            batches[-2:] = [torch.cat(batches[-2:])]
        seeds: Sequence[Tensor | None] = [None] * len(batches)
        if self.image_seeds is not None:
            seeds = torch.tensor(self.image_seeds(positions.tolist())).split([len(batch) for batch in batches])
        for batch, batch_seeds in zip(batches, seeds, strict=True):
            distances = None if self.distances is None else self.distances.index_select(0, batch)
            images, masks = self.images.index_select(0, batch), self.masks.index_select(0, batch)
            yield Batch(images, masks, distances, batch_seeds)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float], white: float = 255) -> Tensor:
    """Scale images ``(N, 3, H, W)`` from [0, white] to [0, 1] and standardise each channel, on the images' device."""
    result = images.to(torch.float32, copy=True)
    # A channel at a time, scale and shift are one pass over the pixels; broadcast over channels they would be two.
    for channel, m, s in zip(result.unbind(1), mean, std, strict=True):
        torch.add(torch.tensor(-m / s), channel, alpha=1 / (white * s), out=channel)
    return result


class LesionDataModule(LightningDataModule):
    """A dataset, decoded once, split by (seed, repeat) and served in batches.

    Args:
        dataset: what to read.
        image_size: side of the square that images and masks are resized to, in pixels.
        batch_size: images of a training batch.
        eval_batch_size: images of a validation or test batch; results depend on it by rounding only.
        split: how images are divided: ``random`` (the paper's), ``grouped``, ``official``, ``kfold`` or a file of ids.
        groups: a CSV of (id, group) that says what belongs together, for ``grouped`` and ``kfold``.
        fractions: shares of the three subsets.
        seed: of the study.
        repeat: which of its repeats, from 0; with ``seed`` it decides the split and the training order.
        cache_dir: where decoded datasets are kept.
        mean: of each channel in [0, 1], subtracted.
        std: of each channel in [0, 1], divided by.
        resident: keep the whole dataset in the device's memory.
        augmentation: changes training batches on the device, before they are normalised; ``None`` leaves them.

    Attributes:
        serve_distances: whether batches have the masks' distances, as some losses need them; to be set before a setup.
    """

    def __init__(
        self,
        dataset: LesionDataset,
        *,
        image_size: int,
        batch_size: int,
        eval_batch_size: int,
        fractions: Fractions,
        split: str = "random",
        groups: str | Path | None = None,
        seed: int,
        repeat: int,
        cache_dir: str | Path,
        mean: Sequence[float],
        std: Sequence[float],
        resident: bool = False,
        augmentation: Augmentation | None = None,
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.image_size = image_size
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.fractions = fractions
        self.strategy = split
        self.groups = groups
        self.seed = seed
        self.repeat = repeat
        self.cache_dir = cache_dir
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.resident = resident
        self.augmentation = Augmented(augmentation) if augmentation is not None else None
        self.serve_distances = False
        self._distances: Tensor | None = None
        self.cache: Cache
        self.split: Split

    def prepare_data(self) -> None:
        """Build the cache where it is missing."""
        if not hasattr(self, "cache"):  # its files may have gone since
            open_cache(self.dataset, self.image_size, self.cache_dir)

    def setup(self, stage: str = "") -> None:
        """Open the cache and split it, once."""
        if not hasattr(self, "cache"):
            self.cache = open_cache(self.dataset, self.image_size, self.cache_dir)
            self.split = make_split(
                self.strategy,
                self.dataset,
                self.fractions,
                self.seed,
                self.repeat,
                groups=self.groups,
                cache_dir=self.cache_dir,
            )
            for remark in (self.cache.reading, *data_remarks(self.cache, self.split)):
                self._tell(remark)
            self._images, self._masks = _as_tensor(self.cache.images), _as_tensor(self.cache.masks)
            if self.serve_distances:
                self._distances = _as_tensor(
                    open_distances(self.dataset, self.image_size, self.cache_dir, self.cache.masks)
                )

    def ids(self) -> dict[str, list[str]]:
        """The ids of each subset's images, in the order in which validation and test see them."""
        return {name: [self.cache.ids[i] for i in positions] for name, positions in self.split._asdict().items()}

    def siblings_in_training(self) -> int:
        """How many test images have a sibling (same sequence, near duplicate) among the training images."""
        count = siblings_in_training(self.split, image_groups(self.dataset, self.groups, self.cache_dir))
        published = not isinstance(self.dataset, Folder) and self.dataset.name in DATASETS
        remark = siblings_remark(count, len(self.split.test), self.strategy, published)
        self._tell(remark, f"siblings of data.split={self.strategy}")  # whose number differs among repeats
        return count

    def _tell(self, remark: str | None, about: str | None = None) -> None:
        """Say something about the dataset, once a grid; of several remarks ``about`` one thing, the first."""
        if remark is not None and is_news("dataset", self.dataset.name, about or remark):
            level = logging.INFO if remark == self.cache.reading else logging.WARNING
            log.log(level, "Dataset %s: %s", self.dataset.name, remark)

    def _loader(
        self, positions: NDArray, batch_size: int, shuffle_seed: Callable[[], int] | None = None
    ) -> GatherLoader:
        if self.resident and self.trainer is not None:
            device = self.trainer.strategy.root_device
            self._images, self._masks = self._images.to(device), self._masks.to(device)
            self._distances = None if self._distances is None else self._distances.to(device)
        indices = torch.from_numpy(positions).to(self._images.device)
        if shuffle_seed is None or self.augmentation is None:
            return GatherLoader(self._images, self._masks, indices, batch_size, shuffle_seed, self._distances)
        # Distances do not turn and scale as masks do: a loss that needs them measures those of the changed masks.
        return GatherLoader(self._images, self._masks, indices, batch_size, shuffle_seed, image_seeds=self._image_seeds)

    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer is not None else 0

    def _image_seeds(self, positions: list[int]) -> list[int]:
        return [derive_seed(self.seed, self.repeat, self._epoch(), position) for position in positions]

    def train_dataloader(self) -> GatherLoader:
        """Training batches in an order that depends on (seed, repeat, epoch) alone."""

        def shuffle_seed() -> int:
            return derive_seed(self.seed, self.repeat, self._epoch())

        return self._loader(self.split.train, self.batch_size, shuffle_seed)

    def val_dataloader(self) -> GatherLoader:
        """Validation batches in sorted-id order."""
        return self._loader(self.split.val, self.eval_batch_size)

    def test_dataloader(self) -> GatherLoader:
        """Test batches in sorted-id order."""
        return self._loader(self.split.test, self.eval_batch_size)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """As Lightning would, without its search for tensors in nested collections, which costs 0.1 ms a step."""
        distances = None if batch.distances is None else batch.distances.to(device, non_blocking=True)
        images, masks = (pixels.to(device, non_blocking=True) for pixels in (batch.images, batch.masks))
        return batch._replace(images=images, masks=masks, distances=distances)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment, where the batch has seeds for it, and normalise on the device."""
        masks = batch.masks.view(torch.uint8).float()  # from bool it takes six times as long
        if self.augmentation is not None and batch.seeds is not None:
            batch = self.augmentation(batch._replace(images=batch.images.float().div_(255), masks=masks))
            return batch._replace(images=normalise(batch.images, self.mean, self.std, white=1))
        return batch._replace(images=normalise(batch.images, self.mean, self.std), masks=masks)


def _as_tensor(array: NDArray) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the array is read-only, and so is every use of the tensor
        return torch.from_numpy(array)
