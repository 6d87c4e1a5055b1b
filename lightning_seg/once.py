"""What is said once: in a process, and in all processes of this machine that do the runs of one grid."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

VARIABLE = "LIGHTNING_SEG_TOLD"  # the environment variable that names the folder in which processes note what they say
_told: set[str] = set()


def is_news(*about: object) -> bool:
    """Whether nobody has spoken about this yet; from now on somebody has."""
    key = hashlib.sha256("\0".join(map(str, about)).encode(errors="surrogateescape")).hexdigest()
    if key in _told:
        return False
    _told.add(key)
    return VARIABLE not in os.environ or _is_first(Path(os.environ[VARIABLE]) / key)


@contextmanager
def shared() -> Iterator[str]:
    """Let processes whose environment has ``VARIABLE`` say nothing that was said here, and nothing twice.

    Yields:
        the variable's value.
    """
    with TemporaryDirectory(prefix="lightning-seg-told-", ignore_cleanup_errors=True) as folder:
        for key in _told:
            _is_first(Path(folder) / key)
        yield folder


def _is_first(note: Path) -> bool:
    try:
        note.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:  # on another machine; better twice than not at all
        pass
    return True
