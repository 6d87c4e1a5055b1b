"""Training of any network with any loss, optimizer and scheduler."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback
from torch import Tensor, nn
from torch.optim import lr_scheduler

from lightning_seg.catalogue import METRICS
from lightning_seg.losses import BCELoss, BoundaryLoss, DiceLoss, WeightedSum
from lightning_seg.losses.distance import distance_maps
from lightning_seg.metrics import confusion_counts, image_scores
from lightning_seg.models import SegmentationModel
from lightning_seg.training.callbacks import BestWeights
from lightning_seg.training.history import History
from lightning_seg.training.module import SegmentationModule
from tests.tiny_fit import TinyData, fit, make_module


class TwoHeads(SegmentationModel):
    """A network with an auxiliary output."""

    output_weights = (1.0, 0.4)

    def __init__(self) -> None:
        super().__init__()
        self.main, self.auxiliary = nn.Conv2d(3, 1, 1), nn.Conv2d(3, 1, 1)

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.main(images), self.auxiliary(images)


def losses(history: History, name: str) -> list[float]:
    return [row[name] for row in history.rows]


def test_auxiliary_outputs_count_with_their_weights_in_training_alone() -> None:
    module, history = make_module(model=TwoHeads(), lr=0.0), History(None)
    fit([history], epochs=1, module=module)
    main = auxiliary = 0.0
    with torch.no_grad():
        for batch in TinyData().batches:
            main += module.loss(module.model.main(batch.images), batch.masks).item() / 3
            auxiliary += module.loss(module.model.auxiliary(batch.images), batch.masks).item() / 3
    assert losses(history, "train_loss") == [pytest.approx(main + 0.4 * auxiliary, rel=1e-6)]
    assert losses(history, "val_loss") == [pytest.approx(main, rel=1e-6)]


def test_too_few_weights_for_the_outputs_are_an_error() -> None:
    model = TwoHeads()
    model.output_weights = (1.0,)
    with pytest.raises(ValueError, match="argument 2 is longer"):
        fit(epochs=1, module=make_module(model=model))


def test_logged_values_are_means_over_images() -> None:
    module, history = make_module(), History(None)
    trainer = fit([history], epochs=1, module=module)
    with torch.no_grad():
        counts = torch.cat([confusion_counts(module.model(b.images), b.masks) for b in TinyData().batches])
    for name in METRICS:
        assert history.rows[0][f"val_{name}"] == image_scores(counts)[name].mean().item()
    trainer.test(module, datamodule=TinyData(), verbose=False)
    assert torch.equal(module.test_counts, counts) and module.test_counts.dtype == torch.int64


@pytest.mark.parametrize(
    "optimizer",
    [
        torch.optim.AdamW,
        torch.optim.RMSprop,
        torch.optim.NAdam,
        partial(torch.optim.SGD, momentum=0.9, nesterov=True),
        partial(torch.optim.LBFGS, max_iter=2),  # calls the step several times
    ],
)
def test_any_optimizer(optimizer: Callable[..., Any]) -> None:
    history = History(None)
    fit([history], epochs=3, module=make_module(optimizer=optimizer, lr=0.05))
    train = losses(history, "train_loss")
    assert train[-1] < train[0]


@pytest.mark.parametrize(
    ("scheduler", "rates"),
    [
        (None, [0.1, 0.1, 0.1]),
        (partial(lr_scheduler.StepLR, step_size=1, gamma=0.5), [0.1, 0.05, 0.025]),
        (partial(lr_scheduler.CosineAnnealingLR, T_max=2), [0.1, 0.05, 0.0]),
        (partial(lr_scheduler.LambdaLR, lr_lambda=lambda epoch: 1 / (epoch + 1)), [0.1, 0.05, 0.1 / 3]),
        # A mean of 0 in the first epoch is the best; the second is no better, so the third goes slower.
        (partial(lr_scheduler.ReduceLROnPlateau, mode="max", patience=0, threshold=10.0), [0.1, 0.1, 0.01]),
    ],
)
def test_any_scheduler(scheduler: Callable[..., Any] | None, rates: list[float]) -> None:
    """The table's learning rate is the one that the epoch was trained with."""
    history = History(None)
    fit([history], epochs=3, module=make_module(scheduler=scheduler))
    assert losses(history, "learning_rate") == pytest.approx(rates)


def test_a_table_that_cannot_be_written_does_not_stop_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "metrics.csv"
    path.mkdir()

    class Repair(Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 2:
                path.rmdir()

    history = History(path)
    fit([history, Repair()], epochs=3)
    assert [record.levelname for record in caplog.records if "training goes on" in record.message] == ["WARNING"]
    assert len(path.read_text().splitlines()) == 4, "in the end it has all epochs"


def test_best_weights_are_those_of_the_first_best_epoch() -> None:
    module, history, best = make_module(lr=3.0), History(None), BestWeights()
    kept: list[dict[str, Tensor]] = []

    class Keep(BestWeights):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            kept.append({name: value.clone() for name, value in pl_module.model.state_dict().items()})

    fit([history, best, Keep()], epochs=6, module=module)
    dice = losses(history, "val_dice")
    assert best.epoch == dice.index(max(dice)) and best.score == max(dice)
    assert len(set(dice)) > 1 and best.epoch < 5, "otherwise this shows nothing"
    assert all(torch.equal(best.weights[name], kept[best.epoch][name]) for name in best.weights)
    assert not all(torch.equal(best.weights[name], kept[-1][name]) for name in best.weights)


class Scheduled(nn.Module):
    """BCE, whose slope grows with the epoch; notes what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, int]] = []
        self.sum = WeightedSum({"a": BCELoss(), "b": DiceLoss()}, {"a": 1, "b": 1}, schedule={"b": "linear(0, 1)"})

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.told.append((epoch, epochs))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.sum(logits, targets)


def test_losses_are_told_the_epoch_and_resumed_ones_have_the_very_same_weights(tmp_path: Path) -> None:
    class Save(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.current_epoch}.ckpt")

    def module() -> SegmentationModule:
        made = make_module()
        made.loss = Scheduled()
        return made

    whole, history = module(), History(None)
    fit([history, Save()], epochs=4, module=whole)
    assert whole.loss.told == [(epoch, 4) for epoch in range(4)]
    plain = History(None)
    unscheduled = module()
    unscheduled.loss.sum = WeightedSum({"a": BCELoss(), "b": DiceLoss()}, {"a": 1, "b": 1})
    fit([plain], epochs=4, module=unscheduled)
    assert losses(plain, "train_loss")[0] > losses(history, "train_loss")[0], "the schedule should show"
    resumed = module()
    fit(epochs=4, module=resumed, ckpt_path=tmp_path / "1.ckpt")
    assert resumed.loss.told == [(2, 4), (3, 4)]
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


class WithDistances(TinyData):
    """Its distances are ten times as large as they should be."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = [b._replace(distances=10 * distance_maps(b.masks > 0)) for b in self.batches]


def test_distances_of_the_batch_reach_the_loss_in_training_and_validation() -> None:
    found = []
    for data in (TinyData(), WithDistances()):
        module, history = make_module(model=TwoHeads(), lr=0.0), History(None)
        module.loss = WeightedSum({"h": BoundaryLoss(), "d": DiceLoss()}, {"h": 1, "d": 0.0})
        fit([history], epochs=1, module=module, data=data)
        found.append(history.rows[0])
    for name in ("train_loss", "val_loss"):
        assert found[1][name] > 9 * found[0][name] > 0
