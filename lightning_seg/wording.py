"""How numbers and names are put into words, the same wherever a user meets them.

Names and messages may come from a record or a file's name. :func:`printable`, :func:`as_markdown` and :func:`as_cell`
make of them what a terminal, a Markdown page and a spreadsheet show and do not obey.
"""

import re
import textwrap
from typing import Any

LONGEST_LABEL = 24  # characters of a name in a figure
_SINGULAR = {"are": "is", "were": "was", "have": "has", "do": "does"}


def duration(seconds: float) -> str:
    """A duration in its two largest units: ``"3 d 4 h"``, ``"2 h 10 min"``, ``"45 s"``."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 1:
        return f"{int(days)} d {int(hours % 24)} h"
    if hours >= 1:
        return f"{int(hours)} h {int(minutes % 60)} min"
    return f"{int(minutes)} min {int(seconds % 60)} s" if minutes >= 1 else f"{seconds:.0f} s"


def fixed(value: float, digits: int = 2) -> str:
    """A number with so many digits after the point; what rounds to zero has no sign."""
    return f"{value:z.{digits}f}"


def counted(count: int, noun: str, verb: str = "", of: int | None = None) -> str:
    """A number and what it counts: ``"1 epoch"``, ``"2 losses"``, ``"3,600 runs"``.

    Args:
        count: the number.
        noun: one of what is counted.
        verb: what follows, as :func:`agreeing` takes it: ``"1 run is"``.
        of: how many there are in all: ``"1 of 12 runs is"``.
    """
    number = f"{count:,}" if of is None else f"{count:,} of {of:,}"
    one = (count if of is None else of) == 1
    return " ".join(filter(None, (number, noun if one else _plural(noun), agreeing(count, verb))))


def agreeing(count: int, verb: str) -> str:
    """A verb, given in its plural, that agrees with a number: ``"is"`` for 1, else ``"are"``; ``"lies"``, ``"lie"``."""
    return _SINGULAR.get(verb, f"{verb}s") if count == 1 and verb else verb


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "sh", "tch")):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if re.search(r"[^aeiou]y$", noun) else f"{noun}s"


def short(name: str) -> str:
    """A name as it fits into a figure: a long one loses its middle, since its beginning and end tell it from others."""
    if len(name) <= LONGEST_LABEL:
        return name
    end = (LONGEST_LABEL - 1) // 2
    return f"{name[: LONGEST_LABEL - 1 - end]}…{name[-end:]}"


# A word of a command line, quoted parts included; and what of a sentence is to be copied, in backquotes or quotes.
_WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+""")
_COPIED = re.compile(r"`[^`]+`|(?<!\w)'(?=\S)[^']+'(?!\w)")


def continued(commands: str, width: int) -> str:
    """Commands, one a line, for a terminal: a longer one goes on behind ``" \\"``, so that no word of it is broken.

    What is copied from there runs as it is.

    Args:
        commands: as they are typed, with their quotes.
        width: of the terminal, in characters.
    """
    lines: list[str] = []
    for command in commands.splitlines():
        words = [match[0] for match in _WORD.finditer(command)]
        if len(command) <= width or " ".join(words) != command:  # or it is none, and is left as it is
            words = [command]
        lines.append(words[0])
        for word in words[1:]:
            if len(lines[-1]) + len(word) + 3 <= width:  # with a space on either side of the backslash's place
                lines[-1] += f" {word}"
            else:
                lines[-1] += " \\"
                lines += _listed(f"  {word}", width)
    return "\n".join(lines)


def _listed(word: str, width: int) -> list[str]:
    """A word that is too long for a line as several, each but the last ending behind a comma with ``"\\"``."""
    lines = [""]
    for part in re.split(r"(?<=,)", word) if len(word) + 2 > width and "'" not in word else [word]:
        if lines[-1] and len(lines[-1]) + len(part) + 2 > width:
            lines[-1] += "\\"
            lines.append("")  # without a margin, which would become part of the word
        lines[-1] += part
    return lines


def filled(text: str, width: int, indent: str = "") -> str:
    """Sentences in lines that fit a terminal; no word is broken, and nothing that stands in quotes to be copied.

    Args:
        text: sentences; line feeds in it stay.
        width: of the terminal, in characters.
        indent: what each line begins with.
    """
    lines = []
    for line in text.splitlines():
        whole = _COPIED.sub(lambda match: match[0].replace(" ", "\0"), line.lstrip())
        margin = indent + " " * (len(line) - len(line.lstrip()))
        wrapped = textwrap.wrap(
            whole,
            width,
            initial_indent=margin,
            subsequent_indent=margin,
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += wrapped or [""]
    return "\n".join(lines).replace("\0", " ")


def byte_count(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


# What moves the cursor, colours, hides or turns text around in a terminal: control characters, and those that change
# the direction of writing; and halves of characters, which no terminal can be sent.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
# Where a cell begins, in countries where semicolons part cells too. The last four signs are wide forms of the first,
# which some spreadsheets take for them.
_CELL = r"(?:\A|(?<=[;\t\r\n]))"
_FORMULA = r"(?=[ \"']*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])"
_BARE, _MARKED = re.compile(_CELL + _FORMULA), re.compile(f"{_CELL}'{_FORMULA}")


def printable(text: object, lines: bool = False) -> str:
    """A text for a terminal, in which control characters are spelt out, as ``\\x1b``.

    Args:
        text: that may come from anywhere.
        lines: leave line feeds and tabs as they are.
    """

    def spelt(match: re.Match[str]) -> str:
        sign = match[0]
        return sign if lines and sign in "\n\t" else sign.encode("unicode_escape", "surrogatepass").decode("ascii")

    return _CONTROLS.sub(spelt, str(text))


def as_markdown(text: object) -> str:
    """A text for a line of Markdown or a cell of its tables: shown as it is, without markup, HTML or links."""
    shown = printable(" ".join(str(text).split()))
    shown = re.sub(r"[&<>]", lambda match: {"&": "&amp;", "<": "&lt;", ">": "&gt;"}[match[0]], shown)
    shown = re.sub(r"[\\`*\[\]|~!]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", shown)
    shown = re.sub(r"^(\d*)([#+-]+|(?<=\d)[.)])(?=\s|$)", r"\1\\\2", shown)
    # Addresses become links without any markup.
    return re.sub(r":(?=//)|(?<=www)\.|@", lambda match: f"&#{ord(match[0])};", shown, flags=re.I)


def as_cell(value: Any) -> Any:
    """A value for a CSV file: what a spreadsheet would take for a formula begins with an apostrophe.

    Numbers stay as they are, as texts too.
    """
    return _BARE.sub("'", value) if isinstance(value, str) and not _is_number(value) else value


def from_cell(text: str) -> str:
    """What :func:`as_cell` was given."""
    return _MARKED.sub("", text)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, flags=re.I | re.ASCII) is not None
