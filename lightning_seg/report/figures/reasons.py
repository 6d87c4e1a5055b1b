"""Why: single images, probabilities, training, cost."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator

from lightning_seg.catalogue import loss_label, loss_name, model_name
from lightning_seg.report.figures.style import DARK, FAINT, LIGHT, PAPER, Figure, colours, markers, new, room_for
from lightning_seg.report.reasons import calibration_error, pareto
from lightning_seg.wording import short


def along(table: pd.DataFrame, by: str) -> Figure:
    """Mean Dice of every loss against lesion size or contrast."""
    words = {
        "size": ("Lesion size", "lesion's share of the image (%)"),
        "contrast": ("Contrast", "contrast of lesion and surroundings"),
    }
    title, label = words[by]
    figure = new(
        f"dice_vs_{by}",
        f"{title} and Dice",
        f"Mean Dice of the test images in ten groups of equal number by {title.lower()}; images without a lesion are "
        "left out.",
        7.2,
        3.4,
    )
    axis = figure.canvas.subplots()
    _lines(figure, axis, table.set_axis(table.index * (100 if by == "size" else 1)), label)
    if by == "size":
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
    axis.set_ylabel("mean Dice")
    return figure


def failure_rates(table: pd.DataFrame) -> Figure:
    """Share of images on which a loss fails, and predicts nothing."""
    order = table["failed"].sort_values().index
    figure = new(
        "failures",
        "Failures",
        "Share of test images with a lesion on which Dice is below 0.1 (dark), and on which nothing is predicted "
        "(light).",
        7.2,
        1.0 + 0.3 * len(order),
    )
    axis = figure.canvas.subplots()
    for offset, column, colour, words in (
        (-0.2, "failed", DARK, "Dice < 0.1"),
        (0.2, "empty", LIGHT, "empty prediction"),
    ):
        values = 100 * table.loc[order, column]
        bars = axis.barh(
            np.arange(len(order)) + offset, values, height=0.38, color=colour, edgecolor=DARK, lw=0.8, label=words
        )
        for bar, (loss, value) in zip(bars, values.items(), strict=True):
            figure.tip(bar, f"{loss_name(str(loss))}: {words} on {value:.3f} % of images")
    axis.set_yticks(range(len(order)), [loss_label(str(loss)) for loss in order])
    axis.invert_yaxis()
    axis.set_xlabel("% of images")
    axis.set_xlim(0, max(1.0, axis.get_xlim()[1]))
    axis.grid(axis="y", visible=False)
    figure.canvas.legend(loc="outside lower center", ncols=2)  # bars of any length stay free
    return figure


def reliability(table: pd.DataFrame, over: str) -> Figure:
    """Observed lesion share against predicted probability."""
    errors = calibration_error(table)
    figure = new(
        "calibration",
        "Calibration",
        f"How often a pixel is lesion, against the probability that the network gives it, over {over}; the diagonal "
        "is perfect. In brackets: expected calibration error in %.",
        6.4,
        4.0,
    )
    axis = figure.canvas.subplots()
    axis.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=":")
    wide = {loss: group.set_index("probability")["observed"] for loss, group in table.groupby("loss")}
    _draw_lines(figure, axis, wide, {loss: f"{loss_label(loss)} ({100 * errors[loss]:.1f})" for loss in wide})
    axis.set_xlabel("predicted probability")
    axis.set_ylabel("share of lesion pixels")
    return figure


def curves(table: pd.DataFrame) -> Figure:
    """Validation Dice over training."""
    figure = new(
        "curves",
        "Training curves",
        "Mean validation Dice over the compared runs of a loss; a run that stopped early keeps its last value.",
        7.2,
        3.4,
    )
    axis = figure.canvas.subplots()
    _lines(figure, axis, table, "epoch", every=max(1, len(table) // 8))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel("validation Dice")
    return figure


def cost_and_accuracy(costs: pd.DataFrame) -> Figure:
    """Accuracy against cost, of models and of losses, with the Pareto fronts."""
    figure = new(
        "pareto",
        "Accuracy against cost",
        "Mean test Dice of the compared runs against their minutes of training, of models (left) and losses (right). "
        "The line joins those that no other beats in both; the others are hollow.",
        8.4 + room_for(short(loss_name(str(loss))) for loss in costs.index.unique("loss")),
        max(3.4, 0.8 + 0.2 * max(costs.index.levshape)),
    )
    axes = figure.canvas.subplots(1, 2)
    kinds = (("model", "Models", model_name), ("loss", "Losses", loss_name))
    for axis, (level, title, name) in zip(axes, kinds, strict=True):
        mean = costs.groupby(level=level).mean()
        front = pareto(mean["minutes"], mean["test_dice"])
        axis.plot(mean.loc[front, "minutes"], mean.loc[front, "test_dice"], color=DARK, lw=1.2, zorder=1)
        for label, row in mean.iterrows():
            inside = DARK if label in front else PAPER
            (dot,) = axis.plot(row["minutes"], row["test_dice"], "o", mec=DARK, mfc=inside, ms=6, clip_on=False)
            text = f"{name(str(label))}: Dice {row['test_dice']:.4f}, {row['minutes']:.1f} min, best epoch "
            figure.tip(dot, f"{text}{row['best_epoch']:.0f} of {row['epochs']:.0f}")
        axis.set_xlabel("minutes of training per run")
        axis.set_ylabel("mean test Dice")
        axis.set_title(title)
        axis.margins(x=0.08, y=0.08)
        names = [short(name(str(label))) for label in mean.index]
        _name_beside(axis, list(zip(names, mean["minutes"], mean["test_dice"], strict=True)))
    return figure


def _name_beside(axis: Axes, points: list[tuple[str, float, float]]) -> None:
    """Names (with x and y) in a column at the axis' right, in the order of y, each with a line to its point."""
    low, high = axis.get_ylim()
    ordered = sorted(points, key=lambda point: point[2])
    gap = min(0.075, 1 / max(len(ordered) - 1, 1))
    heights = [(y - low) / (high - low) for _, _, y in ordered]
    for n in range(1, len(heights)):
        heights[n] = max(heights[n], heights[n - 1] + gap)
    top = 1.0
    for n in reversed(range(len(heights))):
        heights[n] = min(heights[n], top)
        top = heights[n] - gap
    for (name, x, y), height in zip(ordered, heights, strict=True):
        axis.annotate(
            *(f"{name} ", (x, y)),
            xytext=(1.06, height),
            textcoords="axes fraction",
            va="center",
            fontsize=7.5,
            arrowprops={"arrowstyle": "-", "color": FAINT, "lw": 0.5, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)},
            zorder=0,
        )


def _lines(figure: Figure, axis: Axes, table: pd.DataFrame, label: str, every: int = 1) -> None:
    _draw_lines(figure, axis, {str(loss): table[loss] for loss in table.columns}, {}, every)
    axis.set_xlabel(label)


def _draw_lines(
    figure: Figure, axis: Axes, lines: dict[str, pd.Series], labels: dict[str, str], every: int = 1
) -> None:
    hue, mark = colours(list(lines)), markers(list(lines))
    for loss, values in lines.items():
        label = labels.get(loss, loss_label(loss))
        (line,) = axis.plot(
            values.index,
            values,
            color=hue[loss],
            marker=mark[loss],
            ms=4,
            lw=1.4,
            label=label,
            markevery=every,
            clip_on=False,
        )
        figure.tip(line, loss_name(loss))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
