"""Names and messages from anywhere are shown: no terminal, page or spreadsheet obeys them."""

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lightning_seg.cli.shared import note, say, skip
from lightning_seg.cli.train import fail
from lightning_seg.errors import UserError
from lightning_seg.files import csv_text
from lightning_seg.inference.model_card import model_card
from lightning_seg.inference.trained import load_run
from lightning_seg.report.command_lines import Run, train_lines
from lightning_seg.report.records import load_study
from lightning_seg.report.tables import Table, save
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.studies.status import print_status
from lightning_seg.wording import as_cell, as_markdown, from_cell, printable
from tests.safety.conftest import edit

HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J[red]x[/red] \u202etxt\r<img src=x onerror=alert(1)> [a](javascript:alert(1)) | `x`\n# h"
)


def shown(call: object, *arguments: object) -> str:
    console = Console(file=io.StringIO(), width=300, force_terminal=False)
    call(*arguments, console)  # type: ignore[operator]
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_terminal_is_sent_no_control_characters(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    assert printable("ok – läsion") == "ok – läsion"
    assert printable("a\x1b[1m\x9b\u202eb\n") == r"a\x1b[1m\x9b\u202eb\n"
    note(HOSTILE)
    say(HOSTILE)
    with pytest.raises(SystemExit):
        fail(UserError(HOSTILE))
    with pytest.raises(SystemExit):
        fail(ValueError(HOSTILE))
    out, err = capsys.readouterr()
    for text in (out, err, shown(lambda console: skip(console, HOSTILE)), shown(say, HOSTILE)):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
        assert "[red]x[/red]" in text


@given(st.text())
def test_what_is_printable_can_be_sent(text: str) -> None:
    found = printable(text)
    found.encode("utf-8")
    assert found.isprintable() or not re.search(r"[\x00-\x1f\x7f-\x9f]", found)


def test_status_shows_names_as_they_are(study: Path) -> None:
    evil = study / "synthetic" / "[red]m\x1b[2J"
    (study / "synthetic" / "unet").rename(evil)
    console = Console(file=io.StringIO(), width=200)
    print_status(StudyFolder(study), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert r"[red]m\x1b[2J" in text
    assert "\x1b" not in text


def test_a_model_card_is_text(run: Path) -> None:
    def poison(record: dict) -> None:  # type: ignore[type-arg]
        for name in ("dataset", "loss", "device"):
            record[name] = HOSTILE
        record["versions"] = {HOSTILE: HOSTILE}
        record["config"]["data"]["split"] = HOSTILE
        record["config"]["optimizer"] = {"_target_": HOSTILE, "x": HOSTILE}
        record["weights_source"] = {HOSTILE: {"encoder": HOSTILE, "file": HOSTILE, "sha256": HOSTILE}}

    edit(run / "result.json", poison)
    # The model itself must still be one.
    card = model_card(load_run(run / "weights.safetensors"))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", card)
    assert "<img" not in card
    assert not re.search(r"(?<!\\)\]\(", card)
    assert [line for line in card.splitlines() if line.startswith("# ")] == [card.splitlines()[0]]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<b>", "&lt;b&gt;"),
        ("[a](javascript:b)", r"\[a\](javascript:b)"),
        ("https://e.org", "https&#58;//e.org"),
        ("www.e.org", "www&#46;e.org"),
        ("a@e.org", "a&#64;e.org"),
        ("a|b`c`*d*", r"a\|b\`c\`\*d\*"),
        ("a\n# b", "a # b"),
        ("# b", r"\# b"),
        ("1. b", r"1\. b"),
        ("_a_ b_c", r"\_a\_ b_c"),
        ("in_channels=3, lr=0.001", "in_channels=3, lr=0.001"),
    ],
)
def test_markdown(text: str, safe: str) -> None:
    assert as_markdown(text) == safe


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\uff1d"])
def test_no_cell_is_a_formula(sign: str, tmp_path: Path, study: Path) -> None:
    text = f'{sign}HYPERLINK("http://e.org")'
    [row] = csv.reader(io.StringIO(csv_text([[text, 1, -0.5, "-0.5", "a=b"]]), newline=""))
    assert row == [f"'{text}", "1", "-0.5", "-0.5", "a=b"]
    table = load_study(study).runs[["loss"]].head(1).assign(loss=text).rename(columns={"loss": text})
    save(Table("t", "", "", table, {}), tmp_path)
    assert list(csv.reader((tmp_path / "t.csv").open(newline=""))) == [[f"'{text}"], [f"'{text}"]]


@pytest.mark.parametrize("lead", ["", "a;", 'a;"', "a; ", "a\t", "a\n", "a;;"])
@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula_where_semicolons_part_cells(lead: str, sign: str) -> None:
    line = csv_text([["x", f"{lead}{sign}cmd()"]]).replace('""', '"')
    for cell in re.split("[,;\t\n]", line):
        assert not cell.strip("\"' ").startswith(sign) or cell.strip('"').startswith("'")


@given(st.text(alphabet="'=+-@\t\r1.ae; \"\n"))
def test_a_cell_can_be_read_again(text: str) -> None:
    assert from_cell(as_cell(text)) == text


@pytest.mark.parametrize(
    "argument", ["+model.x._target_=torch.load", "model.width=${oc.env:HOME}", "hydra/launcher=slurm"]
)
def test_no_command_line_is_made_of_a_records_code(argument: str, study: Path) -> None:
    dice = Run("synthetic", "unet", "dice", 7)
    assert train_lines(load_study(study), [dice])
    for path in study.glob("synthetic/unet/*/repeat_*/result.json"):
        edit(path, lambda record: record["overrides"].append(argument))
    assert train_lines(load_study(study), [dice]) is None
