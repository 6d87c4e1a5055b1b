"""Augmentation: image and mask move together, and what is drawn depends on (seed, repeat, epoch, image) alone."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_seg.config.compose import compose_config
from lightning_seg.data.augmentation import Augmented, Flips, Standard
from lightning_seg.data.batch import Batch
from lightning_seg.data.datamodule import LesionDataModule
from lightning_seg.errors import UserError
from lightning_seg.training.factory import make_augmentation
from tests.conftest import Train
from tests.data.test_datamodule import make_data
from tests.outcome import outcome

SIDE = 64
ALWAYS = ["augmentation.moved=1.0"]
MOVES_ALONE = [*ALWAYS, "augmentation.recoloured=0.0", "augmentation.degraded=0.0"]


def augmentation(choice: str, *overrides: str) -> Any:
    return make_augmentation(compose_config([f"augmentation={choice}", *overrides]))


def batch_of(masks: Tensor, images: Tensor | None = None, seed: int = 0) -> Batch:
    """Masks as their own images, unless told otherwise."""
    images = masks.expand(-1, 3, -1, -1) if images is None else images
    return Batch(images.clone(), masks.clone(), seeds=torch.arange(len(masks)) + seed)


def checkerboard() -> Tensor:
    rows, columns = torch.arange(SIDE)[:, None] // 8, torch.arange(SIDE) // 8
    return ((rows + columns) % 2).float().expand(16, 1, -1, -1)


def test_a_mask_moves_with_its_image() -> None:
    """Of a checkerboard as image and mask, no pixel differs but where the border of a field runs through it."""
    before = checkerboard()
    after = augmentation("standard", *MOVES_ALONE)(batch_of(before))
    assert set(after.masks.unique().tolist()) == {0.0, 1.0}
    inside = (after.images[:, :1] - 0.5).abs() > 0.499  # in the middle of a field
    assert 0.3 < inside.float().mean() < 1
    assert torch.equal((after.images[:, :1] > 0.5)[inside], after.masks.bool()[inside])
    assert sum(not torch.equal(*pair) for pair in zip(before, after.masks, strict=True)) == len(before)


def test_a_mask_is_taken_from_the_very_place_that_its_image_is_taken_from() -> None:
    """Images that tell their own coordinates, and masks of noise: each pixel of a mask is the nearest one there."""
    count = 8
    rows, columns = torch.meshgrid(torch.arange(SIDE) / SIDE, torch.arange(SIDE) / SIDE, indexing="ij")
    images = torch.stack([rows, columns, rows]).expand(count, -1, -1, -1)
    masks = (torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    after = augmentation("standard", *MOVES_ALONE)(batch_of(masks, images))
    places = after.images[:, :2] * SIDE
    inside = ((places > 1) & (places < SIDE - 2) & ((places % 1 - 0.5).abs() > 1e-3)).all(1)
    row, column = (places[:, axis].round().long()[inside] for axis in (0, 1))
    image = torch.arange(count)[:, None, None].expand_as(inside)[inside]
    assert inside.float().mean() > 0.5 and torch.equal(after.masks[:, 0][inside], masks[image, 0, row, column])


def test_flips_move_pixels_and_change_none() -> None:
    images = torch.rand(200, 3, 8, 8)
    masks = (images.mean(1, keepdim=True) > 0.5).float()
    after = Flips()(batch_of(masks, images))
    assert torch.equal(after.images.flatten(2).sort().values, images.flatten(2).sort().values)
    assert torch.equal((after.images.mean(1, keepdim=True) > 0.5).float(), after.masks)
    views = {
        (tuple(a.rot90(k, (-2, -1)).flatten().tolist())) for a in (images[:1], images[:1].flip(-1)) for k in range(4)
    }
    one = Flips()(batch_of(masks[:1].expand(200, -1, -1, -1), images[:1].expand(200, -1, -1, -1)))
    counts = [sum(tuple(each.flatten().tolist()) == view for each in one.images) for view in views]
    assert len(views) == 8 and sum(counts) == 200 and min(counts) > 10


def test_draws_belong_to_the_image_whatever_else_is_in_the_batch() -> None:
    masks = (torch.rand(6, 1, SIDE, SIDE) > 0.5).float()
    images, all_on = torch.rand(6, 3, SIDE, SIDE), augmentation("standard", *ALWAYS, "augmentation.degraded=1.0")
    whole = all_on(batch_of(masks, images))
    part = all_on(Batch(images[2:4], masks[2:4], seeds=torch.tensor([2, 3])))
    torch.testing.assert_close(part.images, whole.images[2:4], rtol=0, atol=1e-6)
    assert torch.equal(part.masks, whole.masks[2:4])
    assert whole.images.min() >= 0 and whole.images.max() <= 1
    # A factor that is switched off leaves the draws of the others.
    quiet = augmentation("standard", *ALWAYS, "augmentation.degraded=0.0")(batch_of(masks, images))
    assert torch.equal(quiet.masks, whole.masks) and not torch.equal(quiet.images, whole.images)


@pytest.mark.parametrize(
    ("overrides", "least"),
    [
        ({"recoloured": 1.0, "contrast": [1, 1], "gamma": [1, 1]}, "brightness"),
        ({"recoloured": 1.0, "brightness": 0.0, "gamma": [1, 1]}, "contrast"),
        ({"recoloured": 1.0, "brightness": 0.0, "contrast": [1, 1]}, "gamma"),
        ({"degraded": 1.0, "noise": 0.0}, "blur"),
        ({"degraded": 1.0, "blur": 0.0}, "noise"),
    ],
)
def test_each_change_does_what_it_is_called(overrides: dict[str, Any], least: str) -> None:
    off = {"moved": 0.0, "recoloured": 0.0, "degraded": 0.0}
    node = dict(compose_config(["augmentation=standard"]).augmentation)
    node.pop("_target_")
    made = Standard(**{**node, **off, **overrides})
    images = 0.3 + 0.4 * torch.rand(32, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    unmoved = Flips()(batch_of(torch.zeros(32, 1, SIDE, SIDE), images)).images
    after = made(batch_of(torch.zeros(32, 1, SIDE, SIDE), images)).images
    mean, spread = (after - unmoved).mean((1, 2, 3)), after.std((1, 2, 3)) / unmoved.std((1, 2, 3))
    if least == "brightness":
        assert mean.abs().max() <= 0.15 and mean.std() > 0.05 and torch.allclose(spread, torch.ones(32), atol=1e-4)
    elif least == "contrast":
        assert mean.abs().max() < 1e-5 and 0.74 < spread.min() < 0.9 and 1.1 < spread.max() < 1.34
    elif least == "gamma":
        assert mean.max() > 0.05 and mean.min() < -0.05 and after.amax((1, 2, 3)).max() < 1
    elif least == "blur":
        assert mean.abs().max() < 0.01 and spread.max() <= 1.0001 and spread.min() < 0.5
    else:
        noise = (after - unmoved).std((1, 2, 3))
        assert mean.abs().max() < 0.002 and 0 <= noise.min() < 0.01 and 0.035 < noise.max() <= 0.051


def batches(data: LesionDataModule, epoch: int) -> list[Batch]:
    data.trainer = SimpleNamespace(current_epoch=epoch)  # type: ignore[assignment]
    return [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]


def test_training_alone_is_augmented_and_by_seed_repeat_epoch_and_image(tmp_path: Path) -> None:
    plain = make_data(tmp_path)
    data = make_data(tmp_path, augmentation=Flips(), serve_distances=True)
    first = torch.cat([batch.images for batch in batches(data, 3)])
    torch.rand(7)  # what else is drawn in the process does not matter
    assert torch.equal(first, torch.cat([batch.images for batch in batches(data, 3)]))
    assert not torch.equal(first, torch.cat([batch.images for batch in batches(plain, 3)]))
    torch.testing.assert_close(first.mean((2, 3)), torch.cat([b.images for b in batches(plain, 3)]).mean((2, 3)))
    assert all(batch.distances is None for batch in batches(data, 3))  # a loss measures them on the turned masks

    def turns(data: LesionDataModule, epoch: int) -> dict[int, int]:
        data.trainer = SimpleNamespace(current_epoch=epoch)  # type: ignore[assignment]
        positions, seeds = data.split.train.tolist(), data._image_seeds(data.split.train.tolist())
        return dict(zip(positions, seeds, strict=True))

    known = turns(data, 3)
    assert len(set(known.values())) == len(known) and turns(data, 4) != known
    other = turns(make_data(tmp_path, augmentation=Flips(), repeat=1), 3)
    assert all(other[position] != known[position] for position in other.keys() & known.keys())
    for mine, theirs in zip(data.val_dataloader(), plain.val_dataloader(), strict=True):
        assert mine.seeds is None and mine.distances is not None
        assert torch.equal(
            data.on_after_batch_transfer(mine, 0).images, plain.on_after_batch_transfer(theirs, 0).images
        )


def test_global_random_numbers_are_seeded_for_it_and_put_back() -> None:
    def drawn(batch: Batch) -> Batch:
        value = torch.rand(1) + np.random.rand() + random.random()
        return batch._replace(images=batch.images * 0 + value)

    made, batch = Augmented(drawn), batch_of(checkerboard())
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index, union-attr]
    first = made(batch).images
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[2]
    assert np.random.get_state()[1].tolist() == states[1]  # type: ignore[index, union-attr]
    torch.rand(3), np.random.rand(), random.random()
    assert torch.equal(made(batch).images, first)
    assert not torch.equal(made(batch._replace(seeds=batch.seeds + 1)).images, first)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda batch: (batch.images, batch.masks), "must return the batch"),
        (lambda batch: batch._replace(images=batch.images[..., :9]), "masks of shape"),
        (lambda batch: batch._replace(masks=batch.masks * 0.5), "more than 0 and 1"),
        (lambda batch: batch._replace(images=batch.images / 0), "not finite"),
        (lambda batch: batch._replace(masks=batch.masks.bool()), "floating-point"),
    ],
)
def test_an_augmentation_that_returns_something_else_is_one_sentence(wrong: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Augmented(wrong)(batch_of(checkerboard()))


def test_what_is_no_augmentation_is_one_sentence() -> None:
    with pytest.raises(UserError, match="must be callable"):
        Augmented(3)  # type: ignore[arg-type]
    for override in ("scale=[1.2,0.8]", "noise=-1", "moved=1.5"):
        with pytest.raises(UserError, match=override.split("=")[0]):
            augmentation("standard", f"augmentation.{override}")


@pytest.mark.slow
def test_killed_and_resumed_with_the_same_draws(train: Train) -> None:
    """Every epoch is one process: what is drawn depends on nothing that was drawn before."""
    command = ("loss=deadly", "checkpoint.every_minutes=0", "trainer.max_epochs=3", "augmentation=standard")
    command = (*command, "augmentation.degraded=0.5", "keep_weights=true")
    train(*command, "study=whole")
    for _ in range(2):
        train(*command, "study=killed", code=-9, environment={"DIE_AT_STEP": "3"})
    train(*command, "study=killed")
    run = "synthetic/tiny/deadly/repeat_0"
    whole = outcome(train.directory / "multirun/whole" / run)
    assert outcome(train.directory / "multirun/killed" / run) == whole
    train("loss=deadly", "trainer.max_epochs=3", "study=plain")
    assert outcome(train.directory / "multirun/plain" / run)["epochs"] != whole["epochs"]


@pytest.mark.slow
def test_a_distance_loss_measures_the_moved_mask(train: Train) -> None:
    code, _, err = train.here("loss=dice_boundary", "augmentation=standard", "trainer.max_epochs=1")
    assert code == 0, err
