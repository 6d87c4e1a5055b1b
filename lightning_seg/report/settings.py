"""Whether the runs of a study were made with the same settings, so that their losses can be compared."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lightning_seg.runs.fingerprint import belongs, essential, flatten
from lightning_seg.wording import counted

_LONGEST = 200  # characters of a value
_MOST_VALUES = 4  # that are told of one setting


def shared_settings(config: dict[str, Any], tuned: Iterable[str] = ()) -> dict[str, Any]:
    """The flat settings that a fair comparison of losses holds fixed: all essential ones but the loss and the repeat.

    Args:
        config: a run's nested, resolved configuration.
        tuned: keys that trials have chosen for the loss, which are its own.
    """
    own = ("repeat", "loss", *tuned)
    return {key: value for key, value in essential(flatten(config)).items() if not belongs(key, own)}


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Short hash of shared settings, equal where the settings are."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:12]


def describe_differences(settings: Sequence[Mapping[str, Any]], cells: Sequence[tuple[str, str]]) -> list[str]:
    """Sentences on the settings that differ between runs of one (dataset, model) cell.

    Args:
        settings: what :func:`shared_settings` gave for every run.
        cells: the (dataset, model) of every run; a setting that is constant in each cell may differ between cells.
    """
    values: dict[str, dict[tuple[str, str], dict[str, int]]] = {}
    for setting, cell in zip(settings, cells, strict=True):
        for key, value in setting.items():
            counts = values.setdefault(key, {}).setdefault(cell, {})
            text = json.dumps(value, default=str)[:_LONGEST]
            counts[text] = counts.get(text, 0) + 1
    sentences = []
    for key, by_cell in sorted(values.items()):
        mixed = [cell for cell, counts in by_cell.items() if len(counts) > 1]
        if mixed:
            total: dict[str, int] = {}
            for cell in mixed:
                for text, count in by_cell[cell].items():
                    total[text] = total.get(text, 0) + count
            ordered = sorted(total.items(), key=lambda item: -item[1])
            parts = ", ".join(f"{text} in {counted(count, 'run')}" for text, count in ordered[:_MOST_VALUES])
            if len(ordered) > _MOST_VALUES:
                parts += f" and {counted(len(ordered) - _MOST_VALUES, 'other value')}"
            sentences.append(f"{key} is {parts} ({counted(len(mixed), 'dataset x model cell')}).")
    return sentences
