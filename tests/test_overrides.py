"""Values of arguments, read back by Hydra itself."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lightning_seg.overrides import override_value


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
