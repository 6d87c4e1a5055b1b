"""What a received study says of trials: shown as text, and nothing is read or written where its links lead."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lightning_seg.cli import report as commands
from lightning_seg.cli.report import report
from lightning_seg.errors import UserError
from lightning_seg.runs.tuning import read_choices
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.studies.status import print_status
from lightning_seg.sweep.tuning import grid_and_trials
from tests.inference.calls import invoke

GOOD: dict[str, Any] = {"settings": {"optimizer.lr": 0.1}, "tried": [], "edge": [], "identity": "x"}
EVIL = "\x1b]0;owned\x07[red]x[/red]"


def status(study: Path) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_status(StudyFolder(study), console)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "choices",
    [
        {EVIL: GOOD},
        {"a/b/c": GOOD | {"settings": {EVIL: EVIL}}},
        {"a/b/c": GOOD | {"edge": [EVIL]}},
        {"a/b/c": GOOD | {"settings": {"x": {"a": [EVIL] * 3}}, "tried": [EVIL]}},
        {"a/b/c": GOOD | {"settings": {"x": "y" * 10**6}}},
        {f"a/b/{number}": GOOD for number in range(5000)},
        {EVIL: GOOD | {"settings": {"x": float("nan"), "y": -1e308, "z": None}}},
    ],
)
def test_choices_are_shown_as_text(choices: dict[str, Any], study: Path) -> None:
    (study / "tuning.json").write_text(json.dumps(choices))
    shown = status(study)
    assert "tuned " in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert max(map(len, shown.splitlines())) < 600
    assert len(shown.splitlines()) < 2200


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "null", "[" * 100_000, "1" * 5000, '{"a": 1}', '{"a": {"settings": []}}', '{"a": "\\ud800"}'),
        '{"a": {"settings": {}, "tried": [], "edge": [1], "identity": "x"}}',
    ],
)
def test_choices_that_are_none_are_one_line(content: str, study: Path) -> None:
    (study / "tuning.json").write_text(content)
    assert "tuning.json cannot be read (" in status(study).replace("\n", "")
    with pytest.raises(UserError, match="cannot be read"):
        read_choices(study)


@pytest.mark.parametrize("name", [".tuning", ".tuning/optimizer.lr=0.1"])
def test_linked_trials_are_neither_read_nor_made(
    name: str, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    shutil.copytree(study, home / "optimizer.lr=0.1")
    (study / name).parent.mkdir(exist_ok=True)
    (study / name).symlink_to(home if name == ".tuning" else home / "optimizer.lr=0.1")
    assert StudyFolder(study).trial_studies() == []
    assert "trials of tune" not in status(study)
    tune = ("tune=lr", "tune.keys.optimizer.lr=[0.1,0.2]", "model=unet", "loss=bce", "repeat=0", "study=before")
    with pytest.raises(UserError, match=r"\.tuning.* is a link"):
        grid_and_trials(["dataset.count=24", "data.image_size=32", *tune])


def test_a_study_that_goes_bad_while_it_is_watched(
    study: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its records are damaged, and its folder becomes a link, between two looks."""
    built: list[str] = []
    looks = iter(range(5))

    def build(directory: Path, **_: Any) -> Path:
        built.append("; ".join(commands_of(directory)))
        return directory / "report" / "index.html"

    def wait(_: float) -> None:
        match next(looks):
            case 0:
                (study / "synthetic/unet/dice/repeat_0/result.json").write_text("[" * 100_000)
            case 1:
                (study / "cells.json").write_text(f'["{EVIL}"]'.replace("\x1b", "\\u001b").replace("\x07", ""))
                (study / "synthetic/unet/dice/repeat_1/result.json").write_text(EVIL)
            case 2:
                shutil.rmtree(study / "synthetic/unet/bce")
                (study / "synthetic/unet/bce").symlink_to(tmp_path)
            case _:
                raise KeyboardInterrupt

    monkeypatch.setattr(commands.time, "sleep", wait)
    monkeypatch.setattr("lightning_seg.report.build.build_report", build)
    code, output = invoke(report, "before", "--watch")
    assert code == 0
    assert "built once more" in output
    assert "\x1b" not in output
    assert len(built) == 5
    assert "repeat_0/result.json cannot be read" in built[1]
    assert "cells.json cannot be read" in built[2]
    assert "left out: 1 folder" in built[3]


def commands_of(directory: Path) -> list[str]:
    from lightning_seg.report.records import load_study

    return load_study(directory).problems
