"""What is kept of predictions: counts at thresholds, masks and sums, and what follows from them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from lightning_seg.arrays import save_arrays
from lightning_seg.errors import UnreadableError
from lightning_seg.metrics import confusion_counts, image_scores
from lightning_seg.predicted import BINS, PUBLISHED, THRESHOLDS, Predicted, best_threshold
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.predictions import Predictions, read, write
from lightning_seg.training.predictions import Collected


def draw(images: int = 5, size: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, some at the edges of thresholds and bins and some that round to 0 and 1, and masks, one of them empty."""
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(images, 1, size, size, generator=generator) > 0.6).float()
    masks[-1] = 0
    logits = 2 * torch.randn(images, 1, size, size, generator=generator) + 2 * masks
    logits[0, 0, 0, :4] = torch.tensor([0.0, 40.0, -200.0, 200.0])
    logits[0, 0, 1, :5] = torch.logit(torch.tensor([0.2, 0.4, 0.6, 0.8, 0.05]))
    return logits, masks


def collect(logits: torch.Tensor, masks: torch.Tensor, batch: int = 2) -> Predicted:
    collected = Collected()
    for part, truth in zip(logits.split(batch), masks.split(batch), strict=True):
        collected.add(part, truth)
    return collected.of([f"image {n}" for n in range(len(logits))])


def test_counts_at_each_threshold_are_those_of_a_direct_count() -> None:
    logits, masks = draw()
    kept = collect(logits, masks)
    probabilities, truth = torch.sigmoid(logits), masks > 0
    for place, threshold in enumerate(THRESHOLDS):
        called = probabilities > threshold
        expected = [(called & truth), (called & ~truth), (~called & truth), (~called & ~truth)]
        assert kept.counts[:, place].T.tolist() == [each.sum((1, 2, 3)).tolist() for each in expected], threshold
    assert np.array_equal(kept.counts[:, PUBLISHED], confusion_counts(logits, masks))
    assert np.allclose(kept.dice[:, PUBLISHED], image_scores(confusion_counts(logits, masks))["dice"])
    assert np.array_equal(kept.masks, (probabilities[:, 0] > 0.5).numpy())


def test_calibration_is_that_of_torchmetrics_whatever_the_batches() -> None:
    logits, masks = draw()
    probabilities = torch.sigmoid(logits)
    for batch in (1, 5):
        kept = collect(logits, masks, batch)
        expected = binary_calibration_error(probabilities.double().flatten(), masks.long().flatten(), n_bins=BINS)
        assert kept.calibration_error == pytest.approx(float(expected), abs=1e-7)
        assert kept.brier == pytest.approx(float(((probabilities - masks) ** 2).mean()), abs=1e-7)


def test_a_constant_added_to_all_logits_changes_dice_at_half_and_not_at_the_best_threshold() -> None:
    generator, shape = torch.Generator().manual_seed(0), (4, 1, 12, 12)
    masks = (torch.rand(shape, generator=generator) > 0.6).float()
    # Levels that stay apart in thresholds when they are shifted.
    levels = torch.logit(torch.tensor([0.025, 0.125, 0.225, 0.325, 0.525, 0.725, 0.925]))
    places = torch.randint(0, 4, shape, generator=generator) + 3 * masks.long()
    dice, best = [], []
    for shift in (0.0, -1.2):
        kept = collect(levels[places] + shift, masks)
        chosen = THRESHOLDS.index(best_threshold(kept))
        dice.append(kept.dice[:, PUBLISHED].mean())
        best.append(kept.dice[:, chosen].mean())
    assert abs(dice[0] - dice[1]) > 0.01
    assert best[0] == pytest.approx(best[1], abs=1e-12) and best[0] > max(dice)


def test_of_equal_thresholds_the_one_nearest_to_half_is_chosen() -> None:
    masks = torch.zeros(1, 1, 4, 4)
    masks[0, 0, :2] = 1
    for inside, outside, expected in ((0.92, 0.08, 0.5), (0.92, 0.62, 0.65), (0.37, 0.02, 0.35)):
        logits = torch.logit(torch.where(masks > 0, inside, outside))
        assert best_threshold(collect(logits, masks)) == expected
    assert best_threshold(collect(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))) == 0.5  # .5 is not above .5


def kept_in(folder: Path) -> RunFolder:
    run = RunFolder(folder)
    val, test = collect(*draw(3, 11)), collect(*draw(4, 11, seed=1))
    write(run, Predictions(val, test))
    return run


def test_what_is_written_is_read(tmp_path: Path) -> None:
    run = kept_in(tmp_path)
    found, expected = read(run), collect(*draw(4, 11, seed=1))
    assert found.test.ids == expected.ids and np.array_equal(found.test.counts, expected.counts)
    assert np.array_equal(found.test.masks, expected.masks) and found.test.masks.shape == (4, 11, 11)
    assert found.val.brier == collect(*draw(3, 11)).brier
    assert read(run, masks=False).test.masks.shape == (0, 11, 11)
    with pytest.raises(FileNotFoundError):
        read(RunFolder(tmp_path / "other"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("thresholds", np.linspace(0, 1, 19)),
        ("val_counts", np.zeros((3, 19, 4), np.int32)),
        ("val_counts", np.zeros((3, 18, 4), np.int32)),
        ("val_ids", np.array(["a"])),
        ("val_shape", np.array([2**40, 2**40])),
        ("val_shape", np.array([11, -11])),
        ("test_probability", np.full((2, BINS + 1), np.nan)),
        ("test_squared_error", np.full((2, BINS + 1), 1e9)),
        ("test_pixels", np.zeros((2, BINS + 1), np.int64)),
        ("test_masks", np.zeros((4, 11, 3), np.uint8)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name: str, value: np.ndarray, tmp_path: Path) -> None:
    run = kept_in(tmp_path)
    arrays = dict(np.load(run.predictions))
    save_arrays(run.predictions, arrays | {name: value})
    with pytest.raises(UnreadableError):
        read(run)


def test_equal_predictions_take_equal_bytes(tmp_path: Path) -> None:
    """So that a run that was killed and resumed leaves the very same file."""
    (tmp_path / "again").mkdir()
    first, second = (kept_in(folder).predictions.read_bytes() for folder in (tmp_path, tmp_path / "again"))
    assert first == second
