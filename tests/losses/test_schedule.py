"""Weights that change with the epoch."""

import pytest
import torch

from lightning_seg.errors import UserError
from lightning_seg.losses import BCELoss, DiceLoss, WeightedSum
from lightning_seg.losses.schedule import Schedule
from tests.losses.cases import batch, loss_config, named


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("linear(0, 1)", [0, 0.25, 0.5, 0.75, 1]),
        ("linear(1,0.5)", [1, 0.875, 0.75, 0.625, 0.5]),
        ("linear(0, 1, 3)", [0, 0.5, 1, 1, 1]),
        ("linear(0, 1, 1)", [1, 1, 1, 1, 1]),
        ("linear(0, 1, 0.4)", [0, 1, 1, 1, 1]),
        ("until(2)", [1, 1, 0, 0, 0]),
        ("after(2)", [0, 0, 1, 1, 1]),
        ("after(0.4)", [0, 0, 1, 1, 1]),
        (" until ( 9 ) ", [1, 1, 1, 1, 1]),
    ],
)
def test_factors_of_five_epochs(text: str, factors: list[float]) -> None:
    schedule = Schedule.parse(text, "here")
    assert [schedule.factor(epoch, 5) for epoch in range(5)] == pytest.approx(factors)
    assert Schedule.parse(str(schedule), "here") == schedule


def test_a_training_of_one_epoch_has_the_last_factor() -> None:
    assert Schedule.parse("linear(0, 1)", "here").factor(0, 1) == 1


@pytest.mark.parametrize(
    "text",
    ["0.5", "linear(0)", "linear(0, 1, 2, 3)", "linear(0, x)", "linear(-1, 1)", "linear(0, inf)", "after()", "after(0)",
     "until(-3)", "step(3)", "linear(0, 1); import os", "after(nan)"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"Loss mine: schedule\.b .*is no schedule: write linear"):
        WeightedSum({"a": BCELoss(), "b": DiceLoss()}, {"a": 1, "b": 1}, "mine", {"b": text})


def test_the_sum_has_the_weights_of_its_epoch() -> None:
    logits, targets = batch()
    bce, dice = BCELoss()(logits, targets), DiceLoss()(logits, targets)
    terms = {"bce": BCELoss(), "dice": DiceLoss()}
    loss = WeightedSum(terms, {"bce": 2, "dice": 1}, schedule={"bce": "linear(0, 1)", "dice": "until(2)"})
    torch.testing.assert_close(loss(logits, targets), 2 * bce + dice)  # outside a training
    found = []
    for epoch in (0, 1, 2, 0):  # in whatever order, as after a resume
        loss.set_epoch(epoch, 3)
        found.append(loss(logits, targets))
    expected = [dice, bce + dice, 2 * bce, dice]
    torch.testing.assert_close(torch.stack(found), torch.stack(expected))


def test_a_term_is_not_computed_while_its_weight_is_zero() -> None:
    class Refuses(torch.nn.Module):
        def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            raise AssertionError("computed")

    loss = WeightedSum({"a": BCELoss(), "b": Refuses()}, {"a": 1, "b": 1}, schedule={"b": "after(1)"})
    loss.set_epoch(0, 2)
    loss(*batch())


def test_schedules_that_leave_nothing_are_refused_at_once() -> None:
    loss = WeightedSum({"a": BCELoss()}, {"a": 1}, "mine", {"a": "until(3)"})
    loss.set_epoch(0, 3)
    with pytest.raises(UserError, match="Loss mine has no term left in epoch 4 of 5"):
        loss.set_epoch(0, 5)


def test_a_schedule_of_no_term_is_refused() -> None:
    with pytest.raises(UserError, match=r"schedule for 'c', but its terms are \(a\)"):
        WeightedSum({"a": BCELoss()}, {"a": 1}, schedule={"c": "linear(0, 1)"})


def test_dice_boundary_hands_over_by_a_hundredth_an_epoch_as_published() -> None:
    loss = named("dice_boundary")
    assert isinstance(loss, WeightedSum)
    for epoch in (0, 1, 50, 99, 150):
        share = min(epoch, 99) / 100
        assert loss.weights_in(epoch, 200) == pytest.approx({"dice": 1 - share, "boundary": share})


def test_a_schedule_is_one_line_of_yaml_or_of_the_command_line() -> None:
    config = loss_config(
        "+loss=dice_boundary", "loss.schedule={dice: until(5), boundary: after(5)}".replace("(5)", "\\(5\\)")
    )
    assert config.schedule == {"dice": "until(5)", "boundary": "after(5)"}
