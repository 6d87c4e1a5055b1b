"""Caches that lie on the disk, and which of them no dataset can use any more."""

import json
import logging
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lightning_seg.data.dataset import FileDataset, LesionDataset
from lightning_seg.files import read_json, write_text
from lightning_seg.wording import counted

log = logging.getLogger(__name__)

ORIGIN = "origin.json"  # in a cache: of which files it was made


@dataclass(frozen=True)
class KeptCache:
    """A cache on the disk.

    Attributes:
        path: its folder.
        bytes: its size.
        outdated: a file that it was made of has changed or gone, so that nothing finds it any more; ``None`` if that is
            not known: the dataset's folder is not there, or an older version has made the cache.
    """

    path: Path
    bytes: int
    outdated: bool | None


def write_origin(dataset: LesionDataset, folder: Path) -> None:
    """Note in a cache's folder of which files it is made."""
    if isinstance(dataset, FileDataset):
        origin = {"root": str(dataset.root.resolve()), "files": dataset.signature()}
        write_text(folder / ORIGIN, json.dumps(origin))


def note_origin(dataset: LesionDataset, folder: Path) -> None:
    """Note where a cache's files lie now, if they have moved since it was made, or an older version made it."""
    if not isinstance(dataset, FileDataset):
        return
    with suppress(OSError, ValueError, KeyError, TypeError):
        if read_json(folder / ORIGIN)["root"] == str(dataset.root.resolve()):
            return
    with suppress(OSError):  # of a cache that is only there to be read
        write_origin(dataset, folder)


def kept_caches(directory: Path) -> list[KeptCache]:
    """The caches in a directory, by name."""
    found = [path.parent for path in directory.glob("*/ids.json")] if directory.is_dir() else []
    folders = sorted(folder for folder in found if not folder.is_symlink())  # whose files lie elsewhere
    return [KeptCache(folder, _bytes(folder), _is_outdated(folder / ORIGIN)) for folder in folders]


def remove_outdated(directory: Path) -> list[KeptCache]:
    """Remove the caches that nothing finds any more, and say which."""
    outdated = [cache for cache in kept_caches(directory) if cache.outdated]
    for cache in outdated:
        shutil.rmtree(cache.path)
        cache.path.with_name(cache.path.name + ".lock").unlink(missing_ok=True)
    return outdated


def tell_outdated(directory: Path) -> None:
    """Log how much the caches take that nothing finds any more, if there are any."""
    outdated = [cache for cache in kept_caches(directory) if cache.outdated]
    if outdated:
        size = sum(cache.bytes for cache in outdated) / 2**20
        log.info(
            "%s of data that have changed, of %.0f MiB in %s; `lightning-seg caches --remove` removes them.",
            counted(len(outdated), "cache"),
            size,
            directory,
        )


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _is_outdated(origin: Path) -> bool | None:
    try:
        content = read_json(origin)
        root = Path(content["root"])
        files = [entry for entry in content["files"] if len(entry) == 3 and isinstance(entry[1], int)]
        return any(not _is_as_then(root / name, size, time) for name, size, time in files) if root.is_dir() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_as_then(path: Path, size: int, time: int) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (size, time)
