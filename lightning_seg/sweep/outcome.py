"""What became of the cells of a sweep, and the words for it."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lightning_seg.runs.folder import RunFolder
from lightning_seg.terminal import to_copy
from lightning_seg.wording import counted, filled, printable


class Outcome(StrEnum):
    """What became of a cell."""

    RAN = "ran"
    DIVERGED = "diverged"  # ran, until its loss was no longer finite
    SKIPPED = "skipped"
    FAILED = "failed"
    ELSEWHERE = "elsewhere"  # another process has it
    STOPPED = "stopped"  # on request, before its end


Outcomes = dict[RunFolder, Outcome]


def contents(folders: Sequence[RunFolder]) -> str:
    """What runs there are and where they go: "4 runs (1 dataset, 1 network, 2 losses, 2 repeats) in multirun/mine"."""
    sizes = [
        counted(len({getattr(folder, level) for folder in folders}), noun)
        for level, noun in (("dataset", "dataset"), ("model", "network"), ("loss", "loss"), ("repeat", "repeat"))
    ]
    studies = sorted({folder.study for folder in folders})
    place = studies[0] if len(studies) == 1 else f"{len(studies)} folders in {studies[0].parent}"
    return printable(f"{counted(len(folders), 'run')} ({', '.join(sizes)}) in {place}")


def print_summary(outcomes: Mapping[RunFolder, Outcome], cells: int, trials: Mapping[RunFolder, Outcome]) -> None:
    """Print the failures of a sweep, and how many of its trials and runs came to what end.

    Args:
        outcomes: of the runs.
        cells: how many runs there are.
        trials: what became of the trials before them.
    """
    console = Console()
    if failed := [folder for folder, outcome in (*trials.items(), *outcomes.items()) if outcome is Outcome.FAILED]:
        console.print("\nFailures")
        for folder in failed:
            failure = folder.failure()
            console.print(Text(printable(folder.path)), soft_wrap=True)  # is there to be copied
            reason = printable(failure.message) if failure else "ended without a word (killed?)"
            console.print(Text(filled(reason, console.width, indent="  ")), soft_wrap=True)
        console.print()
    if trials:
        console.print(f"trials: {', '.join(_counts(trials.values()))}", highlight=False)
    left = cells - len(outcomes)
    console.print(", ".join([*_counts(outcomes.values()), *([f"{left} not started"] if left else [])]), highlight=False)
    for study in sorted({folder.study for folder in outcomes}):
        place = "" if study.parent == Path("multirun") else f" --output-dir {shlex.quote(str(study.parent))}"
        for command in ("status", "report"):
            line = f"lightning-seg {command} {shlex.quote(study.name)}{place}"
            console.print(to_copy(line, console), highlight=False, markup=False, soft_wrap=True)


def _counts(outcomes: Iterable[Outcome]) -> list[str]:
    counts = Counter(outcomes)
    return [f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome]]
