"""What earlier reports have left in a report's folder and this one does not write: it shows other numbers."""

import re
from collections.abc import Collection
from pathlib import Path

from lightning_seg.files import read_notes, write_json

NOTES = ".written.json"  # in the report's folder
_OURS = re.compile(r"(tables/)?[^/\\\x00]+\.(csv|tex)")  # the list may come from anywhere: no other file is removed


def keep_only(report: Path, names: Collection[str]) -> None:
    """Remove tables and lists that an earlier report has written and this one has not, and note its own.

    Args:
        report: the report's folder.
        names: the files of this report, relative to it, that another one need not have.
    """
    noted = read_notes(report / NOTES)
    earlier = noted.get("files")
    for name in set(filter(_is_ours, earlier if isinstance(earlier, list) else ())) - set(names):
        (report / name).unlink(missing_ok=True)
    write_json(report / NOTES, noted | {"files": sorted(names)})


def note_bundle(bundle: Path, made: str | None) -> None:
    """Note of what the bundle that has just been written into a report's folder was made; None where that is unsure."""
    write_json(bundle.parent / NOTES, read_notes(bundle.parent / NOTES) | {"bundle": made or ""})


def noted_bundle(report: Path) -> str | None:
    """Of what the bundle in a report's folder was made; None where this program has written none there."""
    made = read_notes(report / NOTES).get("bundle")
    return made if isinstance(made, str) else None


def _is_ours(name: object) -> bool:
    return isinstance(name, str) and _OURS.fullmatch(name) is not None
