"""Unpacking an archive that one did not make oneself."""

import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from lightning_seg.errors import UserError

ARCHIVES = (".zip", ".rar", ".tar", ".tar.gz", ".tgz")
_CHUNK = 1 << 20
_MOST_MEMBERS = 30_000  # files and folders; published archives hold up to 8,250
_MOST_HEADER = 1 << 20  # bytes of a tar's headers before a member; a few kilobytes of zeros may become gigabytes
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile),
    *(EOFError, RuntimeError, NotImplementedError, ValueError, struct.error),
)


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
    except _DAMAGE as error:
        raise UserError(f"{archive}: cannot be unpacked ({' '.join(str(error).split())}).") from error


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    name = archive.name.lower()
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            yield _zip_members(opened)
    elif name.endswith(".rar"):
        yield _rar_members(archive)
    elif name.endswith(ARCHIVES):
        with archive.open("rb") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if is_packed else nullcontext(file) as content:
                yield _tar_members(_Bounded(cast(IO[bytes], content)))
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


class _Bounded:
    """A file of which :mod:`tarfile`, which takes any header's word for its length, reads so much and no more.

    Attributes:
        left: bytes that may be read; ``None`` for any number.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.left: int | None = _MOST_HEADER

    def read(self, size: int = -1) -> bytes:
        if self.left is not None:
            self.left -= size
            if size < 0 or self.left < 0:
                raise tarfile.ReadError("a header takes more than a mebibyte")
        return self._file.read(size)


def _tar_members(file: _Bounded) -> Iterator[Member]:
    with tarfile.open(fileobj=cast(IO[bytes], file), mode="r:") as archive:
        while True:
            file.left = _MOST_HEADER
            info = archive.next()
            if info is None:
                return
            file.left = None
            if info.isreg():
                content = archive.extractfile(info)
                assert content is not None
                yield Member(info.name, "file", _chunks(content))
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
