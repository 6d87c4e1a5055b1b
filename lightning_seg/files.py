"""Files that are whole or absent, never half-written."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

# Disk full, over quota, file too large for the limit, read-only: what fails for one file fails for the next.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


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
