"""Arguments of Hydra's command line, made by code."""

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException


def override_value(text: str) -> str:
    """A value that Hydra reads as exactly this text: the text itself if it does so, else the text in single quotes.

    Quotes are for what it would refuse (``läsionen``), take apart (``a,b``) or take for no text (``2024``, ``null``).
    """
    try:
        is_plain = OverridesParser.create().parse_override(f"key={text}").value() == text
    except HydraException:
        is_plain = False
    return text if is_plain else QuotedString(text, Quote.single).with_quotes()
