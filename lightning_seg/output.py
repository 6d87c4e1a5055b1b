"""Folders of results: what a command has not written itself, it does not replace."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from lightning_seg.errors import UserError
from lightning_seg.files import write_text

WRITTEN = ".lightning-seg.json"  # in an output folder: the files that these commands have written there


def check_output(folder: Path, names: Iterable[str], inputs: Sequence[Path] = ()) -> None:
    """Make sure that writing files into a folder destroys nothing; nothing is written yet.

    Args:
        folder: where they will lie; it need not exist.
        names: the files, relative to it.
        inputs: files that are read and must lie elsewhere.

    Raises:
        UserError: the folder is a file, holds an input, or holds one of the files, written by something else.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the results with --output.")
    place = folder.resolve()
    if held := next((path for path in inputs if path.parent.resolve().is_relative_to(place)), None):
        raise UserError(
            f"The output folder {folder} holds the input image {held}: results are not mixed with images and masks; "
            "name another folder with --output."
        )
    written = _written(folder)
    foreign = [name for name in names if name not in written and (folder / name).exists()]
    if foreign:
        more = f" and {len(foreign) - 1} more files" if len(foreign) > 1 else ""
        raise UserError(
            f"{folder / foreign[0]}{more} would be replaced, and no command such as this has written it; name another "
            "place with --output, or move it away."
        )


def mark_output(folder: Path, names: Iterable[str]) -> None:
    """Note, before the first of them is written, that files in a folder are this program's to replace."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / WRITTEN, json.dumps(sorted(_written(folder) | set(names)), indent=0) + "\n")


def _written(folder: Path) -> set[str]:
    try:
        return set(json.loads((folder / WRITTEN).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # absent, or no such list: then nothing is known to be ours
        return set()
