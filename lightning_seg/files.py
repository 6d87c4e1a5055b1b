"""Files that are whole or absent, never half-written."""

import os
from collections.abc import Callable
from pathlib import Path


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make the file under a temporary name, then put it in place of ``path`` in one step.

    The temporary name is the same each time, so what a killed writer leaves is overwritten by the next one.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
