"""Numbers in words."""

import pandas as pd
import pytest

from lightning_seg.report.tables import Table
from lightning_seg.wording import counted, fixed


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
    ("value", "digits", "text"),
    [(-0.001, 2, "0.00"), (-0.0, 1, "0.0"), (-0.005001, 2, "-0.01"), (1.005, 3, "1.005"), (-0.4, 0, "0")],
)
def test_what_rounds_to_zero_has_no_sign(value: float, digits: int, text: str) -> None:
    assert fixed(value, digits) == text
    table = Table("t", "T", "", pd.DataFrame({"x": [value]}), {"x": digits})
    assert table.shown(0, "x", value) == text
