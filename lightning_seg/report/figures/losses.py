"""Pictures of losses: what they are worth and where they pull, against logit, overlap and difficult masks.

All is computed on a scene of 64 x 64 pixels with the losses themselves, so that any other loss can stand beside them.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor, nn

from lightning_seg.catalogue import BASIC_LOSSES, is_compound, loss_label, loss_name
from lightning_seg.report.figures.style import Figure, colours, new, wrapped

SIDE = 64  # pixels of the scene
RADIUS = 12  # pixels of its lesion, which covers 11 % of it
MOST_IN_ONE = 10  # losses of a figure
FAR = 20.0  # above which values are drawn on a logarithmic scale, so that losses in pixels do not flatten the others
SURE = 3.0  # the logit of pixels that are right, or wrong, without doubt: p = 0.95


class Scene(NamedTuple):
    """A mask and a prediction of it, both ``(64, 64)``.

    Attributes:
        name: what is difficult about it, on two lines.
        truth: 0 and 1.
        logits: of the prediction.
    """

    name: str
    truth: Tensor
    logits: Tensor


def gallery(losses: Mapping[str, nn.Module]) -> list[Figure]:
    """The three figures of the losses, which are given by name; more than ten are spread over several of each."""
    with single_thread():
        return _gallery(losses)


def _gallery(losses: Mapping[str, nn.Module]) -> list[Figure]:
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


def disc(radius: float, row: float = SIDE / 2, column: float = SIDE / 2) -> Tensor:
    """Signed distance in pixels, ``(64, 64)``, positive within the disc."""
    rows, columns = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    return (radius - torch.hypot(rows - row, columns - column)).double()


@contextmanager
def single_thread() -> Iterator[None]:
    """Compute with one thread: on scenes this small, more take ten times the processor time to do the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def evaluate(loss: nn.Module, logits: Tensor, truth: Tensor) -> tuple[float, Tensor]:
    """The loss of one image ``(64, 64)`` and its gradient in each logit."""
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits[None, None], truth[None, None])
    (gradient,) = torch.autograd.grad(value, logits)
    return value.item(), gradient


def against_logit(losses: Mapping[str, nn.Module], suffix: str = "") -> Figure:
    """Value and slope while all lesion pixels, or all others, move together and the rest is right.

    Args:
        losses: by name.
        suffix: of the figure's name.
    """
    truth = (disc(RADIUS) > 0).double()
    sure, share = _sigmoid(SURE), truth.mean().item()
    figure = new(
        f"losses_by_logit{suffix}",
        "Losses against the logit",
        "Value (above) and slope (below) of each loss while the logit of all lesion pixels (left) or of all other "
        f"pixels (right) moves together; the rest of the scene is right with a probability of {sure:.2f}. The lesion "
        f"covers {100 * share:.0f} % of the scene. A slope of 0 on the wrong side means that a confident "
        "mistake is never put right.",
        8.4,
        5.6,
    )
    axes = figure.canvas.subplots(2, 2, sharex=True)
    grid = torch.linspace(-8, 8, 65, dtype=torch.float64)
    for column, (moving, others, title) in enumerate(
        ((truth, -SURE, "Lesion pixels"), (1 - truth, SURE, "Background pixels"))
    ):

        def at(loss: nn.Module, x: Tensor, moving: Tensor = moving, others: float = others) -> tuple[float, float]:
            value, gradient = evaluate(loss, torch.where(moving > 0, x, others), truth)
            return value, (gradient * moving).sum().item()

        _draw(figure, axes[:, column], losses, grid.numpy(), lambda loss, at=at: [at(loss, x) for x in grid])  # type: ignore[misc]
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel("logit")
        for axis in axes[:, column]:
            axis.axvline(0, color="0.6", lw=0.6, zorder=0)
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("slope")
    _legend(figure, axes[0, 0])
    return figure


def against_overlap(losses: Mapping[str, nn.Module], suffix: str = "") -> Figure:
    """Value and total pull while a confident prediction of the right size slides off the lesion; see above."""
    sure = _sigmoid(SURE)
    figure = new(
        f"losses_by_overlap{suffix}",
        "Losses against the overlap",
        "Value (left) and total pull (right: the sum over pixels of the slope's size) of each loss while a prediction "
        f"of the lesion's own size, with a probability of {sure:.2f}, slides off it: from right to left the "
        "IoU falls from 1 to 0, and then the two lie apart.",
        8.4,
        3.4,
    )
    axes = figure.canvas.subplots(1, 2)
    start = SIDE / 2 - RADIUS  # so that the prediction stays inside the scene
    truth = (disc(RADIUS, column=start) > 0).double()
    predictions = [disc(RADIUS, column=start + shift) > 0 for shift in np.linspace(0, 2 * RADIUS, 25)]
    overlaps = [((p & (truth > 0)).sum() / (p | (truth > 0)).sum()).item() for p in predictions]

    def along(loss: nn.Module) -> list[tuple[float, float]]:
        found = [evaluate(loss, SURE * (2 * p.double() - 1), truth) for p in predictions]
        return [(value, gradient.abs().sum().item()) for value, gradient in found]

    _draw(figure, axes, losses, np.array(overlaps), along)
    for axis, label in zip(axes, ("loss", "total pull"), strict=True):
        axis.set_xlabel("IoU of prediction and truth")
        axis.set_ylabel(label)
    _legend(figure, axes[0])
    return figure


def scenes() -> list[Scene]:
    """A noisy, a tiny and an empty mask, each with a plausible prediction."""
    generator = torch.Generator().manual_seed(0)
    clean = disc(RADIUS)
    flipped = torch.rand(SIDE, SIDE, generator=generator) < 0.03
    noisy = (clean > 0).logical_xor(flipped).double()
    soft = 0.7 * clean.clamp(-6, 6)
    ghost = (0.5 * disc(6, 44, 44)).clamp(-4, 0.5)  # a faint false lesion
    tiny = disc(2, 20, 20)
    hint = (0.8 * tiny).clamp(-4, 0)
    return [
        Scene("noisy: 3 % of labels\nare wrong", noisy, soft),
        Scene("tiny: lesion of\n12 pixels", (tiny > 0).double(), torch.maximum(hint, ghost)),
        Scene("empty: no lesion\nat all", torch.zeros(SIDE, SIDE, dtype=torch.float64), ghost),
    ]


def on_masks(losses: Mapping[str, nn.Module], suffix: str = "") -> Figure:
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
    rows = scenes()
    axes = figure.canvas.subplots(len(rows), columns, squeeze=False)
    for line, scene in zip(axes, rows, strict=True):
        line[0].imshow(scene.truth.numpy(), cmap="gray", vmin=0, vmax=1)
        line[0].set_xlabel(scene.name, fontsize=7)
        line[1].imshow(torch.sigmoid(scene.logits).numpy(), cmap="gray", vmin=0, vmax=1)
        for axis, loss in zip(line[2:], losses.values(), strict=True):
            value, gradient = evaluate(loss, scene.logits, scene.truth)
            largest = gradient.abs().max().item() or 1.0
            axis.imshow(-gradient.numpy(), cmap="RdBu", vmin=-largest, vmax=largest)
            axis.set_xlabel(f"{value:.3f}\n{gradient.abs().sum().item():.2g}", fontsize=7)
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.spines[:].set_visible(True)
    for axis, title in zip(
        axes[0], ["truth", "prediction", *(wrapped(loss_label(name), 17) for name in losses)], strict=True
    ):
        axis.set_title(title, fontsize=8)
    return figure


def _draw(
    figure: Figure,
    axes: NDArray[np.object_],
    losses: Mapping[str, nn.Module],
    x: NDArray[np.float64],
    compute: Callable[[nn.Module], list[tuple[float, float]]],
) -> None:
    """On two axes, the two quantities that ``compute`` gives for each ``x``, a line for each loss."""
    published = [name for name in losses if name in BASIC_LOSSES or is_compound(name)]
    hue = colours(published) | colours([name for name in losses if name not in published])
    own = itertools.cycle((":", "-.", (0, (5, 1, 1, 1, 1, 1))))
    largest = 0.0
    for name, loss in losses.items():
        style: Any = next(own) if name not in published else "--" if is_compound(name) else "-"
        values = np.array(compute(loss))
        largest = max(largest, np.abs(values).max())
        for axis, column in zip(axes, values.T, strict=True):
            (line,) = axis.plot(x, column, ls=style, color=hue[name], lw=1.4, label=loss_label(name))
            figure.tip(line, loss_name(name))
    if largest > FAR:
        for axis in axes:
            axis.set_yscale("symlog", linthresh=1)
            axis.yaxis.set_major_formatter("{x:g}")


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.canvas.legend(handles, labels, loc="outside right center", fontsize=8)


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
