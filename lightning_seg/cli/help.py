"""``train --help`` with the comments of the YAML files, which Hydra leaves out, and the name that was typed."""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from lightning_seg.config.compose import CONFIG_DIR

_LINE = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_]\w*):(?P<rest>.*)")
_COLUMN = 34  # where comments begin, if the value leaves room


def with_comments(show: Callable[[], object], arguments: Sequence[str], program: str) -> str:
    """What ``show`` prints, Hydra's help, with a comment behind each value of which its file has one.

    Args:
        arguments: of the command line; they choose the files.
        program: as it was typed, for the examples.
    """
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            show()
    except SystemExit:
        pass
    head, mark, values = printed.getvalue().partition("Values of the chosen configuration")
    comments = _comments(arguments)
    lines = [
        f"{line:<{_COLUMN}} # {comments[key]}" if key in comments else line
        for line, key in zip(values.splitlines(), _keys_of(values.splitlines()), strict=True)
    ]
    return head.replace("lightning-seg train", program) + mark + "\n".join(lines) + "\n"


def _comments(arguments: Sequence[str]) -> dict[str, str]:
    """Comments by dotted key: of the main file, and of the file that is chosen in each group."""
    main = (CONFIG_DIR / "config.yaml").read_text(encoding="utf-8")
    chosen = dict(re.findall(r"^  - (?:override )?/?(\w+): (\w+)", main, flags=re.M))
    chosen |= {key: value for key, _, value in (each.partition("=") for each in arguments) if value}
    found = dict(comments_of(main, ""))
    for group, choice in chosen.items():
        path = CONFIG_DIR / group / f"{Path(choice).name}.yaml"
        if path.is_file():
            found |= comments_of(path.read_text(encoding="utf-8"), f"{group}.")
    return found


def comments_of(text: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, comment) of each line of a YAML file that has both."""
    lines = text.splitlines()
    for line, key in zip(lines, _keys_of(lines), strict=True):
        _, sign, comment = line.partition(" # ")
        if key and sign:
            yield prefix + key, comment.strip()


def _keys_of(lines: Iterable[str]) -> Iterator[str]:
    """The dotted key of each line of a YAML mapping; "" for a line that begins none."""
    above: list[tuple[int, str]] = []
    for line in lines:
        matched = _LINE.fullmatch(line)
        if matched is None:
            yield ""
            continue
        indent = len(matched["indent"])
        above = [(depth, key) for depth, key in above if depth < indent]
        above.append((indent, matched["key"]))
        yield ".".join(key for _, key in above)
