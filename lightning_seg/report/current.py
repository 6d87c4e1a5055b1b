"""Whether a report is still what would be written: read from the files' traces alone, before anything is loaded."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from lightning_seg import __version__
from lightning_seg.files import read_notes, trace, write_json
from lightning_seg.report.leftover import NOTES
from lightning_seg.runs.claim import CLAIM

_USUAL = "report"
_STAMP = ".current.json"  # in the report's folder
# Of the package, what a report is made by. Files that only other rooms read may change without a report's changing.
_CODE = (
    "report",
    "losses",
    "metrics",
    "runs",
    "studies",
    "catalogue.py",
    "predicted.py",
    "wording.py",
    "data/split.py",
)


def report_dir(study: Path, losses: Sequence[str] = (), metric: str = "dice", beside: Sequence[Path] = ()) -> Path:
    """Where a study's report lies: what it compares otherwise than all losses by Dice in this study is in the name.

    Of some losses, by a metric, with another study it is ``report-bce-dice-by-nsd-with-flips``.
    """
    by = [f"by-{metric}"] if metric != "dice" else []
    return study / "-".join([_USUAL, *losses, *by, *(f"with-{other.resolve().name}" for other in beside)])


def stamp(study: Path, report: Path, arguments: Any) -> str | None:
    """What a report of this study depends on, in short; None where that changes by itself, as a claim does.

    Args:
        arguments: of the report, as JSON has them.
    """
    digest = hashlib.sha256(json.dumps([__version__, code_hash(), arguments], sort_keys=True, default=str).encode())
    others = (written.parent for written in study.glob(f"{_USUAL}-*/{NOTES}"))
    for path in chain(_files(study, study / _USUAL, report, *others), _files(Path("conf"))):  # own losses are in conf
        if path.name == CLAIM:
            return None
        digest.update(f"{path} {trace(path)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def is_current(report: Path, wanted: str | None) -> bool:
    """Whether the report with this stamp lies there, untouched."""
    found = read_notes(report / _STAMP)
    if wanted is None or found.get("stamp") != wanted:
        return False
    files = found.get("files")
    return isinstance(files, dict) and all(trace(report / name) == was for name, was in files.items())


def keep_stamp(report: Path, made: str | None) -> None:
    """Note what the report that has just been written depends on."""
    if made is None:
        (report / _STAMP).unlink(missing_ok=True)
        return
    beside = (_STAMP, NOTES)
    files = [each for each in _files(report, report / "wandb") if each.name not in beside and each.suffix != ".zip"]
    write_json(report / _STAMP, {"stamp": made, "files": {str(p.relative_to(report)): trace(p) for p in files}})


@cache
def code_hash() -> str:
    """What changes with the code that reports are made by."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for name in _CODE:
        top = package / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(folder: Path, *leave_out: Path) -> Iterator[Path]:
    """All files below a folder, sorted, without following links."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if Path(place, name) not in leave_out)
        yield from (Path(place, name) for name in sorted(names))
