"""Command lines for runs of a study, from how its runs were called for: names of results are no choices."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import NamedTuple

from lightning_seg.config.compose import CONFIG_DIR, compose_config
from lightning_seg.config.overrides import is_plain, override_value, settings_overrides
from lightning_seg.errors import UserError
from lightning_seg.report.records import Study
from lightning_seg.runs.fingerprint import belongs, essential, flatten
from lightning_seg.runs.folder import RunFolder

_CHOSEN = ("dataset", "model", "loss")
_NOT_SHARED = ("model", "loss", "repeat", "dataset.name", "dataset._target_")
# Arguments by their keys, "+" included; None where there is no "=".
_Settings = dict[str, str | None]


class Run(NamedTuple):
    """A run by the names of its results."""

    dataset: str
    model: str
    loss: str
    repeat: int


def train_lines(
    study: Study, runs: Iterable[Run], *more: str, name: str | None = None, by_name: bool = False
) -> str | None:
    """The fewest grids that train these runs and no others, one a line.

    A model that the study does not have yet goes by the name of its configuration.

    Args:
        more: arguments for all of them; of two that set the same, these count.
        name: of another study to run them in.
        by_name: suppose where the records tell nothing that a choice is named as its results are.

    Returns:
        the lines; None where the records do not tell how such runs are called for.
    """
    recorded = _Recorded(study)
    cells = [recorded.settings(run, by_name) for run in runs]
    wanted = [cell for cell in cells if cell is not None]
    if len(wanted) < len(cells) or not cells:
        return None
    set_anew = {argument.partition("=")[0] for argument in more}
    wanted = [{key: value for key, value in cell.items() if key not in set_anew} for cell in wanted]
    place = [f"study={override_value(name or study.name)}"]
    if not _is_usual(study.output_dir):
        place.append(f"output_dir={override_value(str(study.output_dir))}")
    lines = [["lightning-seg", "train", "-m", *place, *_arguments(grid), *more] for grid in _grids(wanted)]
    return "\n".join(" ".join(map(quoted, line)) for line in lines)


def report_line(study: Study, *options: str) -> str:
    """The line that makes a study's report with these options."""
    parent = study.output_dir
    place = [] if _is_usual(parent) else ["--output-dir", str(parent)]
    return " ".join(map(quoted, ["lightning-seg", "report", study.name, *place, *options]))


def quoted(argument: str) -> str:
    """An argument for the shell; what holds single quotes for Hydra goes into double ones, which is easier to read."""
    if re.search(r"[' ]", argument) and not re.search(r'["$`\\!]', argument):
        return f'"{argument}"'
    return argument if re.fullmatch(r"[\w./:=,+@%~-]+", argument) else shlex.quote(argument)


class _Recorded:
    """What the runs of a study were called for with: their most frequent arguments."""

    def __init__(self, study: Study) -> None:
        known = study.runs.dropna(subset=["overrides"])
        calls = [
            (dataset, model, loss, _split(shlex.split(overrides)))
            for dataset, model, loss, overrides in known[[*_CHOSEN, "overrides"]].itertuples(index=False, name=None)
        ]
        self.names = {key: set(study.runs[key]) for key in _CHOSEN}
        self.chosen: dict[tuple[str, str], tuple[str, ...]] = {}
        for place, key in enumerate(_CHOSEN):
            for name in self.names[key]:
                self.chosen[key, name] = _most_frequent(call[3][key] for call in calls if call[place] == name)
        self.others = {
            cell: _most_frequent(call[3]["others"] for call in calls if call[:2] == cell)
            for cell in {call[:2] for call in calls}
        }
        first = calls[0][3]["others"] if calls else ()
        self.common = tuple(argument for argument in first if all(argument in call[3]["others"] for call in calls))
        self.study = study
        self.spelt_out: dict[str, tuple[str, ...]] = {}

    def settings(self, run: Run, by_name: bool = False) -> _Settings | None:
        """How a run is called for; None where the records do not tell."""
        others = self.others.get(run[:2], self.common)
        if run.model not in self.names["model"] and any("experiment" in argument for argument in others):
            if run.dataset not in self.spelt_out:
                self.spelt_out[run.dataset] = self._spell_out(run.dataset)
            others = self.spelt_out[run.dataset]  # an experiment may set what only the study's own networks know
        arguments: list[str] = []
        for key, name in zip(_CHOSEN, run[:3], strict=True):
            chosen = self.chosen.get((key, name), ())
            if not any(argument.startswith(f"{key}=") for argument in chosen):
                if not (by_name or (CONFIG_DIR / key / f"{name}.yaml").is_file()):
                    return None
                chosen = (f"{key}={name}", *chosen)
            arguments += chosen
        arguments += [*others, f"repeat={run.repeat}"]
        if not all(map(is_plain, arguments)):  # records come from anywhere, and the line is there to be run
            return None
        parts = (argument.partition("=") for argument in arguments)
        return {key: value if sign else None for key, sign, value in parts}

    def _spell_out(self, dataset: str) -> tuple[str, ...]:
        """What the study's runs of a dataset have set beside model and loss, each setting by itself."""
        runs = self.study.runs
        for path in runs.loc[runs["overrides"].notna() & (runs["dataset"] == dataset), "path"]:
            record = RunFolder(self.study.directory / path).record()
            if record is None:
                continue
            chosen = [argument for argument in record.overrides if argument.startswith("dataset=")]
            try:
                usual = essential(flatten(compose_config([*filter(is_plain, chosen)])))
            except UserError:
                continue
            recorded = {k: v for k, v in essential(flatten(record.config)).items() if not belongs(k, _NOT_SHARED)}
            return tuple(settings_overrides({k: v for k, v in recorded.items() if k in usual and usual[k] != v}))
        return ()


def _split(arguments: list[str]) -> dict[str, tuple[str, ...]]:
    """Arguments by what they are about: the dataset, the model, the loss, or others."""
    about: dict[str, list[str]] = {key: [] for key in (*_CHOSEN, "others")}
    for argument in arguments:
        group = re.split(r"[./@=]", argument.lstrip("+~"))[0]
        about[group if group in _CHOSEN else "others"].append(argument)
    return {key: tuple(values) for key, values in about.items()}


def _most_frequent(values: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    counts = Counter(values).most_common(1)
    return counts[0][0] if counts else ()


def _grids(cells: list[_Settings]) -> list[dict[str, list[str | None]]]:
    """Cells as grids, each the product of its keys' values: no grid holds a cell that is not wanted."""
    by_keys: dict[tuple[str, ...], list[_Settings]] = {}
    for cell in cells:
        by_keys.setdefault(tuple(cell), []).append(cell)
    grids = []
    for keys, group in by_keys.items():
        distinct = list(dict.fromkeys(tuple(cell.items()) for cell in group))
        values = {key: list(dict.fromkeys(cell[key] for cell in group)) for key in keys}
        if prod(map(len, values.values())) == len(distinct):
            grids.append(values)
            continue
        split = next(key for key in keys if len(values[key]) > 1)
        for value in values[split]:
            grids += _grids([cell for cell in group if cell[split] == value])
    return grids


def _arguments(grid: dict[str, list[str | None]]) -> list[str]:
    return [
        key if values == [None] else f"{key}={','.join(value or '' for value in values)}"
        for key, values in grid.items()
    ]


def _is_usual(parent: Path) -> bool:
    return parent.resolve() == Path("multirun").resolve()
