"""How sure: intervals, critical differences, pairs, rank stability, shares of variance."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from lightning_seg.catalogue import loss_label, loss_name
from lightning_seg.report.contrasts import ALPHA
from lightning_seg.report.draws import Draws
from lightning_seg.report.figures.style import BAD, DARK, FAINT, GOOD, INK, LIGHT, Figure, ink_on, new, room_for
from lightning_seg.report.statistics import Omnibus, critical_difference
from lightning_seg.report.verdict import Verdict

FEW_UNITS = 10  # Demsar (JMLR 7, 2006, section 3.2.2) trusts the tests of ranks above this


def intervals(drawn: Draws, verdict: Verdict) -> Figure:
    """Mean of every loss with the 95 % interval of its difference to the mean of all losses."""
    table = drawn.intervals().loc[verdict.losses]
    centre = float(table["mean"].mean())
    figure = new(
        "intervals",
        "Means and 95 % intervals",
        f"Mean {verdict.yardstick.title} with the 95 % interval of each loss's distance to the mean of all compared "
        "losses (vertical line): what losses share, the difficulty of a dataset, model or split, is no part of it. "
        "Green dots: cannot be told apart from the best; red squares: worse.",
        7.2,
        1.1 + 0.3 * len(table),
    )
    axis = figure.canvas.subplots()
    axis.axvline(centre, color=FAINT, lw=1, zorder=1)
    for y, (loss, row) in enumerate(table.iterrows()):
        colour = BAD if loss in verdict.worse else GOOD
        low, high = row["shown_low"], row["shown_high"]
        (line,) = axis.plot([low, high], [y, y], color=colour, lw=2.4, solid_capstyle="round")
        (dot,) = axis.plot([row["mean"]], [y], "s" if loss in verdict.worse else "o", color=colour, ms=6)
        for artist in (line, dot):
            figure.tip(artist, f"{loss_name(str(loss))}: {row['mean']:.5f} [{low:.5f}, {high:.5f}]")
    axis.set_yticks(range(len(table)), [loss_label(str(loss)) for loss in table.index])
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.set_xlabel(f"mean {verdict.yardstick.title}")
    kinds = [("not told apart from the best", GOOD, "o"), *([("worse", BAD, "s")] if verdict.worse else [])]
    handles = [Line2D([], [], color=colour, marker=sign, label=name) for name, colour, sign in kinds]
    figure.canvas.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8)
    axis.grid(axis="y", visible=False)
    return figure


def critical_differences(overall: Omnibus, name: str = "critical_difference") -> Figure:
    """Nemenyi's diagram: mean ranks, with bars over losses whose ranks are closer than the critical difference."""
    ranks = overall.mean_ranks.sort_values()
    distance = critical_difference(overall.units, overall.losses)
    half = (len(ranks) + 1) // 2
    cliques = _cliques(ranks.to_numpy(), distance)
    few = overall.units < FEW_UNITS
    warning = (
        f" With fewer than {FEW_UNITS} units this is a rough picture: the test is made for many, and so few can seldom "
        "tell losses apart."
    )
    figure = new(
        name,
        "Critical-difference diagram",
        f"Mean ranks over {overall.units} units (1 is best). Losses under one bar differ by less than Nemenyi's "
        f"critical difference of {distance:.2f} ranks and cannot be told apart at 5 %.{warning if few else ''}",
        7.2 + 2 * room_for(loss_label(str(loss)) for loss in ranks.index),
        1.2 + 0.24 * (half + few) + 0.12 * len(cliques),
    )
    axis = figure.canvas.subplots()
    k = len(ranks)
    top, step = 0.0, 0.9
    start = 0.7 + 0.5 * len(cliques)
    axis.set_xlim(1 - 0.28 * (k - 1), k + 0.28 * (k - 1))
    axis.set_ylim(start + step * (half + (0.4 if few else 0)), -1.9)
    axis.hlines(top, 1, k, color=INK, lw=1.2)
    for tick in range(1, k + 1):
        axis.vlines(tick, top - 0.18, top, color=INK, lw=1)
        axis.text(tick, top - 0.3, str(tick), ha="center", va="bottom", fontsize=8)
    axis.hlines(-1.35, 1, 1 + min(distance, k - 1), color=INK, lw=1.6)
    axis.text(1 + min(distance, k - 1) / 2, -1.45, f"CD {distance:.2f}", ha="center", va="bottom", fontsize=8)
    for n, (loss, rank) in enumerate(ranks.items()):
        left = n < half
        y = start + step * (n if left else k - 1 - n)
        edge = 1 - 0.06 * (k - 1) if left else k + 0.06 * (k - 1)
        (line,) = axis.plot([rank, rank, edge], [top, y, y], color=FAINT, lw=1)
        figure.tip(line, f"{loss_name(str(loss))}: mean rank {rank:.3f}")
        text = f"{loss_label(str(loss))}  {rank:.2f}" if left else f"{rank:.2f}  {loss_label(str(loss))}"
        axis.text(edge, y, f"{text} " if left else f" {text}", ha="right" if left else "left", va="center")
    for n, (low, high) in enumerate(cliques):
        axis.hlines(0.5 + 0.5 * n, low - 0.03, high + 0.03, color=DARK, lw=4)
    if few:
        text = f"only {overall.units} units: a rough picture"
        axis.text(
            (1 + k) / 2, start + step * half, text, ha="center", va="center", fontsize=8, color=BAD, fontweight="bold"
        )
    axis.set_axis_off()
    return figure


def pair_map(verdict: Verdict) -> Figure:
    """Row minus column, in points; a dot marks pairs that are told apart after adjusting for all pairs."""
    losses = verdict.losses
    place = {loss: n for n, loss in enumerate(losses)}
    names = [loss_label(loss) for loss in losses]
    values = np.zeros((len(losses), len(losses)))
    tested = verdict.unit != "none"
    stars = "Bold with a star: the pair is told apart at 5 % after adjusting for all pairs (Tukey)."
    figure = new(
        "pairs",
        "Every pair",
        f"Mean difference in {verdict.yardstick.points}, row minus column. "
        f"{stars if tested else 'Not tested, since there are no repeats.'}",
        1.4 + 0.55 * len(losses) + room_for(names),
        1.2 + 0.36 * len(losses) + 0.7 * room_for(names),
    )
    axis = figure.canvas.subplots()
    for row in verdict.pairs.itertuples():
        a, b = place[str(row.a)], place[str(row.b)]
        values[a, b], values[b, a] = 100 * float(row.difference), -100 * float(row.difference)  # type: ignore[arg-type]
    limit = max(float(np.abs(values).max()), 1e-6)
    picture = axis.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    for row in verdict.pairs.itertuples():
        a, b = place[str(row.a)], place[str(row.b)]
        told = float(row.p_adjusted) < ALPHA  # type: ignore[arg-type]
        for x, y, sign in ((b, a, 1), (a, b, -1)):
            value = sign * 100 * float(row.difference)  # type: ignore[arg-type]
            text = axis.text(
                *(x, y, f"{value:+z.2f}{'*' if told else ''}"),
                ha="center",
                va="center",
                fontsize=7,
                fontweight="bold" if told else "normal",
                color=ink_on(picture.to_rgba(np.array([value]))[0].tolist()),
            )
            tip = f"{loss_name(losses[y])} - {loss_name(losses[x])}: {value:+z.3f} points"
            figure.tip(text, f"{tip}, p {row.p_adjusted:.3g}" if tested else tip)
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.grid(visible=False)
    axis.tick_params(length=0)
    figure.canvas.colorbar(picture, ax=axis, label=verdict.yardstick.points, fraction=0.04)
    return figure


def stability(drawn: Draws) -> Figure:
    """How often each loss is first, and among the first three, in draws of the study."""
    table = drawn.stability
    order = table[("mean", "first three")].sort_values().index
    figure = new(
        "stability",
        "Rank stability",
        f"Share of {len(drawn.contrasts):,} draws of the study in which a loss is first (dark) and among the first "
        "three (light), by the overall mean and by the 3/2/1 scores. A ranking to rely on has one dark bar near 100 %.",
        7.6,
        1.2 + 0.26 * len(order),
    )
    kinds = list(dict.fromkeys(table.columns.get_level_values(0)))
    axes = figure.canvas.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axis, kind in zip(axes, kinds, strict=True):
        three, first = (100 * table.loc[order, (kind, part)] for part in ("first three", "first"))
        for values, colour, words in ((three, LIGHT, "among the first three"), (first, DARK, "first")):
            bars = axis.barh(range(len(order)), values, color=colour, edgecolor=DARK, lw=0.8, label=words)
            for y, bar in enumerate(bars):
                figure.tip(bar, f"{loss_name(str(order[y]))}: {words} in {values.iloc[y]:.1f} % of draws ({kind})")
        axis.set_title(f"by {kind}")
        axis.set_xlim(0, 100)
        axis.set_xticks([0, 50, 100])
        for label, side in zip(axis.get_xticklabels(), ("left", "center", "right"), strict=True):
            label.set_ha(side)  # which keeps it clear of the next axis'
        axis.set_xlabel("% of draws")
        axis.set_yticks(range(len(order)), [loss_label(str(loss)) for loss in order])
        axis.grid(axis="y", visible=False)
    figure.canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def variance(shares: pd.DataFrame) -> Figure:
    """What single runs' Dice varies with."""
    shown = shares[shares["df"] > 0]
    figure = new(
        "variance",
        "What Dice varies with",
        "Shares of the variance of single runs. The loss's own share against that of dataset, model and chance says "
        "how much the choice of the loss matters; its bars are dark.",
        7.2,
        0.7 + 0.26 * len(shown),
    )
    axis = figure.canvas.subplots()
    colour = [DARK if str(name).startswith("loss") else LIGHT for name in shown.index]
    bars = axis.barh(range(len(shown)), 100 * shown["share"], color=colour, edgecolor=DARK, lw=0.8)
    for bar, (name, share) in zip(bars, shown["share"].items(), strict=True):
        figure.tip(bar, f"{name}: {100 * share:.3f} %")
        axis.text(100 * share, bar.get_y() + bar.get_height() / 2, f" {100 * share:.2g} %", va="center", fontsize=8)
    axis.set_yticks(range(len(shown)), [str(name) for name in shown.index])
    axis.invert_yaxis()
    axis.set_xlabel("% of the variance")
    axis.grid(axis="y", visible=False)
    axis.margins(x=0.12)
    return figure


def _cliques(ranks: np.ndarray, distance: float) -> list[tuple[float, float]]:
    """Longest runs of sorted ranks that lie within the critical difference, none inside another."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.searchsorted(ranks, ranks[first] + distance, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return [(float(ranks[first]), float(ranks[last])) for first, last in found]
