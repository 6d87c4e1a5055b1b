"""What single images, curves and costs say, on tables small enough to see through."""

import pandas as pd

from lightning_seg.report.figures.reasons import curves
from lightning_seg.report.reasons import costs, image_ranking, mean_curves
from lightning_seg.report.tables import Table, latex


def test_epochs_are_counted_from_one() -> None:
    keys = {"dataset": "isic", "model": "fcn", "loss": "bce", "repeat": 0}
    records = pd.DataFrame([{**keys, "epoch": epoch, "val_dice": 0.5 + epoch / 10} for epoch in range(3)])
    table = mean_curves(records)
    assert table.index.tolist() == [1, 2, 3] and table["bce"].tolist() == [0.5, 0.6, 0.7]
    ticks = curves(table).canvas.axes[0].get_xticks()
    assert all(tick == int(tick) for tick in ticks)

    run = {**keys, "status": "finished", "test_dice": 0.7, "seconds_fit": 90, "parameters": 1}
    cost = costs(pd.DataFrame([{**run, "epochs": 3, "best_epoch": 2}]), ["bce"])
    assert cost.loc[("fcn", "bce"), ["minutes", "epochs", "best_epoch"]].tolist() == [1.5, 3, 3]


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
    table = Table("t", "T", "C", pd.DataFrame({"p": [0.00001, 0.0001], "p (Holm)": [0.00002, 0.04], "Mean": 0.0}), {})
    assert "\\textless{} 0.0001 & \\textless{} 0.0001 & 0.0000 \\\\" in latex(table)
    assert "0.0001 & 0.0400 & 0.0000" in latex(table)
