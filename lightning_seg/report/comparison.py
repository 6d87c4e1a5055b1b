"""Which runs can be compared: the losses, and the blocks in which every one of them is complete."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from lightning_seg.errors import UserError
from lightning_seg.report.contrasts import TEST_TO_TRAIN
from lightning_seg.report.records import Study, measures_of, metrics_of
from lightning_seg.report.yardstick import DICE, Yardstick
from lightning_seg.wording import counted

PAIR = ["dataset", "model", "repeat"]
BLOCK = ["dataset", "model"]


@dataclass
class Comparison:
    """The part of a study on which losses are compared.

    Attributes:
        losses: the compared losses, in alphabetical order.
        pairs: metric -> table with a row for each usable (dataset, model, repeat) and a column for each loss. A repeat
            is usable when every compared loss has a finished run of it, made with the same settings. Measures of
            masks that not every one of these runs has are not in it.
        left_out: sentences on what the study holds and the comparison does not use.
        collapsed: whether a run predicts one class everywhere, for the rows and columns of ``pairs``.
        test_to_train: test images over training images, mean over blocks; 0 for a dataset whose repeats all test on
            the same images, since they are no re-splits.
        same_images: whether that is so for every dataset: then only the seed varies from repeat to repeat.
        yardstick: by what losses are compared.
        measures: names of the measures of masks in ``pairs``.
    """

    losses: list[str]
    pairs: dict[str, pd.DataFrame]
    left_out: list[str] = field(default_factory=list)
    collapsed: pd.DataFrame = field(default_factory=pd.DataFrame)
    test_to_train: float = TEST_TO_TRAIN
    same_images: bool = False
    yardstick: Yardstick = DICE
    measures: list[str] = field(default_factory=list)

    @property
    def scores(self) -> pd.DataFrame:
        """What is compared, of which larger is better: the pairs table of the yardstick."""
        return self.yardstick.of(self.pairs[self.yardstick.name])

    def blocks(self) -> pd.DataFrame:
        """The unit of analysis: a dataset x model cell, averaged over its paired repeats; rows x losses."""
        return self.scores.groupby(level=BLOCK, sort=True, observed=True).mean()

    @property
    def is_crossed(self) -> bool:
        """Whether every dataset has every model, so that blocks weigh datasets and models equally."""
        blocks = self.blocks().index
        return len(blocks) == len(blocks.unique("dataset")) * len(blocks.unique("model"))


def compare(study: Study, yardstick: Yardstick = DICE) -> Comparison:
    """Choose the compared losses and the usable repeats of every block.

    All losses with a usable run are compared. Where they share no repeat at all, the loss with the fewest usable runs
    is set aside (and told) until the others share one. A run is usable where it has the yardstick's score.
    """
    runs = study.runs
    column = next((name for name in (f"test_{yardstick.name}", f"measure_{yardstick.name}") if name in runs), "")
    if not column:
        raise UserError(
            f"No run of {study.name} has {yardstick.name!r}: it needs the masks that runs keep in predictions.npz."
        )
    usable = _usable(runs, column)
    losses = sorted(usable["loss"].unique())
    left_out = [f"{', '.join(study.unasked)}: left out on request."] if study.unasked else []
    for loss in sorted(set(runs["loss"]) - set(losses)):
        left_out.append(f"{loss} has no usable run and is not compared.")
    same, mixed = _same_settings(usable)
    if mixed:
        left_out.append(
            f"{counted(mixed, 'usable run', 'were')} made with other settings than the rest "
            "of their dataset, model and repeat, and cannot be compared."
        )
    counts = same["loss"].value_counts()
    while True:
        dice = _pivot(same[same["loss"].isin(losses)], column, losses)
        complete = dice.dropna()
        if len(complete) or len(losses) < 2:
            break
        fewest = min(losses, key=lambda loss: (counts.get(loss, 0), loss))
        losses.remove(fewest)
        left_out.append(f"{fewest} shares no repeat with the other losses and is not compared.")
    left_out += _missing_sentences(runs, dice, complete)
    pairs = {m: _pivot(same, f"test_{m}", losses).reindex(complete.index) for m in metrics_of(runs)}
    measured = {m: _pivot(same, f"measure_{m}", losses).reindex(complete.index) for m in measures_of(runs)}
    measured = {name: table for name, table in measured.items() if len(table) and table.notna().all(axis=None)}
    collapsed = _pivot(same.assign(collapsed=same["collapse"] != ""), "collapsed", losses).reindex(complete.index) > 0
    ratio, same_images = _test_to_train(study, complete.index)
    return Comparison(losses, pairs | measured, left_out, collapsed, ratio, same_images, yardstick, list(measured))


def compared_rows(table: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows, of runs or of their images, that belong to the compared runs.

    Args:
        pairs: the comparison's (dataset, model, repeat) x losses.
    """
    chosen = table[table["loss"].isin(pairs.columns)]
    keys = pd.MultiIndex.from_frame(chosen[PAIR].astype({"dataset": str, "model": str}))
    return chosen[keys.isin(pairs.index)] if len(chosen) else chosen


def unusable(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that have ended and are of no use: without a finite Dice, or made with other settings than the rest."""
    empty = runs[(runs["status"] == "finished") & ~np.isfinite(runs["test_dice"].astype(float))]
    usable = _usable(runs)
    same = _same_settings(usable)[0]
    odd = usable[~usable["path"].isin(same["path"])]
    return pd.concat([empty, odd])


def _usable(runs: pd.DataFrame, column: str = "test_dice") -> pd.DataFrame:
    return runs[runs["status"].isin(["finished", "diverged"]) & np.isfinite(runs[column].astype(float))]


def _test_to_train(study: Study, index: pd.MultiIndex) -> tuple[float, bool]:
    """Mean ratio over blocks, and whether the repeats of every dataset are tested on the same images."""
    blocks = index.droplevel("repeat").unique()
    if not len(blocks):
        return TEST_TO_TRAIN, False
    known = study.runs.groupby("dataset")["test_to_train"].mean()
    datasets = blocks.get_level_values("dataset")
    fixed = {dataset for dataset in datasets.unique() if _tests_the_same_images(study.images, dataset, index)}
    ratios = [0.0 if dataset in fixed else float(known.get(dataset, np.nan)) for dataset in datasets]
    return float(np.mean(np.nan_to_num(ratios, nan=TEST_TO_TRAIN))), len(fixed) == datasets.nunique()


def _tests_the_same_images(images: pd.DataFrame, dataset: str, index: pd.MultiIndex) -> bool:
    repeats = index[index.get_level_values("dataset") == dataset].unique("repeat")
    of_one = images[images["dataset"] == dataset].drop_duplicates(["repeat", "id"])
    tested = of_one[of_one["repeat"].isin(repeats)].groupby("repeat")["id"].agg(frozenset)
    return len(tested) > 1 and tested.nunique() == 1


def coverage(runs: pd.DataFrame) -> pd.DataFrame:
    """Count of runs per dataset and status, and in all.

    Returns:
        table with a row per dataset and a last row "all", and a last column "all".
    """
    statuses = ["finished", "diverged", "failed", "running", "missing", "unreadable"]
    counts = runs.groupby(["dataset", "status"]).size().unstack(fill_value=0).reindex(columns=statuses, fill_value=0)
    counts["all"] = counts.sum(axis=1)
    counts.loc["all"] = counts.sum()
    return counts


def splits(runs: pd.DataFrame) -> pd.DataFrame:
    """How each dataset was divided, and how many test images have a sibling among the training images.

    Siblings are near duplicates, images of one sequence or of one group; a network may know them by heart.

    Returns:
        one row for each dataset and kind of split that runs have recorded, with columns dataset, split, repeats,
        test_images (mean), siblings, least, most (mean, minimum and maximum over repeats).
    """
    known = runs.dropna(subset=["siblings"]).drop_duplicates(["dataset", "split", "repeat"])
    columns = {
        "repeats": ("repeat", "nunique"),
        "test_images": ("test_images", "mean"),
        "siblings": ("siblings", "mean"),
        "least": ("siblings", "min"),
        "most": ("siblings", "max"),
    }
    return known.groupby(["dataset", "split"]).agg(**columns).reset_index()


def failed_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Failed, diverged, unreadable and collapsed runs per loss, with the cells in which they are.

    Returns:
        one row for each loss with columns failed, diverged, unreadable, background, lesion (counts) and cells (text).
    """
    rows = []
    for loss, group in runs.groupby("loss", sort=True):
        row: dict[str, object] = {"loss": loss}
        row |= {status: int((group["status"] == status).sum()) for status in ("failed", "diverged", "unreadable")}
        row |= {kind: int((group["collapse"] == kind).sum()) for kind in ("background", "lesion")}
        bad = group[group["status"].isin(["failed", "diverged", "unreadable"]) | (group["collapse"] != "")]
        cells = bad.groupby(BLOCK).size()
        row["cells"] = ", ".join(f"{dataset}/{model} ({count})" for (dataset, model), count in cells.items())
        rows.append(row)
    columns = ["loss", "failed", "diverged", "unreadable", "background", "lesion", "cells"]
    return pd.DataFrame(rows, columns=columns).set_index("loss")


def _same_settings(usable: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Of every (dataset, model, repeat), the runs that share its most frequent settings, and how many do not."""
    if usable.empty:
        return usable, 0
    counts = usable.groupby([*PAIR, "settings"]).size().rename("count").reset_index()
    counts = counts.sort_values([*PAIR, "count", "settings"], ascending=[True, True, True, False, True])
    chosen = counts.drop_duplicates(PAIR)[[*PAIR, "settings"]]
    same = usable.merge(chosen, on=[*PAIR, "settings"])
    return same, len(usable) - len(same)


def _pivot(runs: pd.DataFrame, column: str, losses: list[str]) -> pd.DataFrame:
    table = runs.pivot(index=PAIR, columns="loss", values=column).reindex(columns=losses)
    return table.astype(float).sort_index()


def _missing_sentences(runs: pd.DataFrame, dice: pd.DataFrame, complete: pd.DataFrame) -> list[str]:
    """What of the study's dataset x model cells is not, or not fully, in the comparison."""
    if runs.empty:
        return []
    repeats = runs["repeat"].nunique()
    used = complete.groupby(level=BLOCK).size()
    cells = runs.groupby(BLOCK).size()
    sentences = []
    for dataset, model in cells.index:
        count = int(used.get((dataset, model), 0))
        if count == repeats:
            continue
        if (dataset, model) in dice.index.droplevel("repeat"):
            table = dice.loc[(dataset, model)]
            lacking = table.columns[table.isna().any() | (len(table) < repeats)].tolist()
            why = f"lacks runs of {', '.join(lacking)}"
        else:
            why = "has no usable run"
        state = "is left out" if count == 0 else f"uses {count} of {repeats} repeats"
        sentences.append(f"{dataset} / {model} {state}: it {why}.")
    return sentences
