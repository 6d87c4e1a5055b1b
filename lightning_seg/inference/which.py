"""Which run to name, where what was named is none."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from lightning_seg.runs.folder import RESULT, WEIGHTS, RunFolder, repeats_in
from lightning_seg.runs.record import Record
from lightning_seg.studies.folder import study_names
from lightning_seg.wording import agreeing, counted

_STUDIES = Path("multirun")  # where studies lie unless output_dir says otherwise
_SET_ANEW = ("rerun", "keep_weights")

_Finished = tuple[RunFolder, Record]


def for_absent(path: Path) -> str:
    """What to type for a path that does not exist: it may be one below the folder of studies."""
    below = _STUDIES / path
    if path.is_absolute() or not below.is_dir():
        known = study_names(_STUDIES)
        studies = f"; studies in {_STUDIES} are {', '.join(known)}" if known else ""
        return f"give a run's folder or its {WEIGHTS}{studies}."
    if RunFolder(below).record() is not None or any(run.record() is not None for run in repeats_in(below)):
        return f"there is {below}: name that."
    return f"there is {below}, which holds {_best_of(_runs_below(below))}"


def for_no_run(path: Path) -> str:
    """What to type for a folder or file that is there and is none of a run."""
    if path.is_file() and path.suffix != Path(WEIGHTS).suffix:
        return f"{path} is no file of weights: give a run's folder first, and what it shall work on after it."
    if path.is_dir() and (runs := _runs_below(path)):
        return f"{path} is no run's folder: it holds {_best_of(runs)}"
    folder = path if path.is_dir() else path.parent
    return f"{folder} holds no finished run; weights need their run's {RESULT} beside them."


def for_no_weights(folder: RunFolder) -> str:
    """What to type for a finished run that has kept no weights."""
    others = [run for run in folder.siblings() if run.weights.is_file() and run.record() is not None]
    if others:
        names = ", ".join(run.path.name for run in others)
        have = agreeing(len(others), "have")
        return (
            f"{folder.path} has kept no {WEIGHTS}, but {names} {have}: name {others[0].path}, or{_train_again(folder)}"
        )
    return f"{folder.path} has kept no {WEIGHTS};{_train_again(folder)}"


def _runs_below(folder: Path) -> list[_Finished]:
    """The finished runs in the folder of studies, a study, a dataset, a model or a cell."""
    paths = [path for depth in range(5) for path in sorted(folder.glob(f"{'*/' * depth}repeat_*/{RESULT}"))]
    found = ((run, run.record()) for run in map(RunFolder, (path.parent for path in paths)))
    return [(run, record) for run, record in found if record is not None]


def _best_of(runs: Iterable[_Finished]) -> str:
    """In words, how many runs there are, and which of them to name."""
    runs = list(runs)
    if not runs:
        return "no finished run."
    usable = [(run, record) for run, record in runs if run.weights.is_file()]
    run, record = max(usable or runs, key=lambda each: _score(each[1]))
    count = counted(len(runs), "finished run")
    best = f"the highest validation Dice, {_score(record):.3f}"
    if not usable:
        return f"{count}, none of which has kept its {WEIGHTS}. {run.path} has {best};{_train_again(run)}"
    kept = "" if len(usable) == len(runs) else f", of which {len(usable)} kept weights"
    return f"{count}{kept}; name one, such as {run.path} ({best})."


def _score(record: Record) -> float:
    return record.best_val_dice if record.best_val_dice is not None else 0.0


def _train_again(run: RunFolder) -> str:
    """The line that trains a run again, with the arguments that it records."""
    record = run.record()
    arguments = [each for each in record.overrides if each.split("=")[0] not in _SET_ANEW] if record else []
    line = shlex.join(["lightning-seg", "train", *arguments, "rerun=true", "keep_weights=true"])
    return f" train it again: {line}" if arguments else " train it again with rerun=true keep_weights=true."
