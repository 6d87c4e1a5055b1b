"""Numbers in words."""

import re
import shlex

import pandas as pd
import pytest

from lightning_seg.catalogue import LOSSES
from lightning_seg.report.tables import Table
from lightning_seg.wording import agreeing, continued, counted, filled, fixed


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "image", "0 images"),
        (1, "epoch", "1 epoch"),
        (100, "epoch", "100 epochs"),
        (2, "loss", "2 losses"),
        (2, "study", "2 studies"),
        (2, "day", "2 days"),
        (2, "batch", "2 batches"),
        (3600, "run", "3,600 runs"),
        (2, "dataset x model cell", "2 dataset x model cells"),
    ],
)
def test_a_number_agrees_with_what_it_counts(count: int, noun: str, text: str) -> None:
    assert counted(count, noun) == text


@pytest.mark.parametrize(
    ("count", "verb", "of", "text"),
    [
        (1, "are", None, "1 run is"),
        (0, "were", None, "0 runs were"),
        (2, "have", None, "2 runs have"),
        (1, "have", None, "1 run has"),
        (1, "differ", None, "1 run differs"),
        (1, "are", 12, "1 of 12 runs is"),
        (1, "do", 1, "1 of 1 run does"),
        (1200, "are", 3600, "1,200 of 3,600 runs are"),
        (1, "", 12, "1 of 12 runs"),
    ],
)
def test_a_verb_agrees_with_the_number(count: int, verb: str, of: int | None, text: str) -> None:
    assert counted(count, "run", verb, of) == text
    assert not verb or agreeing(count, verb) == text.split()[-1]


_LONG = """lightning-seg train -m "study=my lesions" 'loss=tversky(alpha=0.3),dice' model=unet,fcn data_dir=/a\\ b/c"""


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_command_to_copy_is_broken_between_words_alone_and_stays_the_same(width: int) -> None:
    shown = continued(f"{_LONG}\nlightning-seg status", width)
    assert shlex.split(shown.replace("\\\n", "")) == [*shlex.split(_LONG), "lightning-seg", "status"]  # as a shell does
    first = shown.splitlines()[:-1]
    assert all(line.endswith(" \\") for line in first[:-1]) and not first[-1].endswith("\\")
    assert all(len(line) <= width for line in first)
    assert (len(first) == 1) == (len(_LONG) <= width)


def test_a_long_list_in_a_command_is_broken_between_its_members() -> None:
    command = f"lightning-seg train -m loss={','.join(LOSSES)} repeat=0,1"
    lines = continued(command, 60).splitlines()
    assert max(map(len, lines)) <= 60 and {*LOSSES} <= {*re.findall(r"\w+", "\n".join(lines))}
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)


def test_what_is_no_command_stays_as_it_is() -> None:
    text = "\nit's  no command, with one quote that nothing ends"
    assert continued(text, 20) == text


@pytest.mark.parametrize("width", [30, 60])
def test_a_sentence_breaks_no_command_in_it(width: int) -> None:
    text = "The runs' data is missing: run `lightning-seg prepare isic` or 'lightning-seg prepare all --from F'.\n  So."
    shown = filled(text, width)
    assert " ".join(shown.split()) == " ".join(text.split()) and shown.endswith("\n  So.")
    assert "`lightning-seg prepare isic`" in shown and "'lightning-seg prepare all --from F'" in shown
    assert max(map(len, shown.splitlines())) <= max(width, 38)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(-0.001, 2, "0.00"), (-0.0, 1, "0.0"), (-0.005001, 2, "-0.01"), (1.005, 3, "1.005"), (-0.4, 0, "0")],
)
def test_what_rounds_to_zero_has_no_sign(value: float, digits: int, text: str) -> None:
    assert fixed(value, digits) == text
    table = Table("t", "T", "", pd.DataFrame({"x": [value]}), {"x": digits})
    assert table.shown(0, "x", value) == text
