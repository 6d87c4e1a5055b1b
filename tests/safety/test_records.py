"""One bad file of a run ends in that run being unreadable, with a sentence; all others are reported."""

import io
import json
import os
import shutil
import socket
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from lightning_seg.catalogue import COUNTS
from lightning_seg.dashboard.project import project_of
from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.files import csv_text, open_plain, read_json, read_table
from lightning_seg.predicted import BINS, THRESHOLDS, Predicted
from lightning_seg.report.cases import load_cases, read_cases
from lightning_seg.report.consensus import read_consensus
from lightning_seg.report.kept import load_kept
from lightning_seg.report.records import load_curves, load_study
from lightning_seg.runs import claim, predictions
from lightning_seg.runs.folder import RunFolder, State
from lightning_seg.runs.unfinished import refuse_half_done
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.studies.status import print_status, read_study
from tests.report.make_study import write_measures
from tests.safety.conftest import FIXTURE, edit

BAD, GOOD = "synthetic/unet/dice/repeat_1", "synthetic/unet/iou_focal/repeat_1"


def status(study: Path) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_status(StudyFolder(study), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    return text


def states(study: Path) -> dict[str, str]:
    runs = load_study(study).runs
    return dict(zip(runs["path"], runs["status"], strict=True))


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


RECORDS: dict[str, Callable[[str], str]] = {
    "deep": lambda text: text.replace('"config": {', '"config": {"x": ' + nested(100_000) + ",", 1),
    "fairly deep": lambda text: text.replace('"config": {', '"config": {"x": ' + nested(300) + ",", 1),
    "5,000 digits": lambda text: text.replace('"epochs": 6', '"epochs": ' + "9" * 5000, 1),
    "400 digits": lambda text: text.replace('"parameters": ', '"parameters": ' + "9" * 400, 1),
    "infinite time": lambda text: text.replace('"data": 0', '"data": Infinity, "x": 0', 1),
    "negative time": lambda text: text.replace('"data": 0', '"data": -1e9, "x": 0', 1),
    "half a character": lambda text: text.replace('"device": "', r'"device": "\ud800', 1),
    "a moment that is none": lambda text: text.replace('"started": "', '"started": "yesterday ', 1),
    "another status": lambda text: text.replace('"finished"', '{"a": []}', 1),
    "another dataset": lambda text: text.replace('"dataset": "synthetic"', '"dataset": "../../x"', 1),
    "no object": lambda text: "[]",
    "nothing": lambda text: "",
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_damaged_record_is_told_and_the_others_are_reported(name: str, study: Path) -> None:
    path = study / BAD / "result.json"
    before = path.read_text()
    path.write_text(RECORDS[name](before))
    assert path.read_text() != before, "the record has changed, and this test with it"
    found = states(study)
    assert found.pop(BAD) == "unreadable"
    assert set(found.values()) == {"finished", "failed", "missing"} or "unreadable" not in found.values()
    assert "1 unreadable" in status(study)
    [problem] = [each for each in load_study(study).problems if BAD in each]
    assert "cannot be read (" in problem
    assert len(problem) < 300


@pytest.mark.parametrize("name", ["seconds", "test", "best_val_dice", "images", "versions", "config", "host", "device"])
def test_what_a_record_lacks_is_not_known(name: str, study: Path) -> None:
    edit(study / BAD / "result.json", lambda record: record.pop(name))
    assert "unreadable" not in status(study)
    assert states(study)[BAD] == ("unreadable" if name == "test" else "finished")


OTHERS = ("result.json", "test_images.csv", "metrics.csv", "cases.npz", "error.json", "claim.json")
KINDS: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a socket": lambda path: socket.socket(socket.AF_UNIX).bind(path.name),
    "zeros": lambda path: path.write_bytes(bytes(100)),
    "a large file": lambda path: os.truncate(path.touch() or path, 2**34),
}


@pytest.mark.parametrize(
    "file",
    [
        "result.json",
        "error.json",
        "error.txt",
        "claim.json",
        "test_images.csv",
        "cases.npz",
        "predictions.npz",
        "test_measures.csv",
        "metrics.csv",
        "../../../../cells.json",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_file_is_not_read(file: str, kind: str, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(os.path.normpath(study / BAD / file))
    path.unlink(missing_ok=True)
    if file.startswith(("error", "claim")):
        (study / BAD / "result.json").unlink()
    monkeypatch.chdir(path.parent)  # a socket's path must be short
    KINDS[kind](path)
    assert status(study)
    found = load_study(study)
    load_cases(found, ["dice"])
    load_curves(found)
    load_kept(found, found.runs)
    assert len(found.runs) >= 7


def test_a_link_shows_nothing_of_the_file_it_leads_to(study: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("Secret: a-secret\n")
    for name in ("error.txt", "error.json", "result.json"):
        (study / BAD / name).unlink(missing_ok=True)
        (study / BAD / name).symlink_to(tmp_path / "secret")
    found = load_study(study)
    assert "a-secret" not in found.runs.to_csv() + str(found.problems) + status(study)


@pytest.mark.parametrize(
    "content",
    [
        *("[]", "{}", "null", "1", "", "{", nested(100_000), '{"host": 1}', '{"host": "a"}'),
        *(
            '{"host": "HERE", "pid": "x"}',
            '{"host": "HERE", "pid": 99999999999999999999}',
            '{"host": "HERE", "pid": -1}',
        ),
        '{"host": "HERE", "pid": 1, "created": "x"}',
    ],
)
def test_a_claim_that_is_none_holds_nothing(content: str, study: Path) -> None:
    place = study / BAD
    (place / "result.json").unlink()
    (place / "claim.json").write_text(content.replace("HERE", socket.gethostname()))
    assert not claim.is_claimed(place)
    claim.await_heartbeats([place])
    assert states(study)[BAD] == "missing"
    assert "2 missing" in status(study)


def test_a_claim_from_the_future_is_void(study: Path) -> None:
    place = study / BAD
    (place / "claim.json").write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    later = (place.stat().st_mtime + 10 * claim.LEASE_SECONDS,) * 2
    assert claim.is_claimed(place)
    os.utime(place / "claim.json", later)
    assert not claim.is_claimed(place)
    claim.await_heartbeats([place])  # and does not wait


@pytest.mark.parametrize(
    "content",
    [
        "[]]",
        "{}",
        "[1]",
        '["a"]',
        '["../../../repeat_0"]',
        '["a/b/c/repeat_0", null]',
        nested(10**5),
        '["a/b/\\u001b/repeat_1"]',
        '["a/b/.c/repeat_0"]',
    ],
)
def test_a_list_of_announced_runs_that_is_none(content: str, study: Path) -> None:
    (study / "cells.json").write_text(content)
    assert "cells.json cannot be read" in status(study)
    assert len(load_study(study).runs) >= 7


def test_a_great_study_is_looked_at_without_a_file_for_each_run(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        f"data{d}/model{m}/loss{n}/repeat_{k}"
        for d in range(10)
        for m in range(10)
        for n in range(60)
        for k in range(5)
    ]
    (study / "cells.json").write_text(json.dumps(names))
    looks = []
    monkeypatch.setattr(
        "lightning_seg.files.open_plain", lambda path, most_bytes: looks.append(path) or open_plain(path, most_bytes)
    )
    found, problem = read_study(StudyFolder(study))
    assert not problem
    assert sum(cell.counts[State.MISSING] for cell in found.values()) >= len(names)
    assert 8 < len(looks) < 30
    shown = status(study)
    assert len(shown.splitlines()) < 40
    assert "of 6,00" in shown


def header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "logits",
    [
        header("(10000000000000,)"),
        header("(1, 32, 32)"),
        header("(1, 32, 32)", "|O"),
        header("(-1, 5)"),
        b"",
        b"\x80\x04",
    ],
)
def test_examples_of_impossible_size_are_not_made_room_for(logits: bytes, study: Path) -> None:
    path = study / BAD / "cases.npz"
    with zipfile.ZipFile(path) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in arrays.items():
            archive.writestr(name, logits if name == "logits.npy" else content)
    with pytest.raises(UnreadableError):
        read_cases(path)


def test_examples_that_unpack_to_gigabytes_are_refused_by_their_header(tmp_path: Path) -> None:
    path = tmp_path / "cases.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ids.npy", header("(1,)", "<U5"))
        archive.writestr("logits.npy", header("(1, 20000, 20000)") + bytes(2**20))
    with pytest.raises(UnreadableError, match=r"cut short|elements"):
        read_cases(path)


def test_a_studys_examples_share_one_bound(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_seg.report.cases.MOST_BYTES", 1)
    cases, problems = load_cases(load_study(study), ["dice", "iou_focal"])
    assert sum(len(case.logits) for case in cases) == 1
    assert any("take more than" in problem for problem in problems)


def test_a_repeat_of_nine_digits_is_reported(study: Path) -> None:
    shutil.copytree(study / BAD, study / "synthetic/unet/dice/repeat_123456789")
    edit(study / "synthetic/unet/dice/repeat_123456789" / "result.json", lambda record: record.update(repeat=123456789))
    assert 123456789 in set(load_study(study).images["repeat"])


def test_a_table_is_whole_or_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    for content in (
        "a,b\n1\n",
        "a,b\n1,2,3\n",
        "a,b\n\xff,2\n".encode("latin-1").decode("latin-1"),
        "a\n" + "x" * 200_000,
    ):
        path.write_bytes(content.encode("latin-1"))
        with pytest.raises(UnreadableError):
            read_table(path)
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "a\0b", 1)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "absent")


@pytest.fixture(scope="module")
def shared_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fuzz") / "before"
    shutil.copytree(FIXTURE, place)
    for run in (place / BAD, place / GOOD):
        keep_predictions(run)
        ids = [row["id"] for row in read_table(run / "test_images.csv")]
        write_measures(run, np.random.default_rng(0), ids, 0.0)
    return place


def keep_predictions(run: Path) -> None:
    """Write ``predictions.npz`` of a run of 32 x 32 pixels, as its table of test images has them."""
    rows = read_table(run / "test_images.csv")
    counts = np.array([[int(row[name]) for name in COUNTS] for row in rows], dtype=np.int32)
    pixels = np.zeros((2, BINS + 1), dtype=np.int64)
    pixels[0, 3] = len(rows) * 32**2
    kept = Predicted(
        [row["id"] for row in rows],
        np.repeat(counts[:, None], len(THRESHOLDS), axis=1),
        pixels,
        0.25 * pixels,
        0.0625 * pixels,
        np.zeros((len(rows), 32, 4), dtype=np.uint8),
        32,
    )
    predictions.write(RunFolder(run), predictions.Predictions(kept, kept))


@pytest.mark.parametrize("value", ["inf", "nan", "", "x", "12:30:00", "2024-01-01", "true"])
def test_measures_that_are_no_numbers_are_told_and_left_out(value: str, shared_study: Path, tmp_path: Path) -> None:
    study = shutil.copytree(shared_study, tmp_path / "before")
    path = study / BAD / "test_measures.csv"
    rows = read_table(path)
    path.write_text(csv_text([rows[0], *(({**row, "nsd": value}).values() for row in rows)]))
    found = load_study(study, images_of="nsd")
    assert any("test_measures.csv cannot be read" in problem for problem in found.problems)
    means = found.runs.set_index("path")["measure_nsd"]
    assert np.isnan(means[BAD]) and np.isfinite(means[GOOD])


FILES = (
    "result.json",
    "test_images.csv",
    "metrics.csv",
    "cases.npz",
    "predictions.npz",
    "test_measures.csv",
    "split.json",
    "error.json",
    "error.txt",
    "claim.json",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_any_bytes_in_any_file_end_in_that_run_alone(data: st.DataObject, shared_study: Path) -> None:
    file = data.draw(st.sampled_from((*FILES, "cells.json")))
    path = shared_study / file if file == "cells.json" else shared_study / BAD / file
    before = path.read_bytes() if path.exists() else None
    whole = before or b"{}"
    how = data.draw(st.sampled_from(("bytes", "cut", "flip", "value", "key")))
    if how == "bytes":
        content = data.draw(st.binary(max_size=64))
    elif how == "cut":
        content = whole[: data.draw(st.integers(0, len(whole)))]
    elif how == "flip":
        place = data.draw(st.integers(0, len(whole) - 1))
        content = whole[:place] + data.draw(st.binary(min_size=1, max_size=4)) + whole[place + 1 :]
    elif how == "key" and file == "result.json":
        record = json.loads(whole)
        record[data.draw(st.sampled_from(sorted(record)))] = data.draw(JSON)
        content = json.dumps(record).encode()
    else:
        content = json.dumps(data.draw(JSON)).encode()
    try:
        path.write_bytes(content)
        found = load_study(shared_study)
        others = found.runs[found.runs["path"] != BAD]
        assert others["status"].value_counts()[["finished", "diverged", "failed"]].tolist() == [5, 1, 1]
        load_cases(found, ["dice", "bce"])
        load_curves(found)
        load_study(shared_study, images_of="nsd")
        usable = found.runs[found.runs["status"] == "finished"]
        kept = load_kept(found, usable)
        assert GOOD in set(paths_of(kept.runs))
        here = usable[(usable["repeat"] == 1) & usable["loss"].isin(["dice", "iou_focal"])]
        read_consensus(found, here, sorted(here["loss"]), [])
        assert status(shared_study)
    finally:
        path.unlink()
        if before is not None:
            path.write_bytes(before)


def paths_of(runs: pd.DataFrame) -> list[str]:
    rows = runs[["dataset", "model", "loss", "repeat"]].itertuples(index=False)
    return [f"{dataset}/{model}/{loss}/repeat_{repeat}" for dataset, model, loss, repeat in rows]


def test_a_folder_whose_name_is_no_text_is_left_out(study: Path) -> None:
    shutil.copytree(study / "synthetic", os.fsdecode(os.fsencode(study) + b"/x\xff"))
    assert "left out: 1 folder in the study" in status(study)
    found = load_study(study)
    assert set(found.runs["dataset"]) == {"synthetic"}
    assert len(found.problems) >= 1


def test_a_record_of_megabytes_is_not_read(study: Path) -> None:
    edit(study / BAD / "result.json", lambda record: record.update(overrides=["x" * (5 * 2**20)]))
    assert states(study)[BAD] == "unreadable"


@pytest.mark.parametrize("settings", [None, 1, [], {"project": 1, "entity": ["a"]}, {"project": "", "entity": {}}])
def test_a_record_names_a_project_or_none(settings: object, study: Path) -> None:
    (study / BAD / "wandb").mkdir()
    edit(study / BAD / "result.json", lambda record: record["config"].update(logger={"wandb": settings}))
    assert project_of(study) == ("lightning-seg", None)


@pytest.mark.parametrize(
    "text",
    [
        *("x: ${oc.env:TOKEN}", "x: ${ oc.env : TOKEN}", "y: oc.env\nx: ${${y}:TOKEN}", "x: ${oc.${y}:TOKEN}\ny: env"),
        *(
            "x: ${oc.decode:'${oc.env:TOKEN}'}",
            *(f'seed: "$\\x{brace}oc.env\\x3aTOKEN}}"' for brace in ("7b", "7B")),  # by escapes of YAML
            'seed: ["${oc.env\\u003aTOKEN}"]',
            "\n".join(["seed: ${k0}", *(f"k{number}: ${{k{number + 1}}}${{k{number + 1}}}" for number in range(40))]),
            "{q: &a [1, 2, 3, 4, 5, 6, 7, 8], "
            + ", ".join(f"k{n}: &{b} [{','.join([f'*{a}'] * 8)}]" for n, (a, b) in enumerate(pairwise("abcdefghijkl")))
            + "}",
            f"seed: {'${' * 100_000}",
            f"seed: 0x{'f' * 5000}",
            "a: &a [1]\nb: *a",
            "[" * 100_000,
            "x: !!python/object/apply:os.getcwd []",
        ),
    ],
)
def test_of_a_half_done_run_nothing_is_resolved(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "a-secret")
    folder = RunFolder(tmp_path / "study/a/b/c/repeat_0")
    folder.configuration.parent.mkdir(parents=True)
    folder.checkpoint("0" * 16).touch()
    folder.configuration.write_text(text)
    try:
        refuse_half_done(folder, {"rerun": False, "seed": 1})
    except UserError as error:
        assert "a-secret" not in str(error)
    folder.configuration.unlink()
    os.mkfifo(folder.configuration)
    refuse_half_done(folder, {"rerun": False, "seed": 1})
    folder.configuration.unlink()
    folder.configuration.write_text("seed: 2\nname: ${basename:${root}}\nroot: /x/y\n")
    with pytest.raises(UserError, match="seed was 2 and is now 1"):
        refuse_half_done(folder, {"rerun": False, "seed": 1, "name": "y", "root": "/x/y"})
