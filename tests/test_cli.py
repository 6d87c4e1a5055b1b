"""The command line as a whole."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lightning_seg.cli.app import app, main
from lightning_seg.errors import UserError
from tests.report.make_study import write_run

IMAGES = [("a", 1, 0, 0, 1, 1.0, 1.0, 1.0, 1.0, 0.1)]
HEAVY = {"torch", "torchvision", "lightning", "hydra", "pandas", "scipy", "matplotlib", "wandb", "wandb_workspaces"}


def test_help_loads_no_heavy_library() -> None:
    program = "import sys, lightning_seg.cli.app; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "lightning_seg" in loaded.stdout.split()
    assert set(loaded.stdout.split()) & HEAVY == set()


@pytest.mark.parametrize("command", ["status", "report", "dashboard", "sync"])
def test_an_absent_study_is_told_with_those_that_there_are(command: str, tmp_path: Path) -> None:
    def sentence() -> str:
        result = CliRunner().invoke(app, [command, "absent", "--output-dir", str(tmp_path)])
        assert isinstance(result.exception, UserError)
        return str(result.exception)

    assert sentence() == f"There is no study 'absent' in {tmp_path}; train a run first."
    (tmp_path / "mine").mkdir()
    assert sentence() == f"There is no study 'absent' in {tmp_path}; studies there are mine."


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["inspect", "folder"], "dataset.root has no value; give one with dataset.root=... ."),
        (["inspect", "synthetic", "dataset.count=0"], "dataset.count=0 is not valid"),
        (["inspect", "synthetic", "dataset.count=3", "--output", "."], "--output . is a folder"),
        (["inspect", "synthetic", "dataset.count=3", "--output", "file/page.html"], "file is a file"),
        (
            ["inspect", "synthetic", "dataset.count=3", "--output", "page.pdf"],
            "--output page.pdf: what is written is HTML; name it page.html.",
        ),
        (
            ["dashboard", "mine", "--output-dir", ".", "--output", "new/board.html"],
            "--output new/board.html: what is written is JSON; name it new/board.json.",
        ),
        (["dashboard", "mine", "--output-dir", ".", "--output", "own.json"], "own.json would be replaced"),
        (["convert", "synthetic", "masks.png", "dataset.count=3"], "a folder is to be made: name it masks."),
        (["gallery", "dice", "--output", "gallery.svg"], "gallery.svg is named as a file"),
        (["evaluate", "mine/d/m/l/repeat_1", "-o", "scores.csv"], "scores.csv is named as a file"),
        (
            ["inspect", "synthetic", "dataset.count=3", "--output", "/proc/page.html"],
            "The page cannot be written to /proc/page.html (",
        ),
        (
            ["predict", "mine", "a.png"],
            "mine is no run's folder: it holds 1 finished run; name one, such as mine/d/m/l/repeat_1 (",
        ),
        (["predict", "empty", "a.png"], "empty holds no finished run; weights need their run's result.json"),
        (["predict", "cut", "a.png"], "cut/result.json cannot be read: it is damaged or cut off"),
        (["report", "mine", "--output-dir", ".", "--figure", "odd"], "There is no figure 'odd'"),
        (["inspect", "synthetic", "dataset.count"], "The override 'dataset.count' cannot be read"),
        (["prepare", "kvasir", "--data-dir", "file/data"], "Not a directory"),
    ],
)
def test_wrong_input_is_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "own.json").touch()
    (tmp_path / "empty").mkdir()
    run = tmp_path / "mine/d/m/l/repeat_1"
    write_run(run, "d", "m", "l", 1, IMAGES)
    (run / "weights.safetensors").touch()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/result.json").write_text('{"schema": 3, "')
    monkeypatch.chdir(tmp_path)
    *before, message = ends(arguments, monkeypatch, capsys).splitlines()
    assert message.startswith("error: ") and sentence in message
    assert "Traceback" not in "".join(before)


def test_an_unforeseen_error_is_one_line_that_tells_how_to_see_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise IndexError("no such thing")

    monkeypatch.setattr("lightning_seg.cli.status.find_study", fail)
    assert ends(["status"], monkeypatch, capsys) == (
        "error: IndexError: no such thing (LIGHTNING_SEG_DEBUG=1 shows where)\n"
    )
    monkeypatch.setenv("LIGHTNING_SEG_DEBUG", "1")
    with pytest.raises(IndexError):
        main()


def test_the_smallest_image_size(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--image-size" in ends(["prepare", "kvasir", "--image-size", "0"], monkeypatch, capsys)


def ends(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints to the standard error before it ends with code 2."""
    monkeypatch.delenv("LIGHTNING_SEG_DEBUG", raising=False)
    monkeypatch.setattr(sys, "argv", ["lightning-seg", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    return capsys.readouterr().err
