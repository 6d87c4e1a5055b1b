"""Files that are whole or absent, never half-written; and folders of results, in which nothing foreign is replaced."""

import csv
import errno
import io
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lightning_seg.errors import UnreadableError, UserError

# Disk full, over quota, file too large for the limit, read-only: what fails for one file fails for the next.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

MOST_JSON_BYTES = 64 * 2**20
WRITTEN = ".lightning-seg.json"  # in an output folder: the files that these commands have written there


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make the file under a temporary name, then put it in place of ``path`` in one step.

    The temporary name is the same each time, so what a killed writer leaves is overwritten by the next one.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        write(temporary)
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Wait until a file is on its disk, so that a power cut cannot leave its name without its content."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: object, indent: int = 1) -> None:
    """Write a value as JSON, atomically."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def read_json(path: Path, most_bytes: int = MOST_JSON_BYTES) -> object:
    """The value in a JSON file that may come from anywhere.

    Args:
        path: of the file.
        most_bytes: what it may hold.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableError: it is no regular file, too large, no JSON, nested too deeply, or cannot be opened.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("it is no file")
        if status.st_size > most_bytes:
            raise UnreadableError(f"it is larger than {most_bytes} bytes")
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except OSError as error:
        raise UnreadableError((error.strerror or str(error)).lower()) from error
    except RecursionError as error:
        raise UnreadableError("it is nested too deeply") from error
    except ValueError as error:  # of JSON, of UTF-8, of numbers with thousands of digits
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError(f"it is no JSON: {str(error).splitlines()[0].rstrip('.')}") from error


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV, with line feeds."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def unwritable(error: BaseException | None) -> str | None:
    """In words, that a disk takes no more files, if an exception or what led to it says so; else ``None``."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # `raise cause from error` closes a circle
        seen.add(id(error))
        number = error.errno if isinstance(error, OSError) else None
        if in_words := re.search(r"\(os error (\d+)\)", str(error)):  # safetensors', which are no OSError
            number = int(in_words[1])
        if number in _UNWRITABLE:
            return os.strerror(number).lower()
        error = error.__cause__ or error.__context__
    return None


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
