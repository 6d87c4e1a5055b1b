"""Pictures of losses: what they are worth and where they pull, against logit, overlap and difficult masks.

All is computed on scenes of 64 x 64 pixels with the losses themselves, so that any other loss can stand beside them.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from lightning_seg.catalogue import BASIC_LOSSES, is_compound, loss_label, loss_name
from lightning_seg.report.figures.style import FAINT, Figure, colours, new, wrapped
from lightning_seg.report.responses import STEPS, Response
from lightning_seg.report.scenes import LOGITS, SURE, difficult, overlap, share, sigmoid, sliding

MOST_IN_ONE = 10  # losses of a figure
FAR = 20.0  # above which values are drawn on a logarithmic scale, so that losses in pixels do not flatten the others


def gallery(losses: Mapping[str, Response]) -> list[Figure]:
    """The three figures of the losses, which are given by name; more than ten are spread over several of each."""
    names = list(losses)
    parts = [names[start : start + MOST_IN_ONE] for start in range(0, len(names), MOST_IN_ONE)]
    figures = []
    for number, part in enumerate(parts, start=1):
        suffix = f"_{number}" if number > 1 else ""
        for draw in (against_logit, against_overlap, on_masks):
            figure = draw({name: losses[name] for name in part}, suffix)
            if len(parts) > 1:
                figure.title += f" ({number} of {len(parts)})"
            figures.append(figure)
    return figures


def against_logit(losses: Mapping[str, Response], suffix: str = "") -> Figure:
    """Value and slope while all lesion pixels, or all others, move together and the rest is right.

    Args:
        losses: by name.
        suffix: of the figure's name.
    """
    figure = new(
        f"losses_by_logit{suffix}",
        "Losses against the logit",
        "Value (above) and slope (below) of each loss while the logit of all lesion pixels (left) or of all other "
        f"pixels (right) moves together; the rest of the scene is right with a probability of {sigmoid(SURE):.2f}. The "
        f"lesion covers {100 * share():.0f} % of the scene. A slope of 0 on the wrong side means that a confident "
        "mistake is never put right.",
        8.4,
        5.6,
    )
    axes = figure.canvas.subplots(2, 2, sharex=True)
    for column, title in enumerate(("Lesion pixels", "Background pixels")):
        values = {name: response.by_logit[column] for name, response in losses.items()}
        _draw(figure, axes[:, column], LOGITS, values)
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel("logit")
        for axis in axes[:, column]:
            axis.axvline(0, color="0.6", lw=0.6, zorder=0)
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("slope")
    _legend(figure, axes[0, 0])
    return figure


def against_overlap(losses: Mapping[str, Response], suffix: str = "") -> Figure:
    """Value and total pull while a confident prediction of the right size slides off the lesion; see above."""
    figure = new(
        f"losses_by_overlap{suffix}",
        "Losses against the overlap",
        "Value (left) and total pull (right: the sum over pixels of the slope's size) of each loss while a prediction "
        f"of the lesion's own size, with a probability of {sigmoid(SURE):.2f}, slides off it: from right to left the "
        "IoU falls from 1 to 0, and then the two lie apart.",
        8.4,
        3.4,
    )
    axes = figure.canvas.subplots(1, 2)
    overlaps = np.array([overlap(scene) for scene in sliding()])
    _draw(figure, axes, overlaps, {name: response.by_overlap for name, response in losses.items()})
    for axis, label in zip(axes, ("loss", "total pull"), strict=True):
        axis.set_xlabel("IoU of prediction and truth")
        axis.set_ylabel(label)
    _legend(figure, axes[0])
    return figure


def on_masks(losses: Mapping[str, Response], suffix: str = "") -> Figure:
    """Where each loss pulls the logits up and down on difficult masks; see above."""
    columns = len(losses) + 2
    figure = new(
        f"losses_on_masks{suffix}",
        "Losses on difficult masks",
        "For a noisy, a tiny and an empty mask: the truth, the predicted probability, and where each loss pulls the "
        "logits up (blue) and down (red), on a scale of its own for each picture. Below it, the loss and its total "
        "pull (the sum over pixels of the slope's size).",
        1.25 * columns,
        5.0,
    )
    rows = difficult()
    titles = ["truth", "prediction", *(wrapped(loss_label(name), 17) for name in losses)]
    figure.canvas.set_layout_engine(None)
    # Pictures of one size stand in one pair of axes, in units of their width: it is drawn in half the time of many.
    axis = figure.canvas.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    across, down = 1.07, 1.42
    for column, title in enumerate(titles):
        axis.text(column * across, -0.06, title, ha="left", va="bottom", fontsize=8, fontweight="bold")
    for number, scene in enumerate(rows):
        _picture(axis, 0, number * down, scene.truth, "gray", (0, 1), scene.name)
        _picture(axis, across, number * down, sigmoid(scene.logits), "gray", (0, 1))
        for column, response in enumerate(losses.values(), start=2):
            value, pull = response.on_masks[number]
            place = column * across, number * down
            _picture(axis, *place, response.pulls[number], "RdBu", (-STEPS, STEPS), f"{value:.3f}\n{pull:.2g}")
    above = 0.4 if max(title.count("\n") for title in titles) else 0.25
    axis.set(xlim=(-0.03, columns * across - 0.04), ylim=(len(rows) * down - 0.06, -above), aspect="equal")
    return figure


def _picture(
    axis: Axes, left: float, top: float, pixels: NDArray[Any], colours: str, ends: tuple[float, float], below: str = ""
) -> None:
    """A square picture of width 1, framed, with words below it."""
    axis.imshow(pixels, colours, vmin=ends[0], vmax=ends[1], extent=(left, left + 1, top + 1, top))
    axis.add_patch(Rectangle((left, top), 1, 1, fill=False, edgecolor=FAINT, linewidth=0.8))
    axis.text(left + 0.5, top + 1.05, below, ha="center", va="top", fontsize=7)


def _draw(
    figure: Figure, axes: Sequence[Axes], x: NDArray[np.float64], losses: Mapping[str, NDArray[np.float32]]
) -> None:
    """On two axes, the two quantities that are given for each ``x``, a line for each loss."""
    published = [name for name in losses if name in BASIC_LOSSES or is_compound(name)]
    hue = colours(published) | colours([name for name in losses if name not in published])
    own = itertools.cycle((":", "-.", (0, (5, 1, 1, 1, 1, 1))))
    for name, values in losses.items():
        style: Any = next(own) if name not in published else "--" if is_compound(name) else "-"
        for axis, column in zip(axes, values.T, strict=True):
            (line,) = axis.plot(x, column, ls=style, color=hue[name], lw=1.4, label=loss_label(name))
            figure.tip(line, loss_name(name))
    if max((np.abs(values).max() for values in losses.values()), default=0) > FAR:
        for axis in axes:
            axis.set_yscale("symlog", linthresh=1)
            axis.yaxis.set_major_formatter("{x:g}")


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.canvas.legend(handles, labels, loc="outside right center", fontsize=8)
