"""Arguments of Hydra's command line, made by code or put right before Hydra sees them."""

import re
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

_HOME = re.compile(r"~(?=/|$)")
# Values that the shell or Hydra would take for something else: a colour, a bound.
_ODD_LESION = re.compile(r"\+{0,2}dataset\.lesion=(#|<|>).*")
_LONGEST = 4096  # characters of an argument
_KEY = re.compile(r"\+?[a-z][a-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")


@cache
def is_plain(argument: str) -> bool:
    """Whether an argument of a run that may come from anywhere does no more than choose and set plain values.

    It names no class (``_target_``), takes nothing away, sets nothing of Hydra's own, and neither interpolates nor
    calls a function.
    """
    key, _, value = argument.partition("=")
    if _KEY.fullmatch(key) is None or key.lstrip("+").split(".")[0] == "hydra" or "$" in value:
        return False
    if "_target_" in value or len(argument) > _LONGEST:
        return False
    try:
        parsed = OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return not parsed.is_sweep_override() and not isinstance(parsed.value(), dict)


def override_value(text: str) -> str:
    """A value that Hydra reads as exactly this text: the text itself if it does so, else the text in single quotes.

    Quotes are for what it would refuse (``läsionen``), take apart (``a,b``) or take for no text (``2024``, ``null``).
    """
    try:
        is_plain = OverridesParser.create().parse_override(f"key={text}").value() == text
    except HydraException:
        is_plain = False
    return text if is_plain else QuotedString(text, Quote.single).with_quotes()


def readable(arguments: Iterable[str]) -> list[str]:
    """Command-line arguments as Hydra can read them: ``key=~/x`` with the home folder, a colour or a bound quoted.

    A shell replaces ``~`` only where a word begins with it. Of several values, as in ``key=~/a,~/b``, each is replaced.
    """
    found = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and _HOME.match(value):
            values = [_at_home(part) for part in value.split(",")]
            quoted = values if key.startswith("--") else [override_value(each) for each in values]
            argument = f"{key}={','.join(quoted)}"
        elif _ODD_LESION.fullmatch(argument):
            argument = f"{key}={override_value(value)}"
        found.append(argument)
    return found


def _at_home(text: str) -> str:
    return str(Path(text).expanduser()) if _HOME.match(text) else text


def line_to_type(override: str) -> str:
    """An override that Hydra cannot read as it has to be typed in a shell so that its value is taken as it stands."""
    key, _, value = override.partition("=")
    line = f"{key}={override_value(value)}"
    return shlex.quote(line) if re.search(r'["$`\\!]', line) else f'"{line}"'


def literal(value: Any) -> str:
    """A value as Hydra reads it: a number, a text, true, false, null, or a list or mapping of such."""
    if isinstance(value, str):
        return override_value(value)
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(literal, value)) + "]"
    return repr(value)


def settings_overrides(settings: Mapping[str, Any]) -> list[str]:
    """Settings, by configuration key, as arguments."""
    return [f"{key}={literal(value)}" for key, value in settings.items()]


def letting_in(argument: str) -> str:
    """An argument that may add its key, where it is below a part that takes keys which its YAML does not list."""
    return f"++{argument}" if argument.startswith("tune.") else argument
