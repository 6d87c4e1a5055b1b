"""What W&B's files in a received study name is not read, sent or obeyed."""

import json
import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb
from PIL import Image
from wandb.proto.wandb_internal_pb2 import Record
from wandb.sdk.artifacts.staging import get_staging_dir

from lightning_seg.cli.dashboard import dashboard
from lightning_seg.dashboard import upload
from lightning_seg.dashboard.offline import foreign_file, read_records
from lightning_seg.dashboard.summary import log_summary
from lightning_seg.dashboard.upload import find_offline
from lightning_seg.errors import UnreadableError
from tests.inference.calls import invoke
from tests.wandb_files import read_records as read_leniently


def framed(*contents: bytes, kind: int = 1) -> bytes:
    """Records as W&B's file holds them, each in one piece."""
    parts = [bytes(4) + len(content).to_bytes(2, "little") + bytes([kind]) + content for content in contents]
    return b":W&B\x98\xd8\x01" + b"".join(parts)


def record(**fields: Any) -> bytes:
    return Record(**fields).SerializeToString()


def of_artifact(**manifest: Any) -> bytes:
    return record(artifact={"name": "x", "type": "report", "manifest": manifest})


@pytest.fixture
def offline(study: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that a received study says was logged offline."""
    monkeypatch.setenv("WANDB_DATA_DIR", str(study.parents[1] / "data"))
    folder = study / "synthetic/unet/dice/repeat_0/wandb/offline-run-20260101_000000-abc"
    (folder / "files").mkdir(parents=True)
    (folder / "page.html").write_text("x")
    (folder / "run-abc.wandb").write_bytes(framed(record(files={"files": [{"path": "media/x.png"}]})))
    return folder


STOLEN = "/etc/hostname"
RECORDS: dict[str, Callable[[], bytes]] = {
    "a file in an artifact": lambda: of_artifact(contents=[{"path": "x", "local_path": STOLEN}]),
    "one of many": lambda: of_artifact(contents=[{"path": "x", "ref": "s3://x"}, {"path": "y", "local_path": STOLEN}]),
    "a file by its way back": lambda: of_artifact(contents=[{"path": "x", "local_path": "../../../../etc/hostname"}]),
    "a manifest": lambda: of_artifact(manifest_file_path=STOLEN),
    "a file of the run": lambda: record(files={"files": [{"path": "../../../../../../secret"}]}),
    "an absolute file": lambda: record(files={"files": [{"path": STOLEN}]}),
    "a folder of events": lambda: record(tbrecord={"log_dir": "/etc", "save": True}),
    "another's artifact": lambda: record(use_artifact={"id": "x"}),
    "a request": lambda: record(request={"log_artifact": {}}),
}


@pytest.mark.parametrize("what", RECORDS)
def test_no_file_that_is_not_the_runs_is_sent(
    what: str, offline: Path, study: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (offline / "run-abc.wandb").write_bytes(framed(record(header={}), RECORDS[what]()))
    assert find_offline(study) == ([], [])
    assert "is not uploaded: run-abc.wandb " in caplog.text


@pytest.mark.parametrize("kind", ["hidden behind zeros", "cut in two", "in the middle", "of another kind", "no proto"])
def test_no_record_is_passed_over(kind: str, offline: Path, study: Path) -> None:
    """W&B's own reader goes on after what is damaged."""
    bad = RECORDS["a file in an artifact"]()
    content = {
        "hidden behind zeros": framed(record(header={})) + bytes(7) + framed(bad)[7:],
        "cut in two": framed(record(header={})) + b"\0\0\0\0\xff\xff\1" + framed(bad)[7:],
        "in the middle": framed(bad, kind=3),
        "of another kind": framed(bad, kind=9),
        "no proto": framed(b"\xff\xff\xff"),
    }[kind]
    (offline / "run-abc.wandb").write_bytes(content)
    assert find_offline(study) == ([], [])
    with pytest.raises(UnreadableError):
        list(read_records(offline / "run-abc.wandb"))


def test_what_a_run_logs_itself_is_sent(offline: Path, study: Path) -> None:
    own = [{"path": "x", "local_path": str(offline / "page.html")}]
    staged = [{"path": "x", "local_path": str(Path(get_staging_dir(), "tmpx"))}]
    content = framed(of_artifact(contents=own), of_artifact(contents=staged))
    for whole in (content, content + framed(b"x" * 9)[7:-3], content + bytes(40_000), b"", content[:40]):
        (offline / "run-abc.wandb").write_bytes(whole)
        assert foreign_file(offline) is None
        assert find_offline(study) == ([offline], [])


@pytest.mark.parametrize("name", ["run-abc.wandb", "files/x.png", "page.html"])
@pytest.mark.parametrize("kind", ["pipe", "link", "synced"])
def test_what_is_no_file_is_neither_sent_nor_written(name: str, kind: str, offline: Path, study: Path) -> None:
    path = offline / (f"{name}.synced" if kind == "synced" else name)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(study.parents[1] / "absent" if kind == "synced" else STOLEN)
    assert find_offline(study) == ([], [])


def test_settings_of_a_received_run_are_not_obeyed(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would have the key sent to any server."""
    (offline.parent / "settings").write_text("[default]\nbase_url = http://127.0.0.1:9\n")
    places: list[str] = []

    def run(command: list[str], *, env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        places.append(wandb.Settings(root_dir=env["WANDB_DIR"]).settings_workspace)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(upload.subprocess, "run", run)
    upload._sync([offline])
    assert not Path(places[0]).exists()
    assert Path(wandb.Settings(root_dir=str(offline.parents[1])).settings_workspace).exists()  # where it was


def test_of_a_received_report_only_tables_and_figures_are_logged(
    study: Path, ran: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gs = study.parents[1] / "bin" / "gs"
    gs.parent.mkdir()
    gs.write_text(f"#!/bin/sh\ntouch {ran}\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", str(gs.parent), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    report = study / "report"
    for folder in ("tables", "figures"):
        (report / folder).mkdir(parents=True)
        os.mkfifo(report / folder / ("pipe.csv" if folder == "tables" else "pipe.png"))
    (report / "index.html").write_text("x")
    (report / "tables" / "bad\x1b[31m.csv").write_text("a\n1,2,3\n4\n,,,,,\n")
    (report / "tables" / "empty.csv").write_text("")
    (report / "tables" / "folder.csv").mkdir()
    (report / "wandb").mkdir()
    (report / "wandb" / "offline-run-x").write_text("")
    Image.new("RGB", (4, 4)).save(report / "figures" / "good.png")
    (report / "figures" / "eps.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nx\n")
    with caplog.at_level(logging.WARNING):
        folder = log_summary(report, "before", "p", mode="offline")
    wandb.teardown()
    assert not ran.exists()
    assert caplog.text.count("is not logged (") == 6
    assert "\x1b" not in caplog.text
    names = [path.name for path in (folder / "files").rglob("*.png")]
    assert len(names) == 1 and names[0].startswith("figure_good")
    assert list(read_leniently(next(folder.glob("*.wandb"))))


NAMES = ("a' or 'b", 'a"b', "a\\b", "a\nb", "\x1b[31m[red]x", "a) and (b", "${oc.env:HOME}", "<img src=x>")


def test_a_dashboard_of_hostile_names_is_described(study: Path, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        (study / "synthetic" / name / name / f"repeat_{number}" / "wandb").mkdir(parents=True)
        (study / name / "unet" / "dice" / "repeat_0" / "wandb").mkdir(parents=True)
    (study / "elsewhere").symlink_to("/etc")
    (study / "dashboard.json").write_text("[" * 100_000)
    code, output = invoke(dashboard, study.name, "--output", tmp_path / "out.json")
    assert code == 0
    assert "\x1b" not in output
    described = (tmp_path / "out.json").read_text()
    losses = {name for each in _filters(json.loads(described)) for name in each}
    assert set(NAMES) <= losses


def _filters(value: Any) -> list[list[str]]:
    """The values that runs are filtered by."""
    if isinstance(value, dict):
        own = [[str(value["value"])]] if value.get("op") == "=" and "value" in value else []
        return own + [found for each in value.values() for found in _filters(each)]
    return [found for each in value for found in _filters(each)] if isinstance(value, list) else []
