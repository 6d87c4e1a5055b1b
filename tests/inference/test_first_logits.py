"""How networks start: figures worked out by hand, and one measured as training would begin."""

import math
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from torch import nn
from typer.testing import CliRunner

from lightning_seg.catalogue import BASIC_LOSSES
from lightning_seg.cli.app import app
from lightning_seg.config.build import build_nameless
from lightning_seg.config.compose import compose_config
from lightning_seg.errors import UserError
from lightning_seg.losses import BCELoss, DiceLoss
from lightning_seg.models import hub
from lightning_seg.parts.first_logits import Start, as_markdown, measure_start, summarise
from lightning_seg.seed import derive_seed
from lightning_seg.training.factory import make_data

SMALL = ("data.image_size=32", "data.batch_size=4", "dataset.count=24")


def small(directory: Path, *more: str) -> list[str]:
    return [*SMALL, f"data_dir={directory}", *more]


def test_figures_are_those_worked_out_by_hand() -> None:
    """Four pixels, two of them lesion; one of these and one of the others is predicted wrongly, by logits of 2."""
    logits, masks = torch.tensor([2.0, -2.0, 2.0, -2.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    shape = (1, 1, 2, 2)
    start = summarise("x", "none", [logits.view(shape)], [masks.view(shape)], {"bce": nn.BCEWithLogitsLoss()})
    assert (start.lesion, start.truly) == (0.5, 0.5) and start.sigmoids == pytest.approx((0.5,))
    assert start.pulls["bce"] == pytest.approx((1 / (1 + math.exp(-2))) / 0.5)


def test_overlap_losses_hardly_correct_a_saturated_start() -> None:
    masks = torch.zeros(1, 1, 8, 8)
    masks[..., 2:5, 2:5] = 1
    losses = {"dice": DiceLoss(), "bce": BCELoss()}
    start = summarise("x", "none", [torch.full_like(masks, -12.0)], [masks], losses)
    assert start.lesion == 0
    assert start.pulls["dice"] < 0.01 < 1.9 < start.pulls["bce"] < 2.1


def test_each_repeat_starts_as_its_run_does(tmp_path: Path) -> None:
    start = measure_start("unet", small(tmp_path, "model.width=4"))
    cfg = compose_config(["model=unet", *small(tmp_path, "model.width=4"), "repeat=3"])
    data = make_data(cfg)
    torch.manual_seed(derive_seed(cfg.seed, 3))
    network = build_nameless(cfg.model, "model").train()
    data.setup()
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    with torch.no_grad():
        (logits,) = network(batch.images)
    assert start.sigmoids[3] == pytest.approx(logits.sigmoid().mean().item())
    assert len(set(start.sigmoids)) == 5
    assert start.pulls.keys() == BASIC_LOSSES.keys()


def test_without_the_hub_the_encoder_starts_at_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub._ask.cache_clear()
    assert measure_start("esfpnet", small(tmp_path, "model.variant=b0")).encoder == "random"


def test_weak_pulls_are_marked_in_the_table() -> None:
    pulls = {"iou": 0.004, "dice": 0.5, "bce": 1.9, "focal": float("nan")}
    table = as_markdown([Start("unet", "none", 0.25, 0.1, (0.2, 0.4), pulls)])
    assert "| `unet` | none | 25% | 10% | 0.30 | 0.20-0.40 | 0.00* | 0.50 | 1.90 | nan |" in table
    widths = {line.count("|") for line in table.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_the_command(tmp_path: Path) -> None:
    runner = CliRunner()
    arguments = ["models", "unet", "--start", "--markdown", *small(tmp_path, "model.width=4")]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0 and "| `unet` | none |" in result.stdout
    refused = runner.invoke(app, ["models", "unet", "dataset=wound"])
    assert isinstance(refused.exception, UserError) and "settings are for --start" in str(refused.exception)
