"""From an archive or a server to a verified folder, and every way in which that can fail."""

import hashlib
import io
import signal
import ssl
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from lightning_seg.catalogue import DATASETS
from lightning_seg.cli import prepare as commands
from lightning_seg.data.caches import kept_caches
from lightning_seg.data.dataset import FileDataset
from lightning_seg.data.prepare import SOURCES, Source, prepare, source_of
from lightning_seg.data.prepare import download as download_module
from lightning_seg.data.prepare.download import download
from lightning_seg.data.prepare.sources import Remote
from lightning_seg.data.prepare.unpack import unpack
from lightning_seg.data.prepare.verify import verify
from lightning_seg.data.readers.clinicdb import ClinicDb
from lightning_seg.data.readers.kvasir import Kvasir
from lightning_seg.errors import UserError
from tests.conftest import PATIENCE_SECONDS
from tests.data import make_layouts as layouts

SAMPLES = Path(__file__).parents[3] / "shared" / "data"
CONTENT = bytes(range(256)) * 4000


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def zipped(folder: Path) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return output.getvalue()


@pytest.fixture
def quiet() -> Console:
    return Console(file=io.StringIO(), width=400)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Server:
    """A local server; ``behaviour`` of the path decides how a request ends."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.cuts = 0  # how many answers to break off half-way
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.requests.append((self.path, self.headers["Range"]))
                try:
                    self.answer()
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def answer(self) -> None:
                if self.path.startswith("/moved/"):
                    self.send_response(302)
                    self.send_header("Location", self.path.removeprefix("/moved"))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                content = server.files.get(self.path.rsplit("/", 1)[-1])
                if content is None:
                    self.send_error(404)
                    return
                if self.path.startswith("/stalls/"):
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content[:1000])
                    self.wfile.flush()
                    time.sleep(1)
                    self.close_connection = True
                    return
                start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
                if start and self.path.startswith("/norange/"):
                    start = 0
                elif start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                if server.cuts > 0:
                    server.cuts -= 1
                    self.wfile.write(content[start : start + (len(content) - start) // 2])
                    self.wfile.flush()
                    self.close_connection = True
                    return
                self.wfile.write(content[start:])

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.scheme = "http"

    def start(self) -> None:
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.http.server_address[1]}/{path}"

    def remote(self, path: str, content: bytes = CONTENT, checksum: str | None = None) -> Remote:
        name = path.rsplit("/", 1)[-1]
        self.files.setdefault(name, content)
        return Remote(self.url(path), name, len(content), sha256(content) if checksum is None else checksum)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download_module, "PAUSE", 0.0)
    monkeypatch.setattr(download_module, "TIMEOUT", (5, 0.2))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    server.start()
    yield server
    server.http.shutdown()
    server.http.server_close()


class TestDownload:
    @pytest.mark.parametrize("path", ["a.zip", "moved/a.zip", "moved/moved/a.zip"])
    def test_plain_and_redirected(self, path: str, server: Server, tmp_path: Path, quiet: Console) -> None:
        got = download(server.remote(path), tmp_path, "page", quiet)
        assert got == tmp_path / "a.zip" and got.read_bytes() == CONTENT
        assert list(tmp_path.iterdir()) == [got]
        before = len(server.requests)
        download(server.remote(path), tmp_path, "page", quiet)
        assert len(server.requests) == before  # it is there already

    def test_a_cut_connection_is_continued(self, server: Server, tmp_path: Path, quiet: Console) -> None:
        server.cuts = 2
        assert download(server.remote("a.zip"), tmp_path, "page", quiet).read_bytes() == CONTENT
        first, second, third = (asked for _, asked in server.requests)
        assert first is None and second is not None and third is not None
        starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in (second, third)]
        assert 0.4 * len(CONTENT) < starts[0] < 0.65 * len(CONTENT) < starts[1]

    def test_the_next_call_continues_what_was_given_up(self, server: Server, tmp_path: Path, quiet: Console) -> None:
        server.cuts = 5
        with pytest.raises(UserError, match=r"broke off .* run the same command again to continue"):
            download(server.remote("a.zip"), tmp_path, "page", quiet)
        assert [path.name for path in tmp_path.iterdir()] == ["a.zip.part"]
        have = (tmp_path / "a.zip.part").stat().st_size
        assert download(server.remote("a.zip"), tmp_path, "page", quiet).read_bytes() == CONTENT
        assert server.requests[-1][1] == f"bytes={have}-"

    def test_a_server_that_cannot_continue_starts_over(self, server: Server, tmp_path: Path, quiet: Console) -> None:
        (tmp_path / "a.zip.part").write_bytes(b"x" * 1000)
        assert download(server.remote("norange/a.zip"), tmp_path, "page", quiet).read_bytes() == CONTENT

    def test_a_partial_file_that_is_too_long(self, server: Server, tmp_path: Path, quiet: Console) -> None:
        (tmp_path / "a.zip.part").write_bytes(CONTENT + b"more")
        assert download(server.remote("a.zip"), tmp_path, "page", quiet).read_bytes() == CONTENT

    def test_a_wrong_checksum_leaves_nothing(self, server: Server, tmp_path: Path, quiet: Console) -> None:
        with pytest.raises(UserError, match=r"is not the published file .* so it was deleted"):
            download(server.remote("a.zip", checksum=sha256(b"other")), tmp_path, "page", quiet)
        assert not list(tmp_path.iterdir())

    def test_absent(self, server: Server, tmp_path: Path, quiet: Console) -> None:
        remote = Remote(server.url("absent.zip"), "absent.zip", 1, sha256(b""))
        with pytest.raises(UserError, match="answers '404 Not Found'; see whether PAGE names another address"):
            download(remote, tmp_path, "PAGE", quiet)
        assert len(server.requests) == 1 and not list(tmp_path.iterdir())

    def test_a_stalled_server(self, server: Server, tmp_path: Path, quiet: Console) -> None:
        with pytest.raises(UserError, match="broke off"):
            download(server.remote("stalls/a.zip"), tmp_path, "page", quiet)

    def test_no_server(self, server: Server, tmp_path: Path, quiet: Console) -> None:
        remote = server.remote("a.zip")
        server.http.shutdown()
        server.http.server_close()
        with pytest.raises(UserError, match="refused"):
            download(remote, tmp_path, "page", quiet)

    def test_a_certificate_that_cannot_be_verified(self, server: Server, tmp_path: Path, quiet: Console) -> None:
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        try:
            subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("openssl is not installed")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
        server.scheme = "https"
        folder = tmp_path / "downloads"
        folder.mkdir()
        remote = server.remote("a.zip")
        for weak in ("", "md5:" + hashlib.md5(CONTENT).hexdigest()):
            with pytest.raises(UserError, match=r"(?i)certificate verify failed"):
                download(replace(remote, checksum=weak), folder, "page", quiet)
        with pytest.raises(UserError, match="is not the published file"):
            download(replace(remote, checksum=sha256(b"forged")), folder, "page", quiet)
        assert not list(folder.iterdir())
        assert download(remote, folder, "page", quiet).read_bytes() == CONTENT
        assert "cannot be verified" in said(quiet) and remote.checksum.removeprefix("sha256:") in said(quiet)


class TestUnpack:
    @pytest.mark.parametrize("kind", ["zip", "tar", "tgz", "rar"])
    def test_kinds(self, kind: str, tmp_path: Path) -> None:
        members = {"Ground Truth/": b"", "Ground Truth/1.tif": CONTENT, "a/b/c.txt": b"c"}
        unpack(make_archive(tmp_path / f"a.{kind}", members), out := new(tmp_path), 10**8)
        assert (out / "Ground Truth" / "1.tif").read_bytes() == CONTENT
        assert (out / "a" / "b" / "c.txt").read_bytes() == b"c"

    def test_only_some_members(self, tmp_path: Path) -> None:
        archive = make_archive(tmp_path / "a.zip", {"x/wanted part/1": b"1", "x/other/2": b"2"})
        unpack(archive, out := new(tmp_path), 10, only="/wanted part/")
        assert [path.name for path in out.rglob("*") if path.is_file()] == ["1"]

    @pytest.mark.parametrize("kind", ["zip", "tar", "rar"])
    @pytest.mark.parametrize("path", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:/evil.txt"])
    def test_paths_that_lead_out(self, kind: str, path: str, tmp_path: Path) -> None:
        if kind == "tar" and "\\" in path:
            pytest.skip("a backslash is an ordinary letter in a tar")
        archive = make_archive(tmp_path / f"a.{kind}", {path: b"evil"})
        with pytest.raises(UserError, match="outside the target; refused"):
            unpack(archive, new(tmp_path), 100)
        assert not list(tmp_path.rglob("evil.txt")) and not Path("/evil.txt").exists()

    def test_links(self, tmp_path: Path) -> None:
        archive = tmp_path / "a.zip"
        with zipfile.ZipFile(archive, "w") as opened:
            link = zipfile.ZipInfo("link")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            opened.writestr(link, "/etc")
            opened.writestr("link/passwd", "x")
        with pytest.raises(UserError, match="'link' is a link or a device"):
            unpack(archive, new(tmp_path), 100)
        archive = tmp_path / "a.tar"
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            with tarfile.open(archive, "w") as tar:
                info = tarfile.TarInfo("link")
                info.type, info.linkname = kind, "/etc/passwd"
                tar.addfile(info)
            with pytest.raises(UserError, match="'link' is a link or a device"):
                unpack(archive, new(tmp_path), 100)

    @pytest.mark.parametrize("kind", ["zip", "tgz"])
    def test_bombs(self, kind: str, tmp_path: Path) -> None:
        archive = make_archive(tmp_path / f"a.{kind}", {"0": bytes(10**7)})
        assert archive.stat().st_size < 20_000
        with pytest.raises(UserError, match="more than the 3 MB that this dataset can need"):
            unpack(archive, out := new(tmp_path), 3 * 10**6)
        assert sum(path.stat().st_size for path in out.iterdir()) <= 3 * 10**6

    def test_a_zip_that_lies_about_its_size_is_bounded_by_what_comes_out(self, tmp_path: Path) -> None:
        archive = make_archive(tmp_path / "a.zip", {"0": bytes(10**7)})
        content = archive.read_bytes().replace((10**7).to_bytes(4, "little"), (10).to_bytes(4, "little"))
        archive.write_bytes(content)
        with pytest.raises(UserError):
            unpack(archive, out := new(tmp_path), 3 * 10**6)
        assert sum(path.stat().st_size for path in out.iterdir()) <= 3 * 10**6

    @pytest.mark.parametrize("kind", ["zip", "tgz", "rar"])
    def test_damaged(self, kind: str, tmp_path: Path) -> None:
        archive = make_archive(tmp_path / f"a.{kind}", {"1": CONTENT})
        content = archive.read_bytes()
        for broken in (content[: len(content) // 2], b"not an archive", content[:5] + b"\0" * 200 + content[205:]):
            archive.write_bytes(broken)
            with pytest.raises(UserError, match="cannot be unpacked"):
                unpack(archive, new(tmp_path), 10**8)

    def test_twice_the_same_member(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened, pytest.warns(UserWarning, match="Duplicate"):
            opened.writestr("1", b"1")
            opened.writestr("1", b"2")
        with pytest.raises(UserError, match="twice"):
            unpack(tmp_path / "a.zip", new(tmp_path), 100)

    def test_unknown_kinds(self, tmp_path: Path) -> None:
        (tmp_path / "a.7z").write_bytes(b"7z")
        with pytest.raises(UserError, match=r"is none of \.zip, \.rar"):
            unpack(tmp_path / "a.7z", new(tmp_path), 100)

    def test_rar_without_libarchive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        archive = make_archive(tmp_path / "a.rar", {"1": b"1"})
        monkeypatch.setitem(sys.modules, "libarchive", None)
        with pytest.raises(UserError, match=r"install libarchive .* or unpack it with any program"):
            unpack(archive, new(tmp_path), 100)


def make_archive(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    elif path.suffix == ".rar":
        pytest.importorskip("libarchive")
        path.write_bytes(layouts.rar(members))
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
                tar.addfile(info, io.BytesIO(content))
    return path


def new(tmp_path: Path) -> Path:
    folder = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    return folder


MAKE = {
    "isic": layouts.isic,
    "wound": layouts.wound,
    "clinicdb": layouts.clinicdb,
    "kvasir": layouts.kvasir,
    "breast_benign": layouts.busi,
    "breast_malignant": layouts.busi,
}


def entries(folder: Path) -> list[str]:
    """What is in a folder, but the locks that stay there."""
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"]


class TestPrepareFrom:
    @pytest.mark.parametrize("name", DATASETS)
    @pytest.mark.parametrize("form", ["folder", "archive"])
    def test_each_dataset(self, name: str, form: str, tmp_path: Path, quiet: Console) -> None:
        given, data = tmp_path / "given", tmp_path / "data"
        MAKE[name](given)
        layouts.junk(given)
        before = source_of(name).readers[name](given)
        if form == "archive":
            given = tmp_path / "given.zip"
            given.write_bytes(zipped(tmp_path / "given"))
        root = prepare(source_of(name), data, given, quiet)
        after = source_of(name).readers[name](root)
        assert after.ids() == before.ids()
        assert entries(data) == [source_of(name).name]
        assert source_of(name).title.split(",")[0] in said(quiet) and "Please cite" in said(quiet)

    def test_a_rar_of_clinicdb(self, tmp_path: Path, quiet: Console) -> None:
        layouts.clinicdb(tmp_path / "given")
        files = {str(p.relative_to(tmp_path / "given")): p.read_bytes() for p in (tmp_path / "given").rglob("*.tif")}
        archive = make_archive(tmp_path / "CVC-ClinicDB.rar", files)
        root = prepare(source_of("clinicdb"), tmp_path / "data", archive, quiet)
        assert ClinicDb(root).ids() == ["1", "10", "2", "26", "51", "612"]

    def test_a_folder_of_archives(self, tmp_path: Path, quiet: Console) -> None:
        truth = layouts.isic(tmp_path / "unpacked")
        (tmp_path / "given").mkdir()
        for folder in sorted((tmp_path / "unpacked").iterdir()):
            with zipfile.ZipFile(tmp_path / "given" / f"{folder.name}.zip", "w") as archive:
                for path in folder.iterdir():
                    archive.write(path, path.relative_to(folder.parent))
        root = prepare(source_of("isic"), tmp_path / "data", tmp_path / "given", quiet)
        assert source_of("isic").readers["isic"](root).ids() == sorted(truth)

    def test_what_is_there_is_not_prepared_again(self, tmp_path: Path, quiet: Console) -> None:
        layouts.kvasir(tmp_path / "given")
        prepare(source_of("kvasir"), tmp_path / "data", tmp_path / "given", quiet)
        prepare(source_of("kvasir"), tmp_path / "data", None, quiet)
        assert "Already there" in said(quiet)
        with pytest.raises(UserError, match="exists already; remove it first"):
            prepare(source_of("kvasir"), tmp_path / "data", tmp_path / "given", quiet)

    def test_one_class_of_busi_alone(self, tmp_path: Path, quiet: Console) -> None:
        layouts.busi(tmp_path / "given")
        prepare(
            source_of("breast_benign"), tmp_path / "data", tmp_path / "given" / "Dataset_BUSI_with_GT/benign", quiet
        )
        assert "breast_benign" in said(quiet) and "breast_malignant" not in said(quiet)

    def test_bad_input_leaves_nothing(self, tmp_path: Path, quiet: Console) -> None:
        data, given = tmp_path / "data", tmp_path / "given"
        layouts.kvasir(given)
        bad = {
            "another dataset": (given, "isic", "there are no images"),
            "nothing": (tmp_path / "absent", "kvasir", "no such file or folder"),
            "not an archive": (tmp_path / "text.zip", "kvasir", "cannot be unpacked"),
            "an unfit archive": (tmp_path / "unfit.zip", "kvasir", "there are no images in .*unfit.zip"),
            "another dataset of the same folders": (given, "clinicdb", "none of its 5 images is of that dataset"),
            "the same as an archive": (tmp_path / "kvasir.zip", "clinicdb", "kvasir.zip does not hold CVC-ClinicDB"),
            "a broken pair": (tmp_path / "broken", "breast_benign", "no mask belongs to it"),
        }
        (tmp_path / "text.zip").write_text("no zip")
        (tmp_path / "kvasir.zip").write_bytes(zipped(given))
        make_archive(tmp_path / "unfit.zip", {"readme.txt": b"x"})
        layouts.busi(tmp_path / "broken")
        (tmp_path / "broken" / "Dataset_BUSI_with_GT" / "benign" / "benign (5)_mask.png").unlink()
        for path, name, sentence in bad.values():
            with pytest.raises(UserError, match=sentence) as error:
                prepare(source_of(name), data, path, quiet)
            assert ".partial" not in str(error.value)
            assert not entries(data)

    def test_images_that_cannot_be_decoded_leave_nothing(self, tmp_path: Path) -> None:
        layouts.kvasir(tmp_path / "given")
        victim = next((tmp_path / "given").rglob("images/*0.jpg"))
        victim.write_bytes(victim.read_bytes()[:300])
        result = run_cli("kvasir", "--from", tmp_path / "given", "--data-dir", tmp_path / "data")
        assert isinstance(result, UserError)
        assert "1 bad file" in str(result) and ".partial" not in str(result) and victim.name in str(result)
        assert not (tmp_path / "data" / "kvasir").exists()

    def test_a_full_disk_is_seen_before(self, tmp_path: Path, quiet: Console, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = type("Usage", (), {"free": 10})
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
        with pytest.raises(UserError, match=r"0.0 GB free, but 25.4 GB are needed"):
            prepare(source_of("isic"), tmp_path, None, quiet)
        assert not entries(tmp_path)

    @pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real sample images are not beside the checkout")
    @pytest.mark.parametrize("name", DATASETS)
    def test_real_samples(self, name: str, tmp_path: Path, quiet: Console) -> None:
        source = source_of(name)
        root = prepare(source, tmp_path, SAMPLES / source.name, quiet)
        dataset = source.readers[name](root)
        found = verify(dataset, source.name)
        assert not found.strange and found.images == {"wound": 160}.get(name, 40)
        if name == "kvasir":  # five of its pairs are the publisher's own bytes
            assert found.changed is not None and len(found.changed) == 70
        else:
            assert not found.changed


class TestPrepareFromServer:
    def source(self, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, genuine: bool) -> Source:
        layouts.kvasir(folder)
        content = zipped(folder)
        if genuine:
            monkeypatch.setattr("lightning_seg.data.prepare.verify._changed", lambda dataset, manifest: [])
            monkeypatch.setattr(
                "lightning_seg.data.prepare.verify.Verification.genuine", property(lambda self: self.images == 5)
            )
        return replace(source_of("kvasir"), remotes=(server.remote("k.zip", content),), unpacked_bytes=len(content))

    def test_download_to_ready(
        self, server: Server, tmp_path: Path, quiet: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = self.source(server, tmp_path / "made", monkeypatch, genuine=True)
        seen: list[FileDataset] = []
        server.cuts = 1
        root = prepare(source, tmp_path / "data", None, quiet, seen.append)
        assert len(Kvasir(root).ids()) == 5
        assert len(seen) == 2 and seen[-1].root.is_relative_to(root)  # before it is put in place, and there
        assert entries(tmp_path / "data") == ["kvasir"]

    def test_a_dataset_that_is_not_the_published_one_is_refused(
        self, server: Server, tmp_path: Path, quiet: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = self.source(server, tmp_path / "made", monkeypatch, genuine=False)
        with pytest.raises(UserError, match="is not the published dataset"):
            prepare(source, tmp_path / "data", None, quiet)
        assert entries(tmp_path / "data") == ["downloads"]

    def test_a_failed_download_leaves_no_folder(self, server: Server, tmp_path: Path, quiet: Console) -> None:
        source = replace(source_of("kvasir"), remotes=(Remote(server.url("absent"), "a.zip", 1, sha256(b"")),))
        with pytest.raises(UserError, match="404"):
            prepare(source, tmp_path / "data", None, quiet)
        assert not entries(tmp_path / "data")

    def test_clinicdb_is_the_users_to_fetch(self, tmp_path: Path, quiet: Console) -> None:
        with pytest.raises(UserError, match=r"fetched by hand: on https://polyp.* CVC-ClinicDB.rar, .* --from FILE"):
            prepare(source_of("clinicdb"), tmp_path / "data", None, quiet)
        assert not entries(tmp_path / "data")


class TestSources:
    def test_cover_the_six(self) -> None:
        assert sorted(DATASETS) == sorted(MAKE)

    def test_checksums_and_manifests_are_whole(self) -> None:
        folder = Path(download_module.__file__).parents[1] / "published"
        files = {"busi": 1312, "clinicdb": 2448, "kvasir": 2000, "wound": 2020}
        for name, count in files.items():
            lines = (folder / "manifests" / f"{name}.txt").read_text().splitlines()
            assert len(lines) == count and all(len(line.split(" ", 1)[0]) == 32 for line in lines)
        for source in SOURCES:
            for remote in source.remotes:
                assert remote.url.startswith("https://")
                assert remote.checksum or (folder / "manifests" / f"{source.name}.txt").is_file()


def run_cli(*arguments: object) -> BaseException | None:
    import typer

    app = typer.Typer()
    app.command()(commands.prepare)
    exception = CliRunner().invoke(app, [str(argument) for argument in arguments]).exception
    assert exception is None or isinstance(exception, UserError)
    return exception


class TestCommand:
    def test_prepares_and_caches(self, tmp_path: Path) -> None:
        layouts.wound(tmp_path / "given")
        result = run_cli("wound", "--from", tmp_path / "given", "--data-dir", tmp_path / "data", "--image-size", 32)
        assert result is None
        (folder,) = (path for path in (tmp_path / "data" / "cache").iterdir() if path.is_dir())
        stamp = folder.stat().st_mtime_ns
        from lightning_seg.data.cache import open_cache
        from lightning_seg.data.readers.wound import Wound

        assert open_cache(Wound(tmp_path / "data" / "wound"), 32, tmp_path / "data" / "cache").images.shape[0] == 8
        assert folder.stat().st_mtime_ns == stamp  # the very cache that was made before the folder got its name
        (kept,) = kept_caches(tmp_path / "data" / "cache")
        assert kept.outdated is False  # it knows where its files lie, not where they were unpacked

    def test_one_failure_does_not_stop_the_others(self, tmp_path: Path) -> None:
        layouts.kvasir(tmp_path / "data" / "kvasir")
        result = run_cli("clinicdb", "kvasir", "--data-dir", tmp_path / "data", "--image-size", 16)
        assert isinstance(result, UserError) and "1 of 2 could not be prepared: clinicdb" in str(result)
        assert list((tmp_path / "data" / "cache").glob("kvasir-*/images.npy"))

    def test_bad_names(self, tmp_path: Path) -> None:
        assert "cannot be prepared; choose from isic" in str(run_cli("kvasr"))
        assert "--from goes with one dataset" in str(run_cli("isic", "wound", "--from", tmp_path))


BLOCKED = """
import time
from lightning_seg.data import cache
cache.open_cache = lambda *arguments, **options: (print("decoding", flush=True), time.sleep(600))
from lightning_seg.cli.app import main
main()
"""


class TestInterruption:
    @pytest.mark.parametrize(
        ("number", "code", "left"),
        [
            (signal.SIGKILL, -signal.SIGKILL, [".kvasir.partial"]),
            (signal.SIGTERM, 128 + signal.SIGTERM, []),
            (signal.SIGINT, 128 + signal.SIGINT, []),
        ],
    )
    def test_a_killed_call_leaves_nothing_for_long(
        self, number: signal.Signals, code: int, left: list[str], tmp_path: Path, quiet: Console
    ) -> None:
        given, data = tmp_path / "given", tmp_path / "data"
        layouts.kvasir(given)
        command = [sys.executable, "-c", BLOCKED, "prepare", "kvasir", "--from", given, "--data-dir", data]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None and process.stdout.readline() == b"decoding\n"
            assert entries(data) == [".kvasir.partial"]
            process.send_signal(number)
            assert process.wait(PATIENCE_SECONDS) == code
        assert entries(data) == left
        (data / ".kvasir.partial" / "of the killed one").mkdir(parents=True, exist_ok=True)
        root = prepare(source_of("kvasir"), data, given, quiet)
        assert entries(data) == ["kvasir"] and not (root / "of the killed one").exists()

    def test_a_second_call_waits_for_the_first(self, tmp_path: Path, quiet: Console) -> None:
        given, data = tmp_path / "given", tmp_path / "data"
        layouts.kvasir(given)
        waiting, go_on = threading.Event(), threading.Event()

        def block(dataset: FileDataset) -> None:
            waiting.set()
            assert go_on.wait(PATIENCE_SECONDS)

        first = threading.Thread(target=prepare, args=(source_of("kvasir"), data, given, Console(quiet=True), block))
        second = threading.Thread(target=prepare, args=(source_of("kvasir"), data, None, quiet))
        first.start()
        assert waiting.wait(PATIENCE_SECONDS)
        second.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "waiting for it" not in said(quiet):
            assert second.is_alive() and time.monotonic() < deadline
            time.sleep(0.01)
        go_on.set()
        for thread in (first, second):
            thread.join(PATIENCE_SECONDS)
        assert "Already there" in said(quiet) and entries(data) == ["kvasir"]
