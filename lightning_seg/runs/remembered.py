"""What was read of runs, kept while their files stay as they are: what watches a study reads no run twice."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from lightning_seg.files import trace

T = TypeVar("T")
_Known = dict[Hashable, tuple[list[str], object]]
_known: _Known | None = None


@contextmanager
def remembering() -> Iterator[None]:
    """Remember, in this block, what :func:`remembered` reads."""
    global _known
    before, _known = _known, {}
    try:
        yield
    finally:
        _known = before


def remembered(what: str, first: Path, *others: Path, read: Callable[[], T]) -> T:
    """What ``read`` returns, which is called again only where one of the files has changed.

    Outside of :func:`remembering`, and of a run without the first file, nothing is kept. What is kept is handed out
    again as it is, and must not be changed.

    Args:
        what: is read; another ``what`` of the same files is kept apart.
        first, others: files that it is read from.
        read: reads it.
    """
    known = _known
    if known is None:
        return read()
    traces = [trace(path) for path in (first, *others)]  # before it is read, so that a later change counts
    key = (what, first)
    if key in known and known[key][0] == traces:
        return known[key][1]  # type: ignore[return-value]
    value = read()
    if traces[0]:
        known[key] = (traces, value)
    return value
