"""What a new user types first: version, help, completion, status at any width, plan, and where results lie."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import lightning_seg
from lightning_seg.cli.app import _COMMANDS, app
from lightning_seg.cli.completion import complete
from lightning_seg.cli.help import with_comments
from lightning_seg.config.compose import plain
from lightning_seg.planning import estimate
from lightning_seg.report.records import load_curves, load_study
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.record import Record
from lightning_seg.runs.weights import drop_lesser
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.studies.status import print_status
from lightning_seg.sweep.cells import grid_cells, nested
from lightning_seg.training.history import History
from tests.report.make_study import make_study

FIXTURE = Path(__file__).parent / "fixtures" / "study_0_1_0"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_version_and_short_help() -> None:
    assert invoke("--version").output == f"lightning-seg {lightning_seg.__version__}\n"
    for command in ((), ("status",), ("report",)):
        result = invoke(*command, "-h")
        assert result.exit_code == 0 and "Usage:" in result.output
    assert "--show-completion" in invoke("--help").output


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("loss=iou_f", ["loss=iou_focal"]),
        ("model=unet,esf", ["model=unet,esfpnet"]),
        ("data.image", ["data.image_size="]),
        ("augm", ["augmentation="]),
        ("no_such=", []),
    ],
)
def test_choices_and_keys_are_completed(begun: str, offered: list[str]) -> None:
    assert complete(begun) == offered


def test_the_help_of_train_tells_what_the_yaml_tells_and_what_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    printed = (
        "  lightning-seg train loss=dice\nValues of the chosen configuration (key=value):\n"
        "study: default\ndata:\n  image_size: 224\n  mean:\n  - 0.485\nmodel:\n  width: 64\nown: 1\n"
    )
    text = with_comments(lambda: print(printed, end=""), ["model=unet", "--help"], "python train.py")
    lines = text.splitlines()
    assert lines[0] == "  python train.py loss=dice"
    assert lines[2].split(" # ") == [f"{'study: default':<34}", "the folder of results below output_dir"]
    assert "# side in pixels" in lines[4] and "# channels of the first level" in lines[8]
    assert lines[6] == "  - 0.485" and lines[9] == "own: 1"


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    names = ("a_dataset_with_quite_a_long_name", "clinicdb")
    return StudyFolder(make_study(tmp_path / "demo", [*names], ["deeplabv3plus"], ["dice", "iou_focal"], 2, cases=0))


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_status_fits_the_terminal_and_cuts_no_name(study: StudyFolder, width: int) -> None:
    text = io.StringIO()
    print_status(study, Console(file=text, width=width, force_terminal=True, color_system=None))
    shown = text.getvalue()
    assert "a_dataset_with_quite_a_long_name" in shown and "iou_focal" in shown and "..." not in shown
    assert "…" not in shown
    if width >= 60:
        assert max(map(len, shown.splitlines())) <= width
    assert ("val Dice" in shown) == (width >= 80)  # where the one network is told in the title


def test_status_in_a_file_has_all_columns(study: StudyFolder) -> None:
    text = io.StringIO()
    print_status(study, Console(file=text, width=80))
    line = next(line for line in text.getvalue().splitlines() if "clinicdb" in line)
    assert line.split()[:4] == ["clinicdb", "deeplabv3plus", "dice", "2"] and "val Dice" in text.getvalue()


def test_status_for_other_programs(study: StudyFolder) -> None:
    place = ("demo", "--output-dir", study.path.parent)
    cells = json.loads(invoke("status", *place, "--json").output)["cells"]
    rows = list(csv.DictReader(io.StringIO(invoke("status", *place, "--csv").output)))
    assert len(cells) == len(rows) == 4
    assert [row["loss"] for row in rows] == ["dice", "iou_focal"] * 2
    assert {(cell["finished"], cell["failed"]) for cell in cells} == {(2, 0)}
    assert float(rows[0]["test_dice"]) == cells[0]["test_dice"] > 0
    assert "exclude one another" in str(invoke("status", *place, "--json", "--watch").exception)
    assert invoke("status", *place, "--watch").exit_code == 0  # nothing is left to wait for


def test_a_plan_counts_runs_of_its_own_configuration_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = grid_cells(["dataset=synthetic", "repeat=0,1", f"output_dir={tmp_path}", "model.width=4"])
    record: dict[str, Any] = {"status": "finished", "dataset": "synthetic", "model": "unet", "epochs": 3}
    timing = object()
    monkeypatch.setattr(estimate, "_time", lambda cell, together: [timing])
    for cell, epochs in zip(cells, (200, 3), strict=True):
        cell.folder.path.mkdir(parents=True)
        config = nested(cell.config | {"trainer.max_epochs": epochs})
        cell.folder.result.write_text(json.dumps(record | {"config": plain(config), "epochs": epochs}))
    plan = estimate.make_plan(cells, announce=lambda name: None)
    assert (plan.done, plan.others) == (cells[:1], cells[1:])
    assert [run.epochs.expected for run in plan.left] == [200]


def test_the_best_repeat_keeps_its_weights(tmp_path: Path) -> None:
    def finished(repeat: int, dice: float, keep: object) -> RunFolder:
        run = RunFolder(tmp_path / "s" / "isic" / "unet" / "dice" / f"repeat_{repeat}")
        run.path.mkdir(parents=True)
        run.weights.write_bytes(b"weights")
        run.write(Record(status="finished", best_val_dice=dice, config={"keep_weights": keep}))
        return run

    runs = [finished(0, 0.7, "best"), finished(1, 0.8, "best"), finished(2, 0.9, True), finished(3, 0.8, "best")]
    drop_lesser(runs[3])
    assert [run.weights.is_file() for run in runs] == [False, True, True, False]


def test_epochs_count_from_1_in_whatever_version_wrote_them(tmp_path: Path) -> None:
    old = Record.from_json({"status": "finished", "best_epoch": 4, "schema": 2})
    assert old.best_epoch == 5 and Record.from_json(old.as_json()).best_epoch == 5
    assert Record.from_json({"status": "finished", "best_epoch": 0}).best_epoch == 1
    history = History(None)
    history.load_state_dict({"rows": [{"epoch": 0, "val_dice": 0.1}, {"epoch": 1, "val_dice": 0.2}]})
    assert [row["epoch"] for row in history.rows] == [1, 2]
    history.load_state_dict(history.state_dict())
    assert [row["epoch"] for row in history.rows] == [1, 2]

    study = make_study(tmp_path / "s", ["isic"], ["fcn"], ["dice", "bce"], 1, epochs=3, cases=0)  # from 0
    newer = study / "isic" / "fcn" / "bce" / "repeat_0" / "metrics.csv"
    newer.write_text("epoch,train_loss,val_loss,val_dice\n1,1,1,0.1\n2,1,1,0.2\n3,1,1,0.3\n")
    curves = load_curves(load_study(study))
    assert {loss: group["epoch"].tolist() for loss, group in curves.groupby("loss", observed=True)} == {
        "dice": [1, 2, 3],
        "bce": [1, 2, 3],
    }


def test_epochs_of_a_study_of_the_first_version_count_from_1() -> None:
    study = load_study(FIXTURE)
    runs = study.runs.dropna(subset=["best_epoch"])
    assert len(runs) and (runs["best_epoch"] >= 1).all() and (runs["best_epoch"] <= runs["epochs"]).all()
    recorded = json.loads((FIXTURE / runs["path"].iloc[0] / "result.json").read_text())["best_epoch"]
    assert runs["best_epoch"].iloc[0] == recorded + 1
    curves = load_curves(study)
    assert not len(curves) or curves["epoch"].min() == 1


@pytest.mark.parametrize("installed", [True, False])
def test_new_tells_to_run_what_is_installed(installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightning_seg.cli.new.find_spec", lambda name: object() if installed else None)
    output = invoke("new", "loss", "my_loss").output
    assert ("Try it: python -m pytest" in output) == installed
    assert installed or "Try it: pip install pytest, then" in output


@pytest.mark.parametrize("command", ["", *(command.__name__ for group in _COMMANDS.values() for command in group)])
def test_help_names_what_is_given_and_no_types(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    result = invoke(*command.split(), "-h")
    assert result.exit_code == 0 and "Show this message and exit." in result.output
    assert not re.findall(r"<(?!name>|id>)\w|list\[|range|x[<>]=|\{", result.output)


def test_help_has_metavars_and_whole_paragraphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    assert re.search(r"--losses +LOSS,\.\.\. ", invoke("report", "-h").output)
    shown = invoke("evaluate", "-h").output
    assert "evaluate [OPTIONS] RUN [KEY=VALUE...]" in shown and "if every image was scored" in " ".join(shown.split())
    assert all(len(line) > 60 for line in shown.split("Of the run's own")[1].splitlines()[:2])  # filled, not as typed
    wrong = invoke("report", "mine", "--draws", "1")  # the bounds hold all the same
    assert wrong.exit_code == 2 and "report [OPTIONS] [STUDY]" in wrong.output and "to 100" in wrong.output
