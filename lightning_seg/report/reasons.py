"""Why losses differ: what single images, training curves and costs say."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lightning_seg.report.cases import Case
from lightning_seg.report.comparison import PAIR, compared_rows

FAILED_DICE = 0.1


def compared_images(images: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The test images of the compared runs, with ``size`` (lesion share of the image, 0-1) added.

    Args:
        pairs: the comparison's (dataset, model, repeat) x losses.
    """
    chosen = compared_rows(images, pairs)
    lesion = (chosen["tp"] + chosen["fn"]).to_numpy(dtype=float)
    pixels = lesion + (chosen["fp"] + chosen["tn"]).to_numpy(dtype=float)
    chosen = chosen.assign(size=lesion / np.maximum(pixels, 1))
    for key in ("dataset", "model", "loss"):
        chosen[key] = chosen[key].astype("category").cat.remove_unused_categories()
    return chosen


def image_matrices(images: pd.DataFrame, losses: Sequence[str]) -> tuple[dict[tuple[str, str, int], np.ndarray], int]:
    """Dice of the test images of every pair, (images, losses), images aligned by id.

    Returns:
        the matrices, and the number of pairs whose losses were not tested on the same images (these are left out).
    """
    if images.empty:
        return {}, 0
    by_column = pd.Categorical(images["loss"], categories=losses)  # of records, the order is that of appearance
    ordered = images.assign(loss=by_column).sort_values([*PAIR, "loss", "id"], kind="stable")
    ids = ordered["id"].cat.codes.to_numpy() if hasattr(ordered["id"], "cat") else pd.factorize(ordered["id"])[0]
    dice = ordered["dice"].to_numpy(dtype=np.float64)
    sizes = ordered.groupby(PAIR, observed=True, sort=True).size()
    matrices, unpaired, start = {}, 0, 0
    for key, size in sizes.items():
        stop = start + int(size)
        count, rest = divmod(int(size), len(losses))
        block = ids[start : start + count * len(losses)].reshape(len(losses), count) if rest == 0 else None
        if block is not None and (block == block[0]).all():
            matrix = dice[start:stop].reshape(len(losses), count).T
            if np.isfinite(matrix).all():
                matrices[key] = matrix
        else:
            unpaired += 1
        start = stop
    return matrices, unpaired


def dice_along(images: pd.DataFrame, by: str, bins: int = 10) -> pd.DataFrame:
    """Mean Dice of every loss in quantile bins of a column; images without a lesion are left out.

    Args:
        by: "size" or "contrast".

    Returns:
        rows indexed by the bins' median, losses as columns; empty where ``by`` has fewer than two values.
    """
    chosen = images[images["size"] > 0]
    values = chosen[by].to_numpy(dtype=float)
    known = np.isfinite(values)
    if known.sum() == 0:
        return pd.DataFrame()
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, bins + 1)))
    if len(edges) < 3:
        return pd.DataFrame()
    code = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    table = chosen.assign(bin=code)[known].groupby(["bin", "loss"], observed=True)["dice"].mean().unstack("loss")
    middle = pd.Series(values[known]).groupby(code[known]).median()
    return table.set_axis(middle.loc[table.index].to_numpy(), axis=0).rename_axis(by)


def failures(images: pd.DataFrame) -> pd.DataFrame:
    """Per loss: share of test images with a lesion whose Dice is below 0.1, and whose prediction is empty."""
    lesions = images[images["size"] > 0]
    failed = (lesions["dice"] < FAILED_DICE).groupby(lesions["loss"], observed=True).mean()
    empty = ((lesions["tp"] + lesions["fp"]) == 0).groupby(lesions["loss"], observed=True).mean()
    return pd.DataFrame({"failed": failed, "empty": empty}).rename_axis("loss")


def image_ranking(images: pd.DataFrame) -> pd.DataFrame:
    """Every test image with its mean Dice and how much losses disagree on it, most disputed first.

    Returns:
        one row an image: dataset, id, dice (mean over losses), disagreement (standard deviation over losses), best and
        worst loss ("" where all losses are equal), size.
    """
    if images.empty:
        return pd.DataFrame(columns=["dataset", "id", "dice", "disagreement", "best", "worst", "size"])
    table = images.groupby(["dataset", "id", "loss"], observed=True)["dice"].mean().unstack("loss")
    size = images.groupby(["dataset", "id"], observed=True)["size"].first()
    table = table.dropna()
    differ = table.max(axis=1) > table.min(axis=1)
    found = pd.DataFrame(
        {
            "dice": table.mean(axis=1),
            "disagreement": table.std(axis=1, ddof=0).where(differ, 0.0),
            "best": table.idxmax(axis=1).astype(str).where(differ, ""),
            "worst": table.idxmin(axis=1).astype(str).where(differ, ""),
            "size": size.reindex(table.index),
        }
    )
    return found.sort_values("disagreement", ascending=False).reset_index()


def calibration(cases: Sequence[Case], bins: int = 10) -> pd.DataFrame:
    """Reliability of sigmoid probabilities over all pixels of the example images.

    Returns:
        one row per loss and bin: loss, probability (mean), observed (lesion share), pixels.
    """
    rows = []
    for loss in sorted({loss for case in cases for loss in case.logits}):
        sums = np.zeros((3, bins))
        for case in cases:
            if loss not in case.logits:
                continue
            probability = 1 / (1 + np.exp(-np.clip(case.logits[loss].astype(np.float64).ravel(), -60, 60)))
            code = np.minimum((probability * bins).astype(int), bins - 1)
            sums[0] += np.bincount(code, probability, bins)
            sums[1] += np.bincount(code, case.mask.ravel() > 0, bins)
            sums[2] += np.bincount(code, minlength=bins)
        for n in np.flatnonzero(sums[2]):
            rows.append((loss, sums[0, n] / sums[2, n], sums[1, n] / sums[2, n], int(sums[2, n])))
    return pd.DataFrame(rows, columns=["loss", "probability", "observed", "pixels"])


def calibration_error(reliability: pd.DataFrame) -> pd.Series:
    """Expected calibration error of every loss, 0-1."""
    gap = (reliability["probability"] - reliability["observed"]).abs() * reliability["pixels"]
    return gap.groupby(reliability["loss"]).sum() / reliability["pixels"].groupby(reliability["loss"]).sum()


def mean_curves(curves: pd.DataFrame, value: str = "val_dice") -> pd.DataFrame:
    """Mean over runs of a value after every epoch; a run that stopped keeps its last value.

    Returns:
        rows are epochs, counted from 1, columns are losses.
    """
    if curves.empty:
        return pd.DataFrame()
    rows = {}
    epochs = int(curves["epoch"].max())
    for loss, group in curves.groupby("loss", observed=True, sort=True):
        runs = group.groupby(["dataset", "model", "repeat"], observed=True, sort=False).ngroup().to_numpy()
        table = np.full((runs.max() + 1, epochs), np.nan)
        table[runs, group["epoch"].to_numpy(dtype=int) - 1] = group[value].to_numpy(dtype=float)
        filled = pd.DataFrame(table).ffill(axis=1)
        rows[loss] = filled.mean(axis=0)
    table = pd.DataFrame(rows)
    return table.set_axis(table.index + 1, axis=0).rename_axis("epoch")


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean cost per model and loss: test_dice, minutes to fit, epochs, best_epoch, parameters.

    Args:
        runs: the compared ones.
    """
    columns = ["test_dice", "seconds_fit", "epochs", "best_epoch", "parameters"]
    table = runs.groupby(["model", "loss"])[columns].mean().astype(float)
    table.insert(1, "minutes", table.pop("seconds_fit") / 60)
    return table


def pareto(cost: pd.Series, value: pd.Series) -> list[str]:
    """Names that no other beats in both a lower cost and a higher value, cheapest first."""
    front, best = [], -np.inf
    for name in sorted(cost.index, key=lambda name: (cost[name], -value[name])):
        if value[name] > best:
            front.append(name)
            best = value[name]
    return front
