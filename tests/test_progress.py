"""What a run shows of itself, on a terminal and in a log."""

import io
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lightning import Trainer
from rich.console import Console

from lightning_seg import terminal
from lightning_seg.data.cache import open_cache
from lightning_seg.data.inspect import inspect_dataset
from lightning_seg.data.readers.synthetic import Synthetic
from lightning_seg.data.split import Fractions
from lightning_seg.errors import UserError
from lightning_seg.runs.position import announce_position, position
from lightning_seg.terminal import Bars, busy, share, tracked
from lightning_seg.training.logs import NotDrawn, StandardError
from lightning_seg.training.progress import EpochProgress
from lightning_seg.wording import duration
from tests.conftest import Train
from tests.tiny_fit import FailingStep, fit

CELL = Path("multirun/default/synthetic/tiny")
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


def drawn(console: Console) -> list[str]:
    """The lines on a terminal, without colours."""
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", console.file.getvalue()).splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_bar_of_a_run_keeps_its_place_on_any_terminal(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    title = "[18/80, 2 h 10 min left] synthetic deeplabv3plus iou_focal repeat 0"
    fit([EpochProgress(title, console)], epochs=2)
    lines = drawn(console)
    assert max(map(len, lines)) <= width
    last = [line for line in lines if line.startswith("epochs")][-1]
    assert len(re.findall("[━╸╺]", last)) >= 10 and " 2/2 " in f"{last} "
    assert ("val Dice 0." in last, "loss " in last) == (width >= 60, width >= 60)
    assert any(line.startswith("steps") and "━" in line for line in lines)
    assert any(line.startswith("[18/80, 2 h 10 min left] synthetic") for line in lines)


def test_a_long_name_leaves_its_bar_room() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    for _ in tracked(range(2), f"Reading {'a' * 200}[red]\x1b", 2, console):
        pass
    last = [line for line in drawn(console) if "2/2" in line][-1]
    assert "Reading aaa" in last and "…" in last and "━" * 10 in last and "2/2" in last


def test_one_display_stands_below_another() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with console.status("timing unet"), Bars(console) as bars:
        bars.add_task("Caching", total=2)
        console.print("told meanwhile")
    shown = "\n".join(drawn(console))
    assert "timing unet" in shown and "Caching" in shown and "told meanwhile" in shown


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
    announce_position(0, 4)
    assert position() == "[1/4] "
    announce_position(3, 4, left=250.0)
    assert position() == "[4/4, 4 min 10 s left] "


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (273600, "3 d 4 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture
def new_console() -> Iterator[Callable[[], None]]:
    """What makes the console of standard error anew, as a process finds its streams."""
    yield terminal._console.cache_clear
    terminal._console.cache_clear()


def test_a_command_at_work_says_so_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, new_console: Callable[[], None]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for is_terminal in (False, True):
        if is_terminal:
            monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any stream for a terminal then
        new_console()
        with busy("loading"):
            pass
        out, err = capsys.readouterr()
        assert out == "" and ("loading" in err) is is_terminal


def test_a_process_among_others_draws_nothing(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    new_console: Callable[[], None],
) -> None:
    caplog.set_level("INFO", logger="lightning_seg.training.progress")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(terminal, "_shared", False)
    new_console()
    share()
    fit([EpochProgress("synthetic tiny bce repeat 0")], epochs=1)
    assert "\x1b" not in capsys.readouterr().err
    records = [record for record in caplog.records if record.name == "lightning_seg.training.progress"]
    assert len(records) == 1 and all(map(NotDrawn().filter, records))


def test_each_part_of_a_look_at_data_has_its_own_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, new_console: Callable[[], None]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    new_console()
    inspect_dataset(Synthetic(count=12), Fractions(0.6, 0.2, 0.2), 42, range(1), cache_dir=tmp_path)
    out, err = capsys.readouterr()
    whole = r"{} .*━.*12/12"
    assert out == ""
    for part in ("Reading synthetic", "Looking for duplicates in synthetic", "Looking for copies in synthetic"):
        assert re.search(whole.format(part), re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", err))
    assert "Comparing each image with all others" in err


def test_a_file_gets_a_line_and_no_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="lightning_seg")
    open_cache(Synthetic(count=3), 32, tmp_path)
    assert capsys.readouterr() == ("", "")
    assert caplog.messages == ["decoding synthetic, 3 images, once for all runs"]


@pytest.mark.slow
def test_a_run_and_a_grid_say_what_they_do_before_anything_is_loaded(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> None:
        raise UserError("loading")

    monkeypatch.setattr("lightning_seg.cli.train.loading", load)
    code, _, err = train.here("loss=bce")
    assert code == 2
    assert err.splitlines()[0].endswith("synthetic tiny bce repeat 0: results go to " + f"{CELL / 'bce/repeat_0'}")
    _, _, err = train.here("-m", "loss=bce,dice", "repeat=0", "hydra/launcher=basic")
    assert "2 runs (1 dataset, 1 network, 2 losses, 1 repeat) in multirun/default: 0 finished before, 2 to run" in err


def test_a_line_of_the_log_stands_above_the_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    logger, handler = logging.getLogger("tests.bar"), StandardError()
    logger.addHandler(handler)
    try:
        with Bars(console) as shown:
            shown.add_task("epochs", total=2)
            logger.warning("the loss is odd")
    finally:
        logger.removeHandler(handler)
    assert "the loss is odd" in drawn(console)  # a line of its own
