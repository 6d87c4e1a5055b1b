"""Whether the answer survives: the same records read at other thresholds, beside studies with other settings.

Each reading is judged by the same analysis, on its own. Words about all of them say no more than each of them shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.report.comparison import Comparison, compare, compared_rows
from lightning_seg.report.kept import Kept, load_kept
from lightning_seg.report.records import Study, load_study, only_losses
from lightning_seg.report.thresholds import CHOSEN, HALF
from lightning_seg.report.verdict import Verdict, judge
from lightning_seg.runs.fingerprint import belongs, essential, flatten
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.record import Record
from lightning_seg.wording import counted

_LONGEST = 40  # characters of a setting's value


@dataclass(frozen=True)
class Reading:
    """One way to read the records.

    Attributes:
        study: name of the study.
        settings: how its runs differ from others: "common" or "tuned", its augmentation where that differs, and other
            keys that do.
        threshold: "0.5", or "chosen" by each run's own validation images.
        repeats: paired repeats that it rests on.
        verdict: of it.
    """

    study: str
    settings: tuple[str, ...]
    threshold: str
    repeats: int
    verdict: Verdict

    @property
    def name(self) -> str:
        """A heading that tells it from the others."""
        return f"{'Threshold 0.5' if self.threshold == HALF else 'Chosen threshold'}, {self.described}"

    @property
    def described(self) -> str:
        """The settings in words."""
        return ", ".join([f"{self.settings[0]} settings", *self.settings[1:]])

    @property
    def tested(self) -> bool:
        """Whether it shows anything."""
        return self.verdict.unit != "none" and not self.verdict.nothing_learned

    @property
    def tuned(self) -> bool:
        """Whether each loss has settings of its own."""
        return self.settings[0] == "tuned"


@dataclass
class Readings:
    """All readings that the records allow.

    Attributes:
        readings: the study's own at 0.5 first.
        notes: sentences on what could not be read so, and why.
    """

    readings: list[Reading] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Side:
    """A study that is read."""

    study: Study
    comparison: Comparison
    kept: Kept
    record: Record


def read_all(study: Study, comparison: Comparison, kept: Kept, beside: Sequence[Path] = ()) -> Readings:
    """Judge every reading.

    Args:
        study, comparison, kept: what is reported.
        beside: folders of studies that are set beside it, whatever settings they differ in.

    Raises:
        UserError: one of them is no study's folder.
    """
    found = Readings()
    if len(comparison.losses) < 2 or not len(comparison.pairs["dice"]):
        return found
    studies = [study]
    for path in beside:
        other = load_study(path)
        if len(set(_losses(other)).intersection(*map(_losses, studies))) > 1:
            studies.append(other)
        else:
            found.notes.append(f"{other.name} shares no two losses with the others and is not set beside this study.")
    shared = sorted(set(_losses(study)).intersection(*map(_losses, studies)))
    if shared == comparison.losses:
        sides = [_Side(study, comparison, kept, _a_record(study, comparison))]
    else:
        found.notes.append(f"All readings compare the losses that each study has: {', '.join(shared)}.")
        sides = [_side(study, shared)]
    sides += [_side(other, shared) for other in studies[1:]]
    found.notes += [problem for side in sides[1:] for problem in side.kept.problems]
    for side, label in zip(sides, _labels(sides, found.notes), strict=True):
        found.readings += _of(side, label, found.notes)
    return found


def _losses(study: Study) -> list[str]:
    return compare(study).losses


def _side(study: Study, losses: Sequence[str]) -> _Side:
    study = only_losses(study, losses)
    comparison = compare(study)
    kept = load_kept(study, compared_rows(study.runs, comparison.pairs["dice"]))
    return _Side(study, comparison, kept, _a_record(study, comparison))


def _a_record(study: Study, comparison: Comparison) -> Record:
    """Of one of the compared runs, which all have the same settings but the loss's own."""
    rows = compared_rows(study.runs, comparison.pairs["dice"])
    return RunFolder(study.directory / rows["path"].iloc[0]).read()


def _of(side: _Side, label: tuple[str, ...], notes: list[str]) -> list[Reading]:
    """The readings of one study: at 0.5, and at chosen thresholds where its runs have kept what that needs."""
    comparison, name = side.comparison, side.study.name
    pairs = comparison.pairs["dice"]
    ratio, same = comparison.test_to_train, comparison.same_images
    readings = [Reading(name, label, HALF, len(pairs), judge(pairs, comparison.collapsed, ratio, same))]
    if side.kept.runs.empty:
        notes.append(f"{name} has no predictions.npz, as an older version has trained it: it is read at 0.5 alone.")
        return readings
    index, losses = ["dataset", "model", "repeat"], comparison.losses
    runs = side.kept.runs.assign(collapsed=side.kept.runs["collapse"] != "")
    dice = runs.pivot(index=index, columns="loss", values="dice").reindex(columns=losses).dropna()
    dice = dice[dice.index.isin(pairs.index)].sort_index()
    if dice.empty:
        notes.append(f"{name} has no repeat in which every loss has kept its predictions: it is read at 0.5 alone.")
        return readings
    collapsed = runs.pivot(index=index, columns="loss", values="collapsed").reindex(index=dice.index, columns=losses)
    verdict = judge(dice, collapsed.astype(bool), ratio, same, CHOSEN)
    readings.append(Reading(name, label, CHOSEN, len(dice), verdict))
    return readings


def augmentation_of(record: Record) -> str:
    """What changes the training images of a run, in a word."""
    node = record.config.get("augmentation")
    target = node.get("_target_") if isinstance(node, dict) else None
    return str(target).rpartition(".")[2].lower() if target else "none"


def _labels(sides: Sequence[_Side], notes: list[str]) -> list[tuple[str, ...]]:
    """How each study differs from the first."""
    augmented = len({augmentation_of(side.record) for side in sides}) > 1
    labels = []
    for side in sides:
        parts = ["tuned" if side.record.tuned else "common"]
        if augmented:
            parts.append(f"augmentation {augmentation_of(side.record)}")
        labels.append((*parts, *_other_differences(sides[0], side)))
    doubled = {label for label in labels if labels.count(label) > 1}
    if doubled:
        notes.append("Studies that differ in no setting are told apart by their names.")
    return [(*label, side.study.name) if label in doubled else label for label, side in zip(labels, sides, strict=True)]


def _other_differences(first: _Side, other: _Side) -> list[str]:
    """Keys in which two studies differ, beside the loss, the repeat, what is tuned, and augmentation."""
    blocks = [set(side.comparison.pairs["dice"].index.droplevel("repeat")) for side in (first, other)]
    if not (shared := sorted(blocks[0] & blocks[1])):
        return [f"on {_count(blocks[1])}"]
    apart = ("loss", "repeat", "augmentation", "tune", *first.record.tuned, *other.record.tuned)
    now, then = (_settings(side, shared[0], apart) for side in (other, first))
    found = [
        f"{key}={str(now.get(key, 'absent'))[:_LONGEST]}"
        for key in sorted(now.keys() | then.keys())
        if now.get(key) != then.get(key)
    ]
    return [*found, *([f"on {_count(blocks[1])}"] if blocks[0] != blocks[1] else [])]


def _count(blocks: set[Any]) -> str:
    return counted(len(blocks), "dataset x model cell")


def _settings(side: _Side, block: tuple[str, str], apart: Sequence[str]) -> dict[str, Any]:
    rows = side.study.runs
    rows = rows[(rows["dataset"] == block[0]) & (rows["model"] == block[1]) & (rows["settings"] != "")]
    for path in rows["path"]:
        try:
            record = RunFolder(side.study.directory / path).read()
        except (FileNotFoundError, UnreadableError):
            continue
        return {key: value for key, value in essential(flatten(record.config)).items() if not belongs(key, apart)}
    return {}


def check_beside(study: Path, beside: Sequence[Path]) -> None:
    """Make sure that studies differ.

    Raises:
        UserError: one is the study itself, or named twice.
    """
    paths = [path.resolve() for path in (study, *beside)]
    if doubled := [path for n, path in enumerate(paths) if path in paths[:n]]:
        raise UserError(f"The study {doubled[0].name} is named twice; --with names others.")


def ranks(verdict: Verdict) -> pd.DataFrame:
    """By loss: rank of its mean, difference to the best (0-1), and whether it is in the group of the best."""
    means = pd.Series(verdict.here.means, index=verdict.here.losses)
    group = set(verdict.group)
    columns = {
        "rank": means.rank(ascending=False, method="min").astype(int),
        "difference": means - np.max(verdict.here.means),
        "in_group": [loss in group for loss in means.index],
    }
    return pd.DataFrame(columns, index=means.index)
