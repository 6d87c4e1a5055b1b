"""Values of arguments, read back by Hydra itself."""

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lightning_seg.config.overrides import override_value
from lightning_seg.report.command_lines import Run, train_lines
from lightning_seg.report.records import load_study
from tests.report.make_study import make_study


@pytest.mark.parametrize(
    "text",
    [
        *("plain", "/disk/my-lesions_1", "../up", "", "my lesions", " a ", "läsionen", "日本", "a\nb"),
        *("2024", "-1", "1e3", "inf", "null", "True", "~/data", "a~b", "a=b", "a,b", "a;b", "#1"),
        *("(1)", "choice(a,b)", "range(3)", "glob(*)", "[a]", "{a: b}"),
        *("it's", 'the "x"', "'quoted'", "back\\slash", "escaped\\,comma", "end\\", "\\'", "a\\\\'b"),
    ],
)
def test_hydra_reads_the_very_text(text: str) -> None:
    override = OverridesParser.create().parse_override(f"key={override_value(text)}")
    assert override.value() == text
    assert not override.is_sweep_override()


@pytest.mark.parametrize("text", ["advise_lesions", "/disk/my-lesions", "../a.b", "a:b"])
def test_quotes_are_only_where_they_are_needed(text: str) -> None:
    assert override_value(text) == text


def test_the_reports_lines_name_a_study_of_any_name(tmp_path: Path) -> None:
    directory = make_study(tmp_path / "läsionen=b" / "2024", ["isic"], ["fcn"], ["dice", "bce"], repeats=2, cases=0)
    lines = train_lines(load_study(directory), [Run("isic", "fcn", "dice", 2)])
    assert lines is not None
    arguments = shlex.split(lines.partition(" -m ")[2])
    values = {value.get_key_element(): value.value() for value in OverridesParser.create().parse_overrides(arguments)}
    assert (values["study"], values["output_dir"]) == ("2024", str(directory.parent))
