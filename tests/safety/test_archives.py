"""Archives that one did not make oneself: nothing of them lands elsewhere, and none takes more than it may."""

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lightning_seg.data.prepare.prepare import prepare
from lightning_seg.data.prepare.sources import SOURCES
from lightning_seg.data.prepare.unpack import unpack
from lightning_seg.errors import UserError

GIBIBYTE = 2**30


def zipped(*members: tuple[str, str], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def tarred(*members: tarfile.TarInfo, mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for member in members:
            member.size = 1 if member.isreg() else 0
            archive.addfile(member, io.BytesIO(b"x") if member.isreg() else None)
    return file.getvalue()


def entry(name: str, **facts: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(info, key, value)
    return info


def great_header(kind: bytes) -> bytes:
    """A header that says it is followed by a gibibyte of names."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, GIBIBYTE
    return gzip.compress(info.tobuf() + bytes(4 * 2**20), 1)


def sparse() -> bytes:
    """A map of holes of which each line becomes two numbers in memory."""
    header = tarfile.TarInfo("x")
    header.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"}
    header.size = 8 * 2**20
    return gzip.compress(header.tobuf(format=tarfile.PAX_FORMAT) + b"4000000\n" + b"0\n" * (4 * 2**20), 1)


REFUSED: dict[str, Callable[[], bytes]] = {
    "a way back.zip": lambda: zipped(("../evil", "a")),
    "another way back.zip": lambda: zipped(("a\\..\\..\\evil", "a")),
    "absolute.zip": lambda: zipped((f"{os.environ['PLACE']}/evil", "a")),
    "a drive.zip": lambda: zipped(("C:/evil", "a")),
    "a file as a folder.zip": lambda: zipped(("x", "a"), ("x/y", "b")),
    "the folder itself.zip": lambda: zipped((".", "a")),
    "twice.zip": lambda: zipped(("x", "a"), ("./x", "b")),
    "no UTF-8.zip": lambda: zipped(("éx", "a")).replace("é".encode(), b"\xff\xfe"),
    "lzma.zip": lambda: zipped(("x", "a" * 999), method=zipfile.ZIP_LZMA).replace(b"]\0\0", b"\xff\0\0", 1),
    "markup [red]\x1b[31m.zip": lambda: zipped(("../[/red]\x1b[2J", "a")),
    "much.zip": lambda: zipped(("x", "0" * 2_000_000), method=zipfile.ZIP_DEFLATED),
    "nothing.zip": lambda: b"",
    "garbage.zip": lambda: b"PK\3\4" + bytes(range(256)),
    "a link.tar": lambda: tarred(entry("x", type=tarfile.SYMTYPE, linkname="/etc/hostname")),
    "a hard link.tar": lambda: tarred(entry("x", type=tarfile.LNKTYPE, linkname="/etc/hostname")),
    "a device.tar": lambda: tarred(entry("x", type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
    "a pipe.tar": lambda: tarred(entry("x", type=tarfile.FIFOTYPE)),
    "through a link.tar": lambda: tarred(
        entry("d", type=tarfile.SYMTYPE, linkname=os.environ["PLACE"]), entry("d/evil")
    ),
    "absolute.tar": lambda: tarred(entry(f"{os.environ['PLACE']}/evil")),
    "a way back.tgz": lambda: tarred(entry("../evil"), mode="w:gz"),
    "names of a gibibyte.tgz": lambda: great_header(tarfile.GNUTYPE_LONGNAME),
    "a header of a gibibyte.tgz": lambda: great_header(tarfile.XHDTYPE),
    "holes.tgz": sparse,
    "cut.tgz": lambda: tarred(entry("x"), mode="w:gz")[:-20],
    "garbage.tar": lambda: bytes(range(256)) * 9,
}


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_of_it_lands_elsewhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", str(tmp_path))
    path = tmp_path / name
    path.write_bytes(REFUSED[name]())
    (tmp_path / "target" / "inner").mkdir(parents=True)
    with pytest.raises(UserError, match=r"refused\.$|cannot be unpacked \(") as caught:
        unpack(path, tmp_path / "target" / "inner", 10**6)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("evil"))
    assert {each.name for each in tmp_path.iterdir()} == {name, "target"}
    assert not any(each.is_symlink() for each in tmp_path.rglob("*"))


def test_no_more_is_read_of_a_header_than_it_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(great_header(tarfile.XHDTYPE))
    asked: list[int] = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda file, size=-1: (asked.append(size), read(file, size))[1])
    with pytest.raises(UserError, match="takes more than a mebibyte"):
        unpack(path, tmp_path, 10**6)
    assert max(asked) < 2**20


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_is_unpacked_whether_packed_or_not(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tarred(entry("d", type=tarfile.DIRTYPE), entry("d/" + "x" * 150), entry("y"), mode=mode))
    (tmp_path / "target").mkdir()
    unpack(path, tmp_path / "target", 2)
    assert (tmp_path / "target" / "y").read_text() == (tmp_path / "target" / "d" / ("x" * 150)).read_text() == "x"


@pytest.mark.parametrize("name", ["markup [red]\x1b[31m.zip", "a way back.zip", "a link.tar", "holes.tgz"])
def test_prepare_leaves_nothing_of_it(name: str, tmp_path: Path) -> None:
    source = next(source for source in SOURCES if source.name == "kvasir")
    path = tmp_path / name
    path.write_bytes(REFUSED[name]())
    console = Console(file=io.StringIO(), width=300)
    with pytest.raises(UserError):
        prepare(source, tmp_path / "data", path, console)
    assert "\x1b" not in console.file.getvalue()  # type: ignore[attr-defined]
    assert not any((tmp_path / "data").glob("*kvasir/*"))
