"""Unpacking an archive that one did not make oneself."""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from lightning_seg.errors import UserError

ARCHIVES = (".zip", ".rar", ".tar", ".tar.gz", ".tgz")
_CHUNK = 1 << 20
_MOST_MEMBERS = 30_000  # files and folders; published archives hold up to 8,250


class Member(NamedTuple):
    """A file, folder or something else in an archive.

    Attributes:
        path: as written in the archive, with forward slashes.
        kind: ``file``, ``folder`` or ``other`` (a link, a device).
        chunks: the file's bytes; to be used before the next member is asked for.
    """

    path: str
    kind: str
    chunks: Iterable[bytes]


def is_archive(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(ARCHIVES)


def unpack(archive: Path, target: Path, limit: int, only: str = "") -> None:
    """Unpack a zip, rar or tar archive into the folder ``target``.

    Args:
        archive: the archive.
        target: an existing folder; on an error, what has been unpacked so far is left there.
        limit: the most bytes that may come out.
        only: unpack only members whose path contains this.

    Raises:
        UserError: the archive is damaged, encrypted or of an unknown kind, holds a link or a path that leads out of
            the target, holds more than ``limit`` bytes or tens of thousands of files, or is a rar and
            libarchive is not installed.
    """
    total = 0
    try:
        with _members(archive) as members:
            for number, member in enumerate(members):
                if number >= _MOST_MEMBERS:
                    raise UserError(f"{archive}: holds more than {_MOST_MEMBERS:,} files; refused.")
                path = PurePosixPath(member.path)
                if path.is_absolute() or any(part == ".." or ":" in part for part in path.parts):
                    raise UserError(
                        f"{archive}: its member {member.path!r} would be written outside the target; refused."
                    )
                if member.kind == "other":
                    raise UserError(f"{archive}: its member {member.path!r} is a link or a device; refused.")
                if member.kind == "folder" or only not in member.path:
                    continue
                destination = target / path
                destination.parent.mkdir(parents=True, exist_ok=True)
                with destination.open("xb") as file:
                    for chunk in member.chunks:
                        total += len(chunk)
                        if total > limit:
                            raise UserError(
                                f"{archive}: unpacks to more than the {limit / 10**6:,.0f} MB that this dataset can "
                                "need; refused."
                            )
                        file.write(chunk)
    except FileExistsError as error:
        raise UserError(f"{archive}: holds {error.filename} twice; refused.") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"{archive}: cannot be unpacked ({error}).") from error


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    name = archive.name.lower()
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            yield _zip_members(opened)
    elif name.endswith(".rar"):
        yield _rar_members(archive)
    elif name.endswith(ARCHIVES):
        with tarfile.open(archive) as tar:
            yield _tar_members(tar)
    else:
        raise UserError(f"{archive} is none of {', '.join(ARCHIVES)}; unpack it and give the folder instead.")


def _zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        path = info.filename.replace("\\", "/")
        if info.is_dir():
            yield Member(path, "folder", ())
        elif stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG):
            with archive.open(info) as file:
                yield Member(path, "file", _chunks(file))
        else:
            yield Member(path, "other", ())


def _tar_members(archive: tarfile.TarFile) -> Iterator[Member]:
    for info in archive:
        if info.isreg():
            file = archive.extractfile(info)
            assert file is not None
            yield Member(info.name, "file", _chunks(file))
        else:
            yield Member(info.name, "folder" if info.isdir() else "other", ())


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _rar_members(archive: Path) -> Iterator[Member]:
    try:
        import libarchive
    except (ImportError, OSError, AttributeError, TypeError) as error:  # the wrapper fails so without the library
        raise UserError(
            f"{archive}: to unpack a rar, install libarchive ('apt install libarchive13', 'brew install libarchive') "
            "and 'pip install libarchive-c'; or unpack it with any program and give the folder instead."
        ) from error

    def damaged(error: Exception) -> UserError:
        return UserError(f"{archive}: cannot be unpacked ({error}).")

    def chunks(entry: Any) -> Iterator[bytes]:
        try:
            yield from entry.get_blocks()
        except libarchive.exception.ArchiveError as error:
            raise damaged(error) from error

    try:
        with libarchive.file_reader(str(archive)) as entries:
            for entry in entries:
                kind = "file" if entry.isreg else "folder" if entry.isdir else "other"
                yield Member(entry.pathname.replace("\\", "/"), kind, chunks(entry) if kind == "file" else ())
    except libarchive.exception.ArchiveError as error:
        raise damaged(error) from error
