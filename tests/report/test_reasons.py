"""What single images, curves and costs say, on tables small enough to see through."""

import shutil

import numpy as np
import pandas as pd

from lightning_seg.report.analysis import analyse
from lightning_seg.report.comparison import compare
from lightning_seg.report.figures.reasons import curves
from lightning_seg.report.reasons import compared_images, costs, image_matrices, image_ranking, mean_curves
from lightning_seg.report.records import load_study
from lightning_seg.report.tables import Table, latex
from tests.report.make_study import LOSSES, MODELS, make_study


def test_epochs_are_counted_from_one() -> None:
    keys = {"dataset": "isic", "model": "fcn", "loss": "bce", "repeat": 0}
    records = pd.DataFrame([{**keys, "epoch": epoch, "val_dice": [0.5, 0.6, 0.7][epoch - 1]} for epoch in range(1, 4)])
    table = mean_curves(records)
    assert table.index.tolist() == [1, 2, 3] and table["bce"].tolist() == [0.5, 0.6, 0.7]
    ticks = curves(table).canvas.axes[0].get_xticks()
    assert all(tick == int(tick) for tick in ticks)

    run = {**keys, "status": "finished", "test_dice": 0.7, "seconds_fit": 90, "parameters": 1}
    cost = costs(pd.DataFrame([{**run, "epochs": 3, "best_epoch": 3}]))
    assert cost.loc[("fcn", "bce"), ["minutes", "epochs", "best_epoch"]].tolist() == [1.5, 3, 3]


def test_costs_and_curves_are_of_the_compared_runs(tmp_path) -> None:
    study = make_study(tmp_path / "s", ["isic"], ["fcn"], LOSSES[:3], repeats=3, cases=0)
    (study / "isic" / "fcn" / "dice" / "repeat_2" / "result.json").unlink()  # it is still training
    found = analyse(load_study(study), draws=100)
    pairs = found.comparison.pairs["dice"]
    assert len(pairs) == 2
    for loss, mean in pairs.mean().items():
        np.testing.assert_allclose(found.costs.loc[("fcn", loss), "test_dice"], mean)
        last = 1 - np.exp(-len(found.curves))  # as the made-up curves end
        np.testing.assert_allclose(found.curves[loss].iloc[-1], mean * last, atol=1e-4)


def test_images_go_to_their_losses_whatever_the_first_cell_lacks(tmp_path) -> None:
    """Records come in the order of cells, so that the first loss that is met is not the first of the alphabet."""
    study = make_study(tmp_path / "s", ["isic"], MODELS[:2], LOSSES[:3], repeats=2, cases=0)
    shutil.rmtree(study / "isic" / sorted(MODELS[:2])[0] / sorted(LOSSES[:3])[0])
    found = load_study(study)
    pairs = compare(found).pairs["dice"]
    matrices, unpaired = image_matrices(compared_images(found.images, pairs), list(pairs.columns))
    assert unpaired == 0 and list(matrices) == list(pairs.index)
    for key, matrix in matrices.items():
        np.testing.assert_allclose(matrix.mean(axis=0), pairs.loc[key], atol=1e-5)


def test_no_loss_is_the_best_where_all_agree() -> None:
    dice = {"same": {"bce": 0.1, "dice": 0.1, "iou": 0.1}, "apart": {"bce": 0.1, "dice": 0.4, "iou": 0.2}}
    rows = [
        {"dataset": "isic", "id": name, "loss": loss, "dice": value, "size": 0.1}
        for name, losses in dice.items()
        for loss, value in losses.items()
    ]
    found = image_ranking(pd.DataFrame(rows)).set_index("id")
    assert found.loc["same", ["disagreement", "best", "worst"]].tolist() == [0, "", ""]
    assert found.loc["apart", ["best", "worst"]].tolist() == ["dice", "bce"]


def test_a_small_p_is_no_zero() -> None:
    table = Table(
        "t", "T", "C", pd.DataFrame({"p": [0.00001, 0.0001], "p (all pairs)": [0.00002, 0.04], "Mean": 0.0}), {}
    )
    assert "\\textless{} 0.0001 & \\textless{} 0.0001 & 0.0000 \\\\" in latex(table)
    assert "0.0001 & 0.0400 & 0.0000" in latex(table)
