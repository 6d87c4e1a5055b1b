"""Numbers in words."""

import pandas as pd
import pytest

from lightning_seg.report.tables import Table
from lightning_seg.wording import agreeing, counted, fixed


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


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(-0.001, 2, "0.00"), (-0.0, 1, "0.0"), (-0.005001, 2, "-0.01"), (1.005, 3, "1.005"), (-0.4, 0, "0")],
)
def test_what_rounds_to_zero_has_no_sign(value: float, digits: int, text: str) -> None:
    assert fixed(value, digits) == text
    table = Table("t", "T", "", pd.DataFrame({"x": [value]}), {"x": digits})
    assert table.shown(0, "x", value) == text
