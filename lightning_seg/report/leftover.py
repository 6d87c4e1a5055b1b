"""What earlier reports have left in a report's folder and this one does not write: it shows other numbers."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lightning_seg.errors import UnreadableError
from lightning_seg.files import read_json, write_json

WRITTEN = ".written.json"  # in the report's folder
_OURS = re.compile(r"(tables/)?[^/\\\x00]+\.(csv|tex)")  # the list may come from anywhere: no other file is removed


def keep_only(report: Path, names: Collection[str]) -> None:
    """Remove tables and lists that an earlier report has written and this one has not, and note its own.

    Args:
        report: the report's folder.
        names: the files of this report, relative to it, that another one need not have.
    """
    noted = _read(report)
    earlier = noted.get("files")
    for name in set(filter(_is_ours, earlier if isinstance(earlier, list) else ())) - set(names):
        (report / name).unlink(missing_ok=True)
    write_json(report / WRITTEN, noted | {"files": sorted(names)})


def note_bundle(bundle: Path, made: str | None) -> None:
    """Note what the bundle that has just been written into a report's folder was made of."""
    write_json(bundle.parent / WRITTEN, _read(bundle.parent) | {"bundle": made})


def remove_outdated_bundle(bundle: Path, made: str | None) -> bool:
    """Remove the bundle beside a page, if this program has written it and it is not of the page's records and settings.

    Args:
        bundle: the zip file, which need not be there.
        made: of what the page is made; None where that changes by itself.
    """
    noted = _read(bundle.parent)
    if "bundle" not in noted or (made is not None and noted["bundle"] == made):
        return False
    there = bundle.is_file()
    bundle.unlink(missing_ok=True)
    write_json(bundle.parent / WRITTEN, {key: value for key, value in noted.items() if key != "bundle"})
    return there


def has_bundle(report: Path) -> bool:
    """Whether this program has written a bundle into a report's folder."""
    return "bundle" in _read(report)


def _is_ours(name: object) -> bool:
    return isinstance(name, str) and _OURS.fullmatch(name) is not None


def _read(report: Path) -> dict[str, Any]:
    try:
        found = read_json(report / WRITTEN)
    except (OSError, UnreadableError):
        return {}
    return found if isinstance(found, dict) else {}
