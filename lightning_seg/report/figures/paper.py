"""The paper's figures, from any study."""

from collections.abc import Callable, Collection, Sequence
from math import ceil

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from lightning_seg.catalogue import (
    METRICS,
    dataset_label,
    dataset_name,
    is_compound,
    loss_label,
    loss_name,
    metric_name,
    model_name,
    short,
)
from lightning_seg.report.cases import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, Case, error_map, outlines
from lightning_seg.report.figures.style import DARK, FAINT, INK, MARK, PAPER, Figure, ink_on, new, room_for, wrapped
from lightning_seg.report.ranking import Ranking, metric_places


def examples(cases: Sequence[Case], counts: dict[str, int]) -> Figure:
    """Fig. 1: an example image with its mask, and the number of images of each dataset.

    Args:
        counts: dataset -> number of its images.
    """
    first = {case.dataset: case for case in reversed(cases)}
    names = sorted(first)
    figure = new(
        "fig1_examples",
        "Example images",
        "One test image of each dataset with its mask, and the dataset's number of images. "
        + "; ".join(f"{dataset_name(name)}: {first[name].id}" for name in names)
        + ".",
        1.35 * max(len(names), 3),
        3.1,
    )
    axes = figure.canvas.subplots(2, max(len(names), 1), squeeze=False)
    for column, name in enumerate(names):
        case = first[name]
        axes[0][column].imshow(np.moveaxis(case.image, 0, -1))
        axes[1][column].imshow(case.mask > 0, cmap="gray", vmin=0, vmax=1)
        axes[0][column].set_title(f"{wrapped(dataset_label(name), 17)}\n{counts.get(name, '?')} images", fontsize=8)
    for axis in axes.ravel():
        axis.set_axis_off()
    return figure


def overall_points(
    means: pd.DataFrame, derived: Collection[tuple[str, str]] = (), intervals: pd.DataFrame | None = None, of: str = ""
) -> Figure:
    """Fig. 2A: overall means of each metric, with values; compound losses filled, single ones hollow.

    Args:
        derived: (metric, loss) of the means that follow from other tables; they are diamonds.
        intervals: ``shown_low`` and ``shown_high`` of losses, see :meth:`lightning_seg.report.draws.Draws.intervals`.
        of: the metric that the intervals are of.
    """
    rows = ceil(len(means) / 2)
    noted = " A diamond is derived from the other tables." if derived else ""
    if intervals is not None and of in means.index:
        noted += (
            f" Lines at {metric_name(of)}: 95 % interval of each loss's distance to the mean of all compared losses."
        )
    figure = new(
        "fig2a_overall",
        "Overall means",
        "Mean over all blocks (dataset x model), each of which weighs the same. Compound losses are filled, single "
        "losses hollow; in brackets, the first three of each metric, where all means are known. "
        f"Axes show the range of the means, not zero.{noted}",
        8.4 + 2 * room_for(map(loss_label, means.columns)),
        rows * (0.9 + 0.2 * means.shape[1]) + 0.3,
    )
    places = metric_places(means)
    axes = figure.canvas.subplots(rows, 2, squeeze=False).ravel()
    for axis in axes[len(means) :]:
        axis.set_axis_off()
    for axis, metric in zip(axes, [*METRICS, *means.index.difference(METRICS, sort=False)], strict=False):
        values = means.loc[metric].dropna().sort_values(ascending=False)
        for y, (loss, value) in enumerate(values.items()):
            if intervals is not None and metric == of and loss in intervals.index:
                axis.plot(intervals.loc[loss, ["shown_low", "shown_high"]], [y, y], color=DARK, lw=1.4, zorder=1)
            marker = "D" if (metric, loss) in derived else "o"
            inside = DARK if is_compound(str(loss)) else PAPER
            (dot,) = axis.plot([value], [y], marker, ms=6, mec=DARK, mfc=inside, clip_on=False, zorder=2)
            figure.tip(dot, f"{loss_name(str(loss))}: {metric_name(metric)} {value:.5f}")
            first = metric in places.index and places.at[metric, loss] <= 3
            text = f"{value:.4f} ({places.at[metric, loss]})" if first else f"{value:.4f}      "
            axis.annotate(
                *(text, (1.02, y)),
                xycoords=axis.get_yaxis_transform(),
                va="center",
                fontsize=8,
                color=MARK if first else INK,
                fontweight="bold" if first else "normal",
            )
        axis.set_yticks(range(len(values)), [loss_label(str(name)) for name in values.index])
        axis.set_ylim(max(len(values), 1) - 0.5, -0.5)
        axis.margins(x=0.08)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.set_title(metric_name(metric))
        axis.grid(axis="y", visible=False)
    kinds = (("compound loss", DARK), ("single loss", PAPER))
    handles = [Line2D([], [], ls="", marker="o", mec=DARK, mfc=inside, label=name) for name, inside in kinds]
    figure.canvas.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def ranking_table(ranking: Ranking, name: str, title: str, row_name: Callable[[str], str]) -> Figure:
    """Fig. 2B or 2C: mean Dice, the first three of each row shaded, the 3/2/1 score below, columns sorted by it."""
    losses = ranking.order
    rows = list(ranking.means.index)
    headings, labels = [loss_label(loss) for loss in losses], [short(row_name(str(row))) for row in rows]
    figure = new(
        name,
        title,
        f"Mean {ranking.title}. The first three of each row are shaded; they give 3, 2 and 1 points, whose sum is the "
        "ranking score. Ranks come from unrounded values.",
        1.2 + 0.68 * len(losses) + room_for(labels) + 0.8 * room_for(headings),
        0.9 + 0.27 * len(rows) + 0.6 * room_for(headings),
    )
    axis = figure.canvas.subplots()
    axis.set_xlim(-0.5, len(losses) - 0.5)
    axis.set_ylim(len(rows) + 0.6, -0.5)
    shades = {1: DARK, 2: "#7f91b5", 3: "#c9d3e6"}
    for y, row in enumerate(rows):
        values = ranking.means.loc[row, losses]
        places = ranking.places.loc[row, losses]
        for x, loss in enumerate(losses):
            place = int(places[loss])
            if place <= 3:
                box = axis.add_patch(Rectangle((x - 0.48, y - 0.45), 0.96, 0.9, color=shades[place], lw=0))
                figure.tip(box, f"{row_name(str(row))}, {loss_name(loss)}: {values[loss]:.6f}, place {place}")
            ink = ink_on(shades[place]) if place in shades else INK
            axis.text(x, y, f"{values[loss]:.4f}", ha="center", va="center", fontsize=8, color=ink)
    for x, loss in enumerate(losses):
        axis.text(x, len(rows) + 0.1, f"{ranking.score[loss]:.3g}", ha="center", va="center", fontweight="bold")
    axis.set_xticks(range(len(losses)), headings, rotation=35, ha="left")
    axis.xaxis.tick_top()
    axis.set_yticks([*range(len(rows)), len(rows) + 0.1], [*labels, "Ranking score"])
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.axhline(len(rows) - 0.45, color=FAINT, lw=0.8)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return figure


def by_dataset_table(ranking: Ranking) -> Figure:
    """Fig. 2B."""
    return ranking_table(ranking, "fig2b_dataset_by_loss", "Datasets x losses", dataset_name)


def by_model_table(ranking: Ranking) -> Figure:
    """Fig. 2C."""
    return ranking_table(ranking, "fig2c_model_by_loss", "Models x losses", model_name)


def case_grid(cases: Sequence[Case], losses: Sequence[str], threshold: str) -> Figure:
    """Fig. 3: cases x losses, error pixels coloured by kind.

    Args:
        threshold: "sigmoid" (sigmoid > 0.5) or "mean" (logit > the image's mean logit).
    """
    letter, words = ("a", "sigmoid > 0.5") if threshold == "sigmoid" else ("b", "logit > the image's mean logit")
    figure = _grid(
        *(f"fig3{letter}_cases_{threshold}", f"Cases, {words}"),
        f"Predictions by {words}: hits grey, false positives orange, false negatives blue. For each dataset, the most "
        f"disputed of the example images that runs keep; below each, its Dice. {_named(_one_each(cases))}",
        _one_each(cases),
        losses,
        threshold,
        lambda case, prediction: error_map(prediction, case.mask),
    )
    kinds = (("hit", TRUE_POSITIVE), ("false positive", FALSE_POSITIVE), ("false negative", FALSE_NEGATIVE))
    handles = [Rectangle((0, 0), 1, 1, color=np.array(colour) / 255, label=name) for name, colour in kinds]
    figure.canvas.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7)
    return figure


def boundaries(cases: Sequence[Case], losses: Sequence[str]) -> Figure:
    """Outlines on the most disputed and the worst of the example images, two of each."""
    disputed = sorted(cases, key=lambda case: -case.disagreement)[:2]
    worst = sorted(cases, key=lambda case: np.mean(list(case.dice().values())))
    shown = [*disputed, *[case for case in worst if case not in disputed][:2]]
    return _grid(
        *("boundaries", "Boundaries"),
        "Outlines of the mask (white) and of the prediction at sigmoid > 0.5 (orange), on the two example images on "
        f"which losses disagree most, and the two with the lowest Dice of the others. {_named(shown)}",
        shown,
        losses,
        "sigmoid",
        _outlined,
    )


def _outlined(case: Case, prediction: np.ndarray) -> np.ndarray:
    lines = outlines(prediction, case.mask)
    return np.where(lines[..., 3:] > 0, lines[..., :3], np.moveaxis(case.image, 0, -1))


def _grid(
    name: str,
    title: str,
    caption: str,
    cases: Sequence[Case],
    losses: Sequence[str],
    threshold: str,
    paint: Callable[[Case, np.ndarray], np.ndarray],
) -> Figure:
    """Rows are cases; columns are the image, its mask and what ``paint`` makes of every loss's prediction."""
    titles = ["Image", "Mask", *(wrapped(loss_label(loss), 12) for loss in losses)]
    height = 0.86 * max(len(cases), 1) + 0.6 + 0.12 * max(text.count("\n") + 1 for text in titles)
    figure = new(name, title, caption, 0.78 * (len(losses) + 2) + 0.6, height)
    axes = figure.canvas.subplots(max(len(cases), 1), len(losses) + 2, squeeze=False)
    for row, case in enumerate(cases):
        predictions, scores = case.predictions(threshold), case.dice(threshold)
        axes[row][0].imshow(np.moveaxis(case.image, 0, -1))
        axes[row][1].imshow(case.mask > 0, cmap="gray", vmin=0, vmax=1)
        axes[row][0].set_ylabel(wrapped(dataset_label(case.dataset), 14), fontsize=6.5)
        for column, loss in enumerate(losses, start=2):
            if loss in predictions:
                axes[row][column].imshow(paint(case, predictions[loss]), interpolation="nearest")
                axes[row][column].set_xlabel(f"{scores[loss]:.3f}", fontsize=7, labelpad=1)
    for axis, heading in zip(axes[0], titles, strict=True):
        axis.set_title(heading, fontsize=7, fontweight="normal", loc="center")
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(visible=False)
        for spine in axis.spines.values():
            spine.set_visible(False)
    return figure


def _named(cases: Sequence[Case]) -> str:
    """Which images these are, by which network and in which repeat."""
    rows = [f"{dataset_name(c.dataset)}, image {c.id}, {model_name(c.model)}, repeat {c.repeat}" for c in cases]
    return f"From above: {'; '.join(rows)}."


def _one_each(cases: Sequence[Case]) -> list[Case]:
    """Of every dataset, the case on which losses disagree most."""
    chosen: dict[str, Case] = {}
    for case in sorted(cases, key=lambda case: case.disagreement):
        chosen[case.dataset] = case
    return [chosen[name] for name in sorted(chosen)]
