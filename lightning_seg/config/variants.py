"""A loss with other hyperparameters as a choice of its own: ``loss=tversky(alpha=0.3),tversky(alpha=0.7)``.

Its results have a name that says them, ``tversky+alpha=0.3``, which is a choice as well. Hydra's grammar wants both
forms in quotes (``loss='tversky(alpha=0.3)'``, which a shell takes away); :func:`as_hydra_reads` adds them.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from lightning_seg.config.compose import CONFIG_DIR, compose_config, nest, plain
from lightning_seg.errors import UserError

SURVEY = "survey"  # the choice that stands for all built-in losses in a grid
_OPEN = ("monai",)  # which takes more than its configuration lists
_CALL = re.compile(r"(\w+)\((.*)\)")
_NAME = re.compile(r"(\w+)((?:\+[\w.]+=[\w.-]+)+)")
_HYDRA_FUNCTIONS = ("choice", "range", "interval", "glob", "shuffle", "sort", "tag", "int", "float", "str", "bool")


class Variant(NamedTuple):
    """A choice of a loss, and what is changed of it.

    Attributes:
        base: the choice.
        settings: hyperparameters by their names, as they were written.
    """

    base: str
    settings: dict[str, str]


def parse(choice: str) -> Variant | None:
    """The loss and the settings that a choice such as ``tversky(alpha=0.3, beta=0.7)`` names; ``None`` for others."""
    if call := _CALL.fullmatch(choice):
        parts = [part.strip() for part in call[2].split(",")]
    elif call := _NAME.fullmatch(choice):
        parts = call[2].removeprefix("+").split("+")
    else:
        return None
    pairs = [part.partition("=") for part in parts]
    return Variant(call[1], {key.strip(): value.strip() for key, _, value in pairs})


def content(choice: str) -> dict[str, Any]:
    """The configuration of a variant: its loss as the default, and what is changed.

    Raises:
        UserError: there is no such loss or hyperparameter, or a value has no place in a folder's name.
    """
    variant = parse(choice)
    assert variant is not None
    listed = _flat(plain(compose_config([f"loss={variant.base}"]).loss))
    known = {path: value for path, value in listed if path != "name" and not path.endswith("_target_")}
    chosen = {}
    for key, text in variant.settings.items():
        path = _path_of(key, list(known), variant.base)
        chosen[path] = _value(text, known.get(path), key, choice)
    ordered = [path for path in known if path in chosen] + [path for path in chosen if path not in known]
    name = "+".join([variant.base, *(f"{_short(path, list(known))}={_text(chosen[path])}" for path in ordered)])
    return {"defaults": [variant.base, "_self_"], "name": name, **nest({path: chosen[path] for path in ordered})}


def as_hydra_reads(argument: str) -> str:
    """An argument in Hydra's grammar: variants of losses in quotes, ``survey`` as the list of all losses."""
    key, sign, values = argument.partition("=")
    if key.lstrip("+") != "loss" or not sign:
        return argument
    choices = []
    for value in _split(values):
        if value == SURVEY:
            choices += survey()
        elif (variant := parse(value)) and variant.base not in _HYDRA_FUNCTIONS:
            choices.append(f"'{value}'")
        else:
            choices.append(value)
    return f"{key}={','.join(choices)}"


def survey() -> list[str]:
    """All built-in losses, sorted by name."""
    return sorted(path.stem for path in (CONFIG_DIR / "loss").glob("*.yaml") if path.stem not in _OPEN)


def _split(values: str) -> Iterator[str]:
    """What stands between commas that are in no brackets or quotes."""
    depth, quote, start = 0, "", 0
    for place, sign in enumerate(values):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == "," and depth == 0:
            yield values[start:place].strip()
            start = place + 1
    yield values[start:].strip()


def _flat(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _ends(path: str, key: str) -> bool:
    return path == key or path.endswith(f".{key}")


def _path_of(key: str, known: list[str], base: str) -> str:
    """The key of the loss's configuration that a hyperparameter's name, or the end of one, stands for."""
    found = [key] if key in known else [path for path in known if _ends(path, key)]
    if len(found) == 1:
        return found[0]
    if not found and base in _OPEN:
        return key
    names = ", ".join(_short(path, known) for path in known)
    what = f"hyperparameters called {key!r}" if found else f"hyperparameter {key!r}"
    how = "several" if found else "no"
    raise UserError(f"loss={base} has {how} {what}; {base}(...) takes {names or 'none'}.")


def _short(path: str, known: list[str]) -> str:
    """The key without the term that it belongs to, or at least without ``terms``, if no other key ends so."""
    if not path.startswith("terms."):
        return path
    last = path.rpartition(".")[2]
    return last if sum(_ends(other, last) for other in known) == 1 else path.removeprefix("terms.")


def _value(text: str, default: Any, key: str, choice: str) -> bool | int | float | str:
    if not re.fullmatch(r"[\w.+-]+", text):
        raise UserError(
            f"loss={choice}: {key}={text} has no place in a folder's name; set loss.{key}=... and name the loss with "
            "loss.name=..."
        )
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() and not isinstance(default, float) else number


def _text(value: bool | int | float | str) -> str:
    """A value in a name, the same for 0.30 and 0.3."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    short = f"{value:g}"
    return (short if float(short) == value else repr(value)).replace("e+", "e")
