"""Valid values: predicates, and the words that say what they ask for.

A room that owns a part of the configuration says in its ``rules.py`` what values that part may have;
:mod:`lightning_seg.config.rules` joins them. Nothing heavy is imported, since every command starts with this.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """What a value must be.

    Attributes:
        holds: whether a value is valid.
        meaning: what is valid, to follow "it must be".
    """

    holds: Callable[[Any], bool]
    meaning: str


Rules = Mapping[str, Rule]  # by dotted key


def whole(least: int, what: str = "a whole number", also: str = "") -> Rule:
    """A whole number from ``least``."""
    return Rule(lambda value: is_whole(value, least), f"{what} from {least}{also}")


def number(least: float, *, open_end: bool = False) -> Rule:
    """A number from ``least``, or above it."""
    if open_end:
        return Rule(lambda value: is_number(value) and value > least, f"a number above {least:g}")
    return Rule(lambda value: is_number(value) and value >= least, f"a number from {least:g}")


def boolean() -> Rule:
    """True or false."""
    return Rule(lambda value: isinstance(value, bool), "true or false")


def one_of(*values: str | None) -> Rule:
    """One of some values."""
    *first, last = ("null" if value is None else value for value in values)
    return Rule(lambda value: value in values, f"{', '.join(first)} or {last}")


def optional(rule: Rule) -> Rule:
    """Null as well."""
    return Rule(lambda value: value is None or rule.holds(value), f"{rule.meaning}, or null")


def is_whole(value: Any, least: int = 0) -> bool:
    """Whether a value is a whole number from ``least``."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: Any) -> bool:
    """Whether a value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_file(value: Any) -> bool:
    """Whether a value is the path of a file that is there."""
    return isinstance(value, str) and Path(value).expanduser().is_file()
