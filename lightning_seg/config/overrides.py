"""Arguments of Hydra's command line, made by code or put right before Hydra sees them."""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

_HOME = re.compile(r"~(?=/|$)")
# Values that the shell or Hydra would take for something else: a colour, a bound.
_ODD_LESION = re.compile(r"\+{0,2}dataset\.lesion=(#|<|>).*")


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
