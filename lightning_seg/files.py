"""Files that are whole or absent, never half-written; and folders of results, in which nothing foreign is replaced."""

import csv
import errno
import io
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.wording import as_cell, counted

# Disk full, over quota, file too large for the limit, read-only: what fails for one file fails for the next.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

MOST_JSON_BYTES = 64 * 2**20
MOST_TABLE_BYTES = 64 * 2**20
WRITTEN = ".lightning-seg.json"  # in an output folder: the files that these commands have written there
_FILE_ENDINGS = (
    *(".csv", ".htm", ".html", ".json", ".md", ".npy", ".npz", ".parquet", ".pdf", ".txt", ".xlsx", ".zip"),
    *(".gif", ".jpeg", ".jpg", ".png", ".svg", ".tif", ".tiff", ".onnx", ".pt", ".pt2", ".pth", ".safetensors"),
)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has no such flag, and makes no links for ordinary users


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make the file under a temporary name, then put it in place of ``path`` in one step.

    The temporary file is new and its name is random: nothing that lies there is written through, and two writers do
    not meet. ``path`` itself is replaced, where it is a link too. Permissions are those of any new file.

    Raises:
        OSError: it cannot be written; ``filename`` is ``path``.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o666)
        mode = stat.S_IMODE(os.fstat(file).st_mode)
        os.close(file)
        write(temporary)
        if stat.S_IMODE(temporary.stat().st_mode) != mode:  # some libraries make a file of their own
            temporary.chmod(mode)
        sync(temporary)
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        number = _unwritable_number(error)
        if number is not None and not isinstance(error, OSError):  # a library's own error
            raise OSError(number, os.strerror(number), str(path)) from error
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise


class TellingFile:
    """A binary file for writers in C++ that end the process, or speak of something else, where a disk is full.

    The first error is kept, and nothing more is written; :meth:`tell_error` raises it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write, or drop, ``data``; returns its length in bytes."""
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._error = error
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Pass on what is buffered."""
        if self._error is None:
            try:
                self._file.flush()
            except OSError as error:
                self._error = error

    def tell_error(self) -> None:
        """Raise the first error, if there was one."""
        self.flush()
        if self._error is not None:
            raise self._error


@contextmanager
def telling_file(path: Path) -> Iterator[TellingFile]:
    """A file to be written as :class:`TellingFile`.

    Raises:
        OSError: it could not be written.
    """
    with path.open("wb", buffering=0) as file:
        telling = TellingFile(file)
        yield telling
        telling.tell_error()


def sync(path: Path) -> None:
    """Wait until a file is on its disk, so that a power cut cannot leave its name without its content."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically."""
    write_atomic(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: object, indent: int = 1) -> None:
    """Write a value as JSON, atomically."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def refuse_links(path: Path, top: Path) -> None:
    """Make sure that what is written below ``top`` stays there: none of the folders from it to ``path`` is a link.

    Raises:
        UserError: one is; a received folder might send results anywhere.
    """
    for part in (path, *path.parents):
        if part == top:
            return
        if part.is_symlink():
            raise UserError(
                f"{part} is a link: results are written into plain folders alone, so that a folder from elsewhere "
                "sends them nowhere; remove it."
            )


def open_plain(path: Path, most_bytes: int, follow: bool = False) -> BinaryIO:
    """Open a file that may come from anywhere: a regular one, not by a link, of a bounded size.

    Args:
        path: of the file.
        most_bytes: what it may hold.
        follow: take a link to such a file as well, as for images, of which whole folders of links are usual.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableError: it is something else, larger, or cannot be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # without which a pipe would wait for a writer
    try:
        file = os.open(path, flags if follow else flags | _NO_FOLLOW)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnreadableError("it is a link") from error
        raise UnreadableError((error.strerror or str(error)).lower()) from error
    except ValueError as error:  # a NUL in its name
        raise FileNotFoundError(errno.ENOENT, str(error), str(path)) from error
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_size > most_bytes:
        os.close(file)
        is_file = stat.S_ISREG(status.st_mode)
        raise UnreadableError(f"it is larger than {most_bytes} bytes" if is_file else "it is no file")
    return os.fdopen(file, "rb")


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """The content of a file that may come from anywhere.

    Raises:
        FileNotFoundError, UnreadableError: as :func:`open_plain`.
    """
    with open_plain(path, most_bytes) as file:
        try:
            return file.read(most_bytes)  # no more, should it grow
        except OSError as error:
            raise UnreadableError((error.strerror or str(error)).lower()) from error


def read_json(path: Path, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """The value in a JSON file that may come from anywhere.

    Args:
        path: of the file.
        most_bytes: what it may hold.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableError: it is no regular file, too large, no JSON, nested too deeply, or cannot be opened.
    """
    content = read_bytes(path, most_bytes)
    try:
        value = json.loads(content.decode("utf-8-sig"))
        if re.search(rb"\\u[dD][89a-fA-F]", content):
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a character can be written nowhere
        return value
    except RecursionError as error:
        raise UnreadableError("it is nested too deeply") from error
    except UnicodeError as error:
        raise UnreadableError("its text is no UTF-8") from error
    except ValueError as error:  # of JSON, of numbers with thousands of digits
        raise UnreadableError(f"it is no JSON: {str(error).splitlines()[0].rstrip('.')}") from error


def read_notes(path: Path) -> dict[str, Any]:
    """What this program has noted for itself in a JSON file: an object; empty where none can be read there."""
    try:
        found = read_json(path)
    except (OSError, UnreadableError):
        return {}
    return found if isinstance(found, dict) else {}


def read_table(path: Path, most_bytes: int = MOST_TABLE_BYTES) -> list[dict[str, str]]:
    """The rows of a CSV file that may come from anywhere, by the names in its first line; each has them all.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableError: it is no such file, or a row is shorter or longer than the first.
    """
    content = read_bytes(path, most_bytes)
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), restval=None))
    except UnicodeError as error:
        raise UnreadableError("its text is no UTF-8") from error
    except csv.Error as error:
        raise UnreadableError(f"it is no CSV: {error}") from error
    if any(None in row or None in row.values() for row in rows):
        raise UnreadableError("its rows are of different lengths")
    return rows


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV, with line feeds; no text in them is a formula, see :func:`lightning_seg.wording.as_cell`."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([as_cell(value) for value in row] for row in rows)
    return text.getvalue()


def unwritable(error: BaseException | None) -> str | None:
    """In words, that a disk takes no more files, if an exception or what led to it says so; else ``None``."""
    number = _unwritable_number(error)
    return None if number is None else os.strerror(number).lower()


def _unwritable_number(error: BaseException | None) -> int | None:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # `raise cause from error` closes a circle
        seen.add(id(error))
        number = error.errno if isinstance(error, OSError) else None
        if in_words := re.search(r"\(os error (\d+)\)", str(error)):  # safetensors', which are no OSError
            number = int(in_words[1])
        if number in _UNWRITABLE:
            return number
        error = error.__cause__ or error.__context__
    return None


def trace(path: Path) -> str:
    """What changes when a file does: its size and times; "" where there is none.

    No file that arrives from elsewhere has a trace that it could tell beforehand: the time of its last change of state
    is this machine's own.
    """
    try:
        found = path.lstat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


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
    refuse_file_name(folder)
    place = folder.resolve()
    if held := next((path for path in inputs if path.parent.resolve().is_relative_to(place)), None):
        raise UserError(
            f"The output folder {folder} holds the input image {held}: results are not mixed with images and masks; "
            "name another folder with --output."
        )
    written = _written(folder)
    names = list(names)
    for inner in {(folder / name).parent for name in names}:
        refuse_links(inner, folder)
    foreign = [name for name in names if name not in written and os.path.lexists(folder / name)]
    if foreign:
        more = f" and {counted(len(foreign) - 1, 'more file')}" if len(foreign) > 1 else ""
        raise UserError(
            f"{folder / foreign[0]}{more} would be replaced, and no command such as this has written it; name another "
            "place with --output, or move it away."
        )


def refuse_file_name(folder: Path) -> None:
    """Make sure that a folder that is to be made is not called as a file is.

    Raises:
        UserError: it is.
    """
    if folder.suffix.lower() in _FILE_ENDINGS and not folder.is_dir():
        raise UserError(f"{folder} is named as a file, and a folder is to be made: name it {folder.with_suffix('')}.")


def check_output_file(path: Path, endings: Sequence[str]) -> None:
    """:func:`check_output` for a single file, whose name has to say of what kind it will be.

    Args:
        path: of the file.
        endings: those of its kind, such as ``.html``, the usual one first.

    Raises:
        UserError: it is a folder, ends otherwise, or was written by something else.
    """
    if path.is_dir():
        raise UserError(f"--output {path} is a folder; name the file in it, such as {path / f'result{endings[0]}'}.")
    if path.suffix.lower() not in endings:
        kind = endings[0][1:].upper()
        raise UserError(f"--output {path}: what is written is {kind}; name it {path.with_suffix(endings[0])}.")
    check_output(path.parent, [path.name])


def earlier_output(folder: Path) -> str | None:
    """A sentence on what such commands have written into a folder before; ``None`` where they have not."""
    held = [name for name in _written(folder) if os.path.lexists(folder / name)]
    if not held:
        return None
    files = f"{counted(len(held), 'file')} of an earlier command"
    return f"{folder} holds {files}; what has the same name is replaced, the rest stays: --output names another folder."


def mark_output(folder: Path, names: Iterable[str]) -> None:
    """Note, before the first of them is written, that files in a folder are this program's to replace."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / WRITTEN, json.dumps(sorted(_written(folder) | set(names)), indent=0) + "\n")


def _written(folder: Path) -> set[str]:
    try:
        known = read_json(folder / WRITTEN)
    except (OSError, UnreadableError):
        known = None
    return {name for name in known if isinstance(name, str)} if isinstance(known, list) else set()
