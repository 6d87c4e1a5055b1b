"""A report writes what has changed and keeps what has not; PDF and PNG come where they are asked for."""

import json
import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lightning_seg.cli.report import report
from lightning_seg.report import drawing
from lightning_seg.report.build import build_report
from lightning_seg.report.current import is_current, keep_stamp, stamp
from lightning_seg.report.drawing import Drawing, draw_all
from lightning_seg.report.figures.style import Figure, new
from tests.report.make_study import make_study

CALLS: list[str] = []


def bar(name: str, height: float) -> Figure:
    CALLS.append(name)
    figure = new(name, f"The {name}", f"{height} high", 2, 2)
    figure.canvas.subplots().bar([0], [height])
    return figure


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def test_only_what_has_changed_is_drawn_again(tmp_path: Path) -> None:
    first = draw_all([Drawing(bar, ("a", 1.0)), Drawing(bar, ("b", 2.0))], tmp_path, ())
    again = draw_all([Drawing(bar, ("a", 1.0)), Drawing(bar, ("b", 3.0))], tmp_path, ())
    assert CALLS == ["a", "b", "b"]
    assert again["a"] == first["a"] and again["b"].caption == "3.0 high" and again["b"].svg != first["b"].svg
    assert sorted(path.name for path in tmp_path.glob("*.*g")) == ["a.svg", "b.svg"]


@pytest.mark.parametrize("change", ["edited", "removed", "from elsewhere", "other code"])
def test_a_file_that_is_not_as_it_was_left_is_drawn_again(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_all([Drawing(bar, ("a", 1.0))], tmp_path, ())
    picture = tmp_path / "a.svg"
    if change == "edited":
        picture.write_text(picture.read_text().replace("<svg", "<svg onload='alert(1)'"))
    elif change == "removed":
        picture.unlink()
    elif change == "from elsewhere":  # with the same bytes and times, as an archive unpacks it
        content, times = picture.read_bytes(), picture.stat()
        picture.unlink()
        picture.write_bytes(content)
        os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))
    else:
        monkeypatch.setattr(drawing, "_surroundings", lambda: "another version")
    shown = draw_all([Drawing(bar, ("a", 1.0))], tmp_path, ())
    assert CALLS == ["a", "a"] and "alert" not in shown["a"].svg + picture.read_text()


def test_other_formats_come_when_asked_for_and_go_when_they_show_other_numbers(tmp_path: Path) -> None:
    beside = Drawing(bar, ("table", 1.0), file_only="table")
    assert [*draw_all([Drawing(bar, ("a", 1.0)), beside], tmp_path, ())] == ["a"]
    shown = draw_all([Drawing(bar, ("a", 1.0)), beside], tmp_path, ("pdf",))
    assert shown["a"].files == ("a.svg", "a.pdf") and shown["table"].files == ("table.svg", "table.pdf")
    kept = draw_all([Drawing(bar, ("a", 1.0)), beside], tmp_path, ())
    assert kept == shown  # they still show what the page shows
    draw_all([Drawing(bar, ("a", 2.0)), Drawing(bar, ("table", 2.0), file_only="table")], tmp_path, ())
    assert sorted(path.name for path in tmp_path.glob("[a-z]*")) == ["a.svg"]


def test_a_list_of_kept_figures_from_elsewhere_names_no_file_outside(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    mine = tmp_path / "mine.svg"
    mine.write_text("mine")
    entry = {"name": "../mine", "title": "t", "caption": "c", "files": {"../mine.svg": "x"}}
    (tmp_path / "figures" / ".drawn.json").write_text(json.dumps({"0": [entry, 5], "1": 5}))
    draw_all([Drawing(bar, ("a", 1.0))], tmp_path / "figures", ())
    assert mine.read_text() == "mine"


def test_a_report_is_current_until_a_record_or_the_report_changes(tmp_path: Path) -> None:
    study = make_study(tmp_path / "demo", datasets=["isic"], models=["fcn"], losses=["dice", "bce"], cases=0)
    place = study / "report"
    place.mkdir()
    (place / "index.html").write_text("page")
    made = stamp(study, place, {})
    keep_stamp(place, made)
    assert is_current(place, stamp(study, place, {}))
    assert not is_current(place, stamp(study, place, {"rope": 1}))
    (place / "index.html").write_text("another")
    assert not is_current(place, made)
    keep_stamp(place, made)
    run = study / "isic" / "fcn" / "dice" / "repeat_0"
    (run / "result.json").write_bytes((run / "result.json").read_bytes())
    assert not is_current(place, stamp(study, place, {}))
    (run / "claim.json").write_text("{}")
    assert stamp(study, place, {}) is None  # a claim ends by itself
    assert not is_current(place, None)


def test_the_command_builds_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path / "demo", datasets=["isic"], models=["fcn"], losses=["dice", "bce"], cases=0)
    built = []

    def build(*arguments: object, **options: object) -> Path:
        built.append(options["formats"])
        return build_report(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("lightning_seg.report.build.build_report", build)
    app = typer.Typer()
    app.command()(report)

    def run(*more: str) -> None:
        result = CliRunner().invoke(app, ["demo", "--output-dir", str(tmp_path), "--draws", "100", *more])
        assert result.exit_code == 0, result.output
        assert Path(result.output.strip()) == study / "report" / "index.html"

    run()
    run()
    run("--formats", "pdf")
    assert built == [[], ["pdf"]]
    assert (study / "report" / "figures" / "fig2b_dataset_by_loss.pdf").is_file()
    unknown = CliRunner().invoke(app, ["demo", "--output-dir", str(tmp_path), "--formats", "gif"])
    assert "--formats knows svg, pdf, png, not 'gif'." in str(unknown.exception)
