"""A report's folder is of one selection: what an earlier one has left there does not stay beside it."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from lightning_seg.cli.report import report
from lightning_seg.report import build
from lightning_seg.report.current import report_dir
from lightning_seg.report.failures import SUSPECTS
from lightning_seg.report.leftover import NOTES, keep_only
from lightning_seg.report.tables import Table
from tests.report.make_study import make_study

SMALL = {"datasets": ["isic"], "models": ["fcn"], "losses": ["dice", "bce"], "cases": 0}
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    app = typer.Typer()
    app.command()(report)

    def call(*arguments: str) -> Result:
        found = CliRunner().invoke(app, ["demo", "--output-dir", str(tmp_path), "--draws", "100", *arguments])
        assert found.exit_code == 0, found.output
        return found

    return call


def test_a_report_beside_another_study_has_a_folder_of_its_own(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: object, place: Path, *__: object) -> Path:
        place.mkdir(exist_ok=True)
        (place / "index.html").write_text("new")
        return place / "index.html"

    monkeypatch.setattr(build, "read_analysis", lambda *_: None)
    monkeypatch.setattr(build, "write_report", write)
    study = make_study(tmp_path / "demo", **SMALL)
    (tmp_path / "flips").mkdir()
    (study / "report").mkdir()
    (study / "report" / "index.html").write_text("plain")
    found = run("--with", "flips")
    assert Path(found.stdout.strip()) == study / "report-with-flips" / "index.html"
    assert (study / "report" / "index.html").read_text() == "plain"
    place = report_dir(study, ["bce", "dice"], "nsd", [tmp_path / "flips", tmp_path / "demo" / ".." / "lr"])
    assert place.name == "report-bce-dice-by-nsd-with-flips-with-lr"


def test_tables_of_an_earlier_selection_go_and_files_of_the_user_stay(tmp_path: Path) -> None:
    def table(name: str) -> Table:
        return Table(name, "T", "C", pd.DataFrame({"Loss": ["bce"], "Mean": [0.5]}), {"Mean": 2})

    tables = tmp_path / "tables"
    (tmp_path / SUSPECTS).write_text("id")
    build._write(tmp_path, {"losses": table("losses"), "published": table("published")}, "page", [SUSPECTS])
    (tables / "mine.csv").write_text("mine")
    build._write(tmp_path, {"losses": table("losses")}, "page")
    assert sorted(path.name for path in tables.iterdir()) == ["losses.csv", "losses.tex", "mine.csv"]
    assert not (tmp_path / SUSPECTS).exists()


def test_a_list_from_elsewhere_removes_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "report"
    place.mkdir()
    kept = [tmp_path / "a.csv", place / "notes.txt", place / "index.html"]
    for path in kept:
        path.write_text("")
    listed = ["../a.csv", "tables/../../a.csv", "notes.txt", "index.html", "..", 5, str(tmp_path / "a.csv")]
    (place / NOTES).write_text(json.dumps({"files": listed}))
    keep_only(place, [])
    (place / NOTES).write_text("[5]")
    keep_only(place, [])
    assert all(path.is_file() for path in kept)


def test_a_bundle_stays_and_a_note_says_when_the_page_is_of_other_records_or_settings(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path / "demo", **SMALL)
    place = study / "report"
    built = []

    def write(path: Path, **options: object) -> Path:
        built.append(options)
        (place / "index.html").write_text("page")
        return place / "index.html"

    monkeypatch.setattr(build, "build_report", write)
    monkeypatch.setattr("lightning_seg.bundle.write.write_bundle", lambda _, path, **__: path.write_text("zip"))
    bundle = place / "demo.zip"
    told = f"note: {bundle} is of other records or settings than this page; --bundle makes it anew.\n"

    assert Path(run("--bundle").stdout.strip()) == bundle
    assert run("--formats", "pdf").stderr == ""
    run("--bundle")
    run("--formats", "pdf")
    assert len(built) == 1  # the page stays current beside a bundle
    assert run("--rope", "1").stderr == told
    assert run("--rope", "1").stderr == told  # though the page is not made again
    assert run().stderr == ""
    result = study / "isic" / "fcn" / "dice" / "repeat_0" / "result.json"
    result.write_bytes(result.read_bytes())
    assert run().stderr == told
    assert bundle.read_text() == "zip"
    run("--bundle")
    assert run().stderr == ""
    bundle.unlink()
    assert run("--rope", "2").stderr == ""
