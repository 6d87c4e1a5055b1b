"""Where the losses' masks agree with one another: from what runs have kept of their predictions.

Of each dataset the network with the highest mean Dice speaks, in all of its repeats: there the losses differ least by
what the network cannot do.
"""

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightning_seg.errors import UnreadableError
from lightning_seg.predicted import PUBLISHED, Predicted
from lightning_seg.report.records import Study
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.predictions import read

Key = tuple[str, str]  # dataset and id
_KEPT = 8  # of the most suspicious images of a repeat, whose masks are kept for pictures
_COLUMNS = ["dataset", "id", "model", "repeat", "agreement", "dice", "size", "called", "inverse"]


@dataclass(frozen=True)
class Masks:
    """What the losses predict for an image, by one network in one repeat.

    Attributes:
        model, repeat: which.
        predicted: loss -> mask at 0.5, (H, W).
        dice: loss -> Dice.
    """

    model: str
    repeat: int
    predicted: dict[str, NDArray[np.bool_]]
    dice: dict[str, float]


@dataclass
class Consensus:
    """What losses agree on.

    Attributes:
        images: one row a test image: dataset, id, model and repeat that spoke, agreement (Dice of two losses' masks,
            over all pairs; 1 where all are empty), dice (mean over losses), size and called (share of the image that is
            lesion, and that most losses call so), inverse (mean Dice with the mask's inverse).
        masks: of the images that are shown.
        problems: sentences on files that cannot be read.
    """

    images: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_COLUMNS))
    masks: dict[Key, Masks] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_consensus(study: Study, runs: pd.DataFrame, losses: Sequence[str], wanted: Collection[Key]) -> Consensus:
    """Read it; nothing where runs have kept no masks, or there is but one loss.

    Args:
        runs: the compared rows of the study's table of runs.
        losses: the compared ones.
        wanted: images whose masks are to be kept, beside those that are most suspicious.
    """
    found = Consensus()
    if len(losses) < 2 or runs.empty:
        return found
    tables: list[pd.DataFrame] = []
    seen: set[Key] = set()
    for dataset, rows in runs.groupby("dataset", sort=True):
        model = rows.groupby("model")["test_dice"].mean().idxmax()
        for repeat, group in rows[rows["model"] == model].groupby("repeat", sort=True):
            tested = _read(study, group.set_index("loss").loc[list(losses), "path"], found.problems)
            if tested is None:
                continue
            table = judged(list(tested.values())).assign(dataset=str(dataset), model=str(model), repeat=int(repeat))
            new = np.array([(str(dataset), name) not in seen for name in table["id"]])
            seen |= {(str(dataset), name) for name in table["id"]}
            tables.append(table[new])
            suspicious = set(table[new].index[np.argsort(-suspicion(table[new]).to_numpy())[:_KEPT]])
            for n in np.flatnonzero(new):
                key = (str(dataset), str(table["id"].iloc[n]))
                if key in wanted or n in suspicious:
                    found.masks[key] = _masks(tested, int(n), str(model), int(repeat))
    if tables:
        found.images = pd.concat(tables, ignore_index=True)[_COLUMNS]
    return found


def judged(tested: Sequence[Predicted]) -> pd.DataFrame:
    """How the masks of several losses agree on the same images, and with the annotation.

    Returns:
        the columns of :attr:`Consensus.images` that they tell.
    """
    count = len(tested)
    counts = np.stack([each.counts[:, PUBLISHED] for each in tested]).astype(float)
    tp, fp, fn, tn = np.moveaxis(counts, -1, 0)
    pixels = counts[0, 0].sum()
    votes = np.zeros((counts.shape[1], int(pixels)), dtype=np.float32)
    for each in tested:
        votes += each.masks.reshape(len(votes), -1)
    # v losses call a pixel lesion: v (v - 1) of the ordered pairs share it, and v (losses - 1) have it on one side.
    called = (tp + fp).sum(axis=0)
    shared, whole = np.einsum("ij,ij->i", votes, votes) - called, called * (count - 1)
    table = pd.DataFrame(
        {
            "id": tested[0].ids,
            "agreement": np.where(whole > 0, shared / np.maximum(whole, 1), 1.0),
            "dice": np.mean([each.dice[:, PUBLISHED] for each in tested], axis=0),
            "size": (tp + fn)[0] / pixels,
            "called": (votes > count / 2).mean(axis=1),
            "inverse": (2 * fp / np.maximum(2 * fp + tp + tn, 1)).mean(axis=0),
        }
    )
    return table


def suspicion(images: pd.DataFrame) -> pd.Series:
    """How much more the losses agree with one another than with the annotation, -1 to 1.

    A hard image has masks that differ; a wrong annotation has masks that agree and are elsewhere. Where most losses
    find nothing, a lesion that is hard to see is the likelier reason, and it counts half.
    """
    return (images["agreement"] - images["dice"]) * np.where(images["called"] > 0, 1.0, 0.5)


def _read(study: Study, paths: "pd.Series[str]", problems: list[str]) -> dict[str, Predicted] | None:
    """Of each loss the predictions for its test images; None where not all have kept the same."""

    def one(path: str) -> Predicted | str | None:
        folder = RunFolder(study.directory / path)
        try:
            return read(folder).test
        except FileNotFoundError:
            return None
        except UnreadableError as error:
            return f"{folder.address}/{folder.predictions.name} cannot be read ({error})."

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(one, paths))
    problems += [each for each in found if isinstance(each, str)]
    tested = [each for each in found if isinstance(each, Predicted)]
    alike = {(tuple(each.ids), each.packed.shape, each.width) for each in tested}
    if len(tested) < len(found) or len(alike) != 1:
        return None
    return dict(zip(map(str, paths.index), tested, strict=True))


def _masks(tested: dict[str, Predicted], place: int, model: str, repeat: int) -> Masks:
    predicted = {
        loss: np.unpackbits(each.packed[place], axis=-1, count=each.width).view(np.bool_)
        for loss, each in tested.items()
    }
    dice = {loss: float(each.dice[place, PUBLISHED]) for loss, each in tested.items()}
    return Masks(model, repeat, predicted, dice)
