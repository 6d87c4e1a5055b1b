"""What trials have tried and chosen for each loss, and what one common setting for all would have said."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from lightning_seg.catalogue import dataset_name, loss_name, model_name
from lightning_seg.errors import UnreadableError
from lightning_seg.report.answer import join
from lightning_seg.report.reading_words import brief
from lightning_seg.report.records import Study
from lightning_seg.report.verdict import Verdict, judge
from lightning_seg.rules import is_number
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.tuning import Choice, describe
from lightning_seg.wording import counted

_LONGEST = 120  # characters of settings in words
_MOST_TOLD = 12  # settings that one sentence tells of


@dataclass
class Trials:
    """The trials of a study, of which test images were never read.

    Attributes:
        choices: by (dataset, model, loss).
        common: by settings in words, the verdict on the validation Dice of trials in which all losses had them.
        repeats: of each trial.
        problems: sentences on records whose trials cannot be read.
    """

    choices: dict[tuple[str, str, str], Choice] = field(default_factory=dict)
    common: dict[str, Verdict] = field(default_factory=dict)
    repeats: int = 0
    problems: list[str] = field(default_factory=list)


def read_trials(study: Study, losses: Sequence[str]) -> Trials:
    """What the records of a study say of its trials; nothing where nothing was tuned.

    Args:
        losses: those that are compared.
    """
    found = Trials()
    rows = study.runs[study.runs["loss"].isin(losses) & study.runs["settings"].ne("")]
    if rows.empty or RunFolder(study.directory / rows["path"].iloc[0]).read().tuning is None:
        return found
    for key, group in rows.groupby(["dataset", "model", "loss"], sort=True, observed=True):
        address = RunFolder(study.directory / group["path"].iloc[0])
        try:
            choice = Choice.from_json(address.read().tuning)
            _check(choice)
            found.choices[key] = choice
        except (UnreadableError, FileNotFoundError) as error:
            found.problems.append(f"{address.address}: what was tuned cannot be read ({error}).")
    tables = _tables(found.choices, losses)
    found.repeats = min((table.index.get_level_values("repeat").nunique() for table in tables.values()), default=0)
    found.common = {settings: judge(table) for settings, table in tables.items()}
    return found


def sentences(trials: Trials, tuned: Verdict | None) -> list[str]:
    """What a common setting would have said, beside the tuned answer, and choices at the edge of what was tried."""
    text = []
    if 1 < len(trials.common) <= _MOST_TOLD and tuned is not None:
        each: dict[str, list[str]] = {}
        for settings, verdict in trials.common.items():
            each.setdefault(_of(verdict), []).append(settings[:_LONGEST])
        parts = join([f"{what} at {join(settings)}" for what, settings in each.items()])
        best = {verdict.losses[0] for verdict in trials.common.values()} | {tuned.losses[0]}
        told = any(verdict.unit != "none" for verdict in trials.common.values())
        count = counted(trials.repeats, "repeat")
        text.append(
            f"Of the trials (validation Dice, {count}{'' if told else ', not tested'}), with the same settings for all "
            f"losses: {parts}. Tuned for each loss, on test images: {_of(tuned)}. The highest mean is "
            f"{'' if len(best) == 1 else 'not '}that of the same loss in all of these."
        )
    return [*text, *_edges(trials)]


def _edges(trials: Trials) -> list[str]:
    """Choices at the end of what was tried."""
    counts: dict[tuple[str, str], int] = {}
    for (_, _, loss), choice in trials.choices.items():
        for key in choice.edge:
            what = (describe({key: choice.settings.get(key)})[:_LONGEST], loss)
            counts[what] = counts.get(what, 0) + 1
    by_setting: dict[str, list[str]] = {}
    for (setting, loss), count in sorted(counts.items()):
        cells = sum(key[2] == loss for key in trials.choices)
        by_setting.setdefault(setting, []).append(f"{loss_name(loss)} ({count} of {cells})")
    return [
        f"{setting} is the end of what was tried, and was chosen by {join(losses)} (in brackets, in how many of its "
        "dataset x model cells): a wider range may serve better."
        for setting, losses in by_setting.items()
    ]


def rows(trials: Trials) -> pd.DataFrame:
    """One row a dataset, model and loss: what was chosen, at an end of the range or not, and all that was tried."""
    table = [
        (
            dataset_name(dataset),
            model_name(model),
            loss_name(loss),
            describe(choice.settings)[:_LONGEST],
            "yes" if choice.edge else "no",
            "; ".join(
                f"{describe(each['settings'])[:_LONGEST]}: {_mean(each['val_dice']):.4f}" for each in choice.tried
            ),
        )
        for (dataset, model, loss), choice in trials.choices.items()
    ]
    columns = ["Dataset", "Model", "Loss", "Chosen", "At the end of the range", "Validation Dice of what was tried"]
    return pd.DataFrame(table, columns=columns)


def _of(verdict: Verdict) -> str:
    best = f"{loss_name(verdict.losses[0])} is highest"
    return best if verdict.unit == "none" or verdict.nothing_learned else f"{best} ({brief(verdict)})"


def _check(choice: Choice) -> None:
    """Look whether what was tried is settings with scores.

    Raises:
        UnreadableError: it is not.
    """
    for each in choice.tried:
        scores = each.get("val_dice") if isinstance(each, dict) else None
        if not isinstance(scores, list) or not scores or not isinstance(each.get("settings"), dict):
            raise UnreadableError("what was tried is no list of settings and scores")
        if not all(is_number(score) and 0 <= score <= 1 for score in scores):
            raise UnreadableError("scores of what was tried are not between 0 and 1")


def _tables(choices: dict[tuple[str, str, str], Choice], losses: Sequence[str]) -> dict[str, pd.DataFrame]:
    """By settings in words, validation Dice of trials, (dataset, model, repeat) x losses, where every loss has them."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for (dataset, model, loss), choice in choices.items():
        for each in choice.tried:
            for repeat, score in enumerate(each["val_dice"]):
                found.setdefault(describe(each["settings"]), []).append((dataset, model, repeat, loss, float(score)))
    tables = {}
    for settings, entries in found.items():
        long = pd.DataFrame(entries, columns=["dataset", "model", "repeat", "loss", "dice"])
        long = long.drop_duplicates(["dataset", "model", "repeat", "loss"])
        table = long.pivot(index=["dataset", "model", "repeat"], columns="loss", values="dice")
        table = table.reindex(columns=list(losses)).dropna()
        if len(table) and len(losses) > 1:
            tables[settings] = table
    return tables


def _mean(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores)
