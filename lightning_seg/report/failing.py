"""Test images that one can learn from: on which all losses fail, one alone does, or they disagree; and suspects."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lightning_seg.report.consensus import Consensus, Key, suspicion
from lightning_seg.report.reasons import FAILED_DICE

_SHOWN = 6  # images of a kind
_WELL = 0.5  # Dice from which on a loss does not fail
_SUSPECTS = 200  # rows of the list for annotators


@dataclass(frozen=True)
class Kinds:
    """Images of each kind, as (dataset, id).

    Attributes:
        hopeless: no loss reaches a Dice of 0.1; the worst first.
        worst: lowest mean Dice of the others.
        disputed: on which losses differ most.
        alone: loss -> images on which it is below 0.1 and every other one at 0.5 or more.
    """

    hopeless: list[Key]
    worst: list[Key]
    disputed: list[Key]
    alone: dict[str, list[Key]]

    @property
    def shown(self) -> list[tuple[str, list[Key]]]:
        """Heading and images of each kind, as many as are shown."""
        kinds = [
            ("Hopeless: every loss fails", self.hopeless),
            ("Worst of the others", self.worst),
            ("Most disputed", self.disputed),
        ]
        return [(title, images[:_SHOWN]) for title, images in kinds if images]


def kinds_of(images: pd.DataFrame) -> Kinds:
    """Sort the test images of the compared runs.

    Args:
        images: with dataset, id, loss and dice; see :func:`lightning_seg.report.reasons.compared_images`.
    """
    if images.empty:
        return Kinds([], [], [], {})
    table = images.groupby(["dataset", "id", "loss"], observed=True)["dice"].mean().unstack("loss").dropna()
    values = table.to_numpy(dtype=float)
    keys = [(str(dataset), str(name)) for dataset, name in table.index]
    mean, best, spread = values.mean(axis=1), values.max(axis=1), values.std(axis=1)
    fails = best < FAILED_DICE
    disputed = np.argsort(-spread, kind="stable")
    alone = {}
    for n, loss in enumerate(table.columns if len(table.columns) > 1 else []):
        others = np.delete(values, n, axis=1).min(axis=1)
        gap = np.where((values[:, n] < FAILED_DICE) & (others >= _WELL), others - values[:, n], 0.0)
        alone[str(loss)] = [keys[k] for k in np.argsort(-gap, kind="stable") if gap[k] > 0]
    worst = [k for k in np.argsort(mean, kind="stable") if not fails[k]]
    return Kinds(
        hopeless=[keys[k] for k in np.argsort(mean, kind="stable") if fails[k]],
        worst=[keys[k] for k in worst[: 10 * _SHOWN]],
        disputed=[keys[k] for k in disputed[: 10 * _SHOWN] if spread[k] > 0],
        alone=alone,
    )


def wanted(kinds: Kinds) -> set[Key]:
    """The images of which pictures are shown."""
    firsts = [images[:1] for images in kinds.alone.values()]
    return {key for images in (*(images for _, images in kinds.shown), *firsts) for key in images}


def suspects(consensus: Consensus) -> pd.DataFrame:
    """Images whose annotation an expert should look at again, the most suspicious first.

    Returns:
        rank, dataset, id, suspicion (-1 to 1), agreement (of the losses with one another), dice (with the annotation),
        annotated and predicted (share of the image), remark (what seems to be wrong).
    """
    found = consensus.images.assign(suspicion=suspicion(consensus.images).astype(float))
    found = found.sort_values(["suspicion", "dataset", "id"], ascending=[False, True, True]).head(_SUSPECTS)
    found = found.rename(columns={"size": "annotated", "called": "predicted"}).reset_index(drop=True)
    found["remark"] = [_remark(row) for _, row in found.iterrows()]
    found.insert(0, "rank", np.arange(1, len(found) + 1))
    return found[["rank", "dataset", "id", "suspicion", "agreement", "dice", "annotated", "predicted", "remark"]]


def _remark(row: "pd.Series[float]") -> str:
    if row["annotated"] == 0:
        return "nothing is annotated, a lesion is predicted" if row["predicted"] > 0 else ""
    if row["predicted"] == 0:
        return "a lesion is annotated, none is predicted"
    if row["inverse"] >= _WELL and row["inverse"] > row["dice"]:
        return "lesion and background seem to be exchanged"
    if row["dice"] < FAILED_DICE:
        return "the lesion is predicted elsewhere"
    ratio = row["predicted"] / row["annotated"]
    if ratio >= 2:
        return "more is predicted than annotated"
    return "less is predicted than annotated" if ratio <= 0.5 else "the lesion is predicted in another place or shape"
