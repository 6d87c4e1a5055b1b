"""Batches: which images, in which order, with which values."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from lightning_seg.data import Synthetic
from lightning_seg.data.batch import Batch
from lightning_seg.data.datamodule import GatherLoader, LesionDataModule, normalise
from lightning_seg.data.split import Fractions
from lightning_seg.losses.distance import distance_maps
from tests.conftest import Train
from tests.outcome import outcome

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_data(cache_dir: Path, count: int = 30, **options: Any) -> LesionDataModule:
    settings: dict[str, Any] = {
        "image_size": 16,
        "batch_size": 4,
        "eval_batch_size": 4,
        "fractions": Fractions(0.6, 0.2, 0.2),
        "seed": 42,
        "repeat": 0,
        "cache_dir": cache_dir,
        "mean": MEAN,
        "std": STD,
    }
    serve_distances = options.pop("serve_distances", False)
    data = LesionDataModule(Synthetic(count=count), **(settings | options))
    data.serve_distances = serve_distances
    data.setup()
    return data


def numbers(loader: GatherLoader) -> list[list[int]]:
    """The images of each batch, where image i is filled with i."""
    return [[int(image.flatten()[0]) for image in batch.images] for batch in loader]


def make_loader(count: int, batch_size: int, shuffled: bool = True) -> GatherLoader:
    images = torch.arange(40, dtype=torch.uint8).view(-1, 1, 1, 1).expand(40, 3, 2, 2).contiguous()
    masks = torch.zeros(40, 1, 2, 2, dtype=torch.bool)
    positions = torch.arange(count) * 2
    return GatherLoader(images, masks, positions, batch_size, (lambda: 7) if shuffled else None)


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [
        (12, 4, [4, 4, 4]),
        (14, 4, [4, 4, 4, 2]),
        (13, 4, [4, 4, 5]),  # the last image would be alone
        (5, 4, [5]),
        (1, 4, [1]),  # there is no batch that it could join
        (3, 1, [1, 1, 1]),  # as asked for
        (3, 2, [3]),
    ],
)
def test_training_batches(count: int, batch_size: int, sizes: list[int]) -> None:
    loader = make_loader(count, batch_size)
    batches = numbers(loader)
    assert [len(batch) for batch in batches] == sizes and len(loader) == len(sizes)
    assert sorted(itertools.chain(*batches)) == [2 * i for i in range(count)]


def test_evaluation_batches_keep_their_order_and_a_lone_last_image() -> None:
    loader = make_loader(5, 4, shuffled=False)
    assert numbers(loader) == [[0, 2, 4, 6], [8]] and len(loader) == 2


def test_images_keep_their_masks(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    seen = 0
    for loader, positions in (
        (data.train_dataloader(), data.split.train),
        (data.val_dataloader(), data.split.val),
        (data.test_dataloader(), data.split.test),
    ):
        pairs = {data.cache.images[i].tobytes(): data.cache.masks[i].tobytes() for i in positions}
        for batch in loader:
            assert batch.images.dtype == torch.uint8 and batch.masks.dtype == torch.bool
            for image, mask in zip(batch.images, batch.masks, strict=True):
                assert pairs.pop(image.numpy().tobytes()) == mask.numpy().tobytes()
                seen += 1
    assert seen == 30


def test_normalisation_is_torchvisions() -> None:
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[0, 0, 0, :2] = torch.tensor([0, 255])
    expected = transforms.normalize(transforms.to_dtype(images, torch.float32, scale=True), list(MEAN), list(STD))
    torch.testing.assert_close(normalise(images, MEAN, STD), expected, rtol=1e-6, atol=1e-6)


def test_what_arrives_on_the_device(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    batch = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    assert isinstance(batch, Batch) and batch.images.dtype == batch.masks.dtype == torch.float32
    assert set(batch.masks.unique().tolist()) <= {0.0, 1.0}


def order(data: LesionDataModule, epoch: int) -> Tensor:
    data.trainer = SimpleNamespace(current_epoch=epoch)  # type: ignore[assignment]
    return torch.cat([batch.images for batch in data.train_dataloader()])


def test_order_depends_on_seed_repeat_and_epoch_alone(tmp_path: Path) -> None:
    # The same split for all, so that the order alone can differ.
    everything = {"fractions": Fractions(0.98, 0.01, 0.01), "image_size": 16}
    one = make_data(tmp_path, count=100, **everything)
    first, second = order(one, 0), order(one, 1)
    assert not torch.equal(first, second)

    torch.manual_seed(1)  # whatever else draws random numbers
    same = make_data(tmp_path, count=100, **everything)
    assert torch.equal(order(same, 1), second) and torch.equal(order(same, 0), first)

    def positions(data: LesionDataModule) -> list[int]:
        images = {image.tobytes(): i for i, image in enumerate(data.cache.images)}
        return [images[image.numpy().tobytes()] for image in order(data, 0)]

    ranks = []
    for option in ({}, {"repeat": 1}, {"seed": 43}):
        data = make_data(tmp_path, count=100, **everything, **option)
        place = {position: rank for rank, position in enumerate(data.split.train)}
        ranks.append(tuple(place[position] for position in positions(data)))
    assert len(set(ranks)) == 3


def test_split_is_the_same_for_every_way_of_training_on_it(tmp_path: Path) -> None:
    one = make_data(tmp_path)
    other = make_data(tmp_path, batch_size=7, eval_batch_size=2, image_size=20, mean=(0, 0, 0), std=(1, 1, 1))
    assert one.ids() == other.ids()
    assert {name: len(ids) for name, ids in one.ids().items()} == {"train": 18, "val": 6, "test": 6}
    assert sorted(itertools.chain(*one.ids().values())) == one.cache.ids
    assert make_data(tmp_path, repeat=1).ids() != one.ids() != make_data(tmp_path, seed=1).ids()


@pytest.mark.slow
def test_data_kept_on_the_device_and_batch_sizes_of_evaluation_change_nothing(train: Train) -> None:
    assert train.here("loss=bce", "study=mapped")[0] == 0
    assert train.here("loss=bce", "study=resident", "data.resident=true", "data.eval_batch_size=2")[0] == 0
    mapped, resident = (
        outcome(train.directory / f"multirun/{study}/synthetic/tiny/bce/repeat_0") for study in ("mapped", "resident")
    )
    for epochs in (mapped["epochs"], resident["epochs"]):
        for epoch in epochs:
            epoch.pop("val_loss")  # rounded differently
    for subset in ("val", "test"):  # as are sums of probabilities
        for name in (f"{subset}_probability", f"{subset}_squared_error"):
            one, other = (np.frombuffer(found["predictions"].pop(name)) for found in (mapped, resident))
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    assert mapped == resident


def test_batches_have_the_distances_of_their_own_masks_where_they_are_asked_for(tmp_path: Path) -> None:
    assert all(batch.distances is None for batch in make_data(tmp_path).train_dataloader())
    data = make_data(tmp_path, serve_distances=True)
    for batch in (*data.train_dataloader(), *data.val_dataloader(), *data.test_dataloader()):
        moved = data.transfer_batch_to_device(batch, torch.device("cpu"), 0)
        ready = data.on_after_batch_transfer(moved, 0)
        assert ready.distances is not None and ready.distances.dtype == torch.float16
        torch.testing.assert_close(ready.distances.float(), distance_maps(ready.masks > 0), rtol=5e-4, atol=0)
