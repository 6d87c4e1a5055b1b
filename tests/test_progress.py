"""What a run shows of itself, on a terminal and in a log."""

import io
import re

import pytest
from lightning import Trainer
from rich.console import Console

from lightning_seg.cli.shared import busy
from lightning_seg.runs.position import announce_position, position
from lightning_seg.training.logs import NotDrawn
from lightning_seg.training.progress import EpochProgress
from lightning_seg.wording import duration
from tests.conftest import Train
from tests.tiny_fit import FailingStep, fit

ESCAPE = "\x1b"


def own_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "lightning_seg.training.progress"]


def fit_on(console: Console, **options: object) -> Trainer:
    return fit([EpochProgress("synthetic tiny bce repeat 0", console)], **options)


def test_a_log_gets_one_plain_line_an_epoch(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="lightning_seg.training.progress")
    text = io.StringIO()
    fit_on(Console(file=text), epochs=3)
    assert text.getvalue() == ""
    pattern = r"synthetic tiny bce repeat 0: epoch (\d), loss \d\.\d{4}, val Dice \d\.\d{4}, \d+\.\d s"
    matches = [re.fullmatch(pattern, line) for line in own_lines(caplog)]
    assert [match and match[1] for match in matches] == ["1", "2", "3"]


def test_a_terminal_gets_a_bar_and_its_log_the_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="lightning_seg.training.progress")
    text = io.StringIO()
    fit_on(Console(file=text, force_terminal=True, width=120), epochs=3)
    shown = text.getvalue()
    assert ESCAPE in shown and "epoch 1," not in shown
    records = [record for record in caplog.records if record.name == "lightning_seg.training.progress"]
    assert len(records) == 3 and not any(map(NotDrawn().filter, records))  # for files alone
    for part in ("synthetic tiny bce repeat 0", "3/3", "val Dice 0.", "loss 0."):
        assert part in re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)
    assert shown.endswith(f"{ESCAPE}[2K")  # and goes when training ends


def test_a_failed_run_takes_its_bar_away() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    with pytest.raises(ArithmeticError):
        fit_on(console, module=FailingStep)
    assert not console._live_stack  # another live display can start


@pytest.mark.slow
def test_standard_error_of_a_grid_has_no_control_characters(train: Train) -> None:
    training = train("-m", "loss=bce", "repeat=0,1")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", training.stderr)
    lines = [line for line in training.stderr.splitlines() if ": epoch " in line]
    assert len(lines) == 4
    assert "[1/2] synthetic tiny bce repeat 0: epoch 1" in lines[0]
    assert re.search(r"\[2/2, [\d a-z]+ left\] synthetic tiny bce repeat 1: epoch 1", lines[2])


def test_position_in_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTNING_SEG_POSITION", raising=False)
    assert position() == ""
    monkeypatch.setenv("LIGHTNING_SEG_POSITION", "")  # so that the next line's setting is undone
    monkeypatch.setattr("time.time", lambda: 1000.0)
    announce_position(0, 4, started=0.0)
    assert position() == "[1/4] "
    announce_position(3, 4, started=0.0)
    assert position() == "[4/4, 5 min 33 s left] "
    announce_position(3, 4, started=500.0, before=1)  # the first cell, which loads libraries, is not counted
    assert position() == "[4/4, 4 min 10 s left] "


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (273600, "3 d 4 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_command_at_work_says_so_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for terminal in (False, True):
        if terminal:
            monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any stream for a terminal then
        with busy("loading"):
            pass
        out, err = capsys.readouterr()
        assert out == "" and ("loading" in err) is terminal
