"""The gallery's figures show what the losses compute."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from lightning_seg.config.compose import compose_config, plain
from lightning_seg.config.named import build_loss
from lightning_seg.config.variants import survey
from lightning_seg.losses import BCELoss, DiceLoss, WeightedSum
from lightning_seg.report.figures.losses import against_logit, against_overlap, gallery
from lightning_seg.report.figures.style import save
from lightning_seg.report.responses import evaluate, kept_response, respond
from lightning_seg.report.scenes import RADIUS, SURE, difficult, disc, share, sigmoid

LOSSES = {
    "bce": respond(BCELoss()),
    "dice": respond(DiceLoss()),
    "dice_bce": respond(WeightedSum({"b": BCELoss()}, {"b": 2.0})),
}


def line(axis: Axes, name: str) -> tuple[np.ndarray, np.ndarray]:
    found = next(line for line in axis.lines if line.get_label() == name)
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def test_value_and_slope_against_the_logit_are_the_losses_own() -> None:
    axes = against_logit(LOSSES).canvas.axes  # value of lesion and background, then slope of both
    x, value = line(axes[0], "BCE")
    expected = share() * np.log1p(np.exp(-x)) + (1 - share()) * np.log1p(np.exp(-SURE))
    assert np.allclose(value, expected)
    for column in (0, 1):
        for name in ("BCE", "Dice"):
            x, value = line(axes[column], name)
            slope = line(axes[2 + column], name)[1]
            assert np.allclose(np.gradient(value, x)[1:-1], slope[1:-1], atol=0.01)
            assert np.sign(slope[len(x) // 2]) == (-1, 1)[column]


def test_losses_fall_as_the_overlap_grows() -> None:
    axes = against_overlap(LOSSES).canvas.axes
    for name in ("BCE", "Dice", "DiceBCE"):
        overlap, value = line(axes[0], name)
        assert (overlap[0], overlap[-1]) == (1, 0)
        assert (np.diff(value) > 0).all()


def test_scenes_are_noisy_tiny_and_empty() -> None:
    noisy, tiny, empty = difficult()
    assert 0.02 < ((disc(RADIUS) > 0) != (noisy.truth > 0)).mean() < 0.04
    assert tiny.truth.sum() == 12
    assert empty.truth.sum() == 0
    for scene in (noisy, tiny, empty):
        value, gradient = evaluate(BCELoss(), scene)
        assert gradient.shape == scene.truth.shape
        assert np.allclose(gradient, (sigmoid(scene.logits) - scene.truth) / scene.truth.size)
        assert value > 0


@pytest.mark.parametrize("name", survey())
def test_what_is_kept_of_a_loss_is_what_it_computes(name: str) -> None:
    kept, settings = kept_response(name, None), plain(compose_config([f"loss={name}"]).loss)
    assert kept is not None, "run scripts/measure_losses.py"
    assert kept_response("any", settings) == kept
    for field, now in respond(build_loss(name))._asdict().items():
        assert np.allclose(getattr(kept, field), now, atol=1 if field == "pulls" else 1e-6), field


def test_nothing_is_kept_of_other_settings() -> None:
    focal = plain(compose_config(["loss=focal"]).loss)
    assert kept_response("focal", focal) is not None
    assert kept_response("focal", focal | {"gamma": 3.0}) is None
    assert kept_response("mine", None) is None


@pytest.mark.slow
def test_the_figures_are_saved_with_a_loss_of_ones_own(tmp_path: Path) -> None:
    for figure in gallery(LOSSES | {"mine": respond(torch.nn.BCEWithLogitsLoss())}):
        svg = save(figure, tmp_path)
        assert "mine" in svg and "…" not in svg
        assert (tmp_path / f"{figure.name}.png").stat().st_size > 10_000
