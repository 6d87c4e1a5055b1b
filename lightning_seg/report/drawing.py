"""Figures are drawn where they have changed, and kept where they have not."""

import hashlib
import pickle
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib

from lightning_seg.errors import UnreadableError
from lightning_seg.files import read_bytes, read_notes, trace, write_json
from lightning_seg.report.current import code_hash
from lightning_seg.report.figures.style import FORMATS, Figure, file_names, for_page, save

_KEPT = ".drawn.json"  # beside the figures
_MOST_SVG_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Drawing:
    """A figure, or some of one kind, still to be drawn.

    Attributes:
        draw: what draws it.
        inputs: the arguments of ``draw``, on which alone the figure depends.
        file_only: its name, where the page shows the same in another form: it is drawn only where files are asked for.
        kept: whether it may be kept while code and inputs stay; not so where the code is somebody else's.
    """

    draw: Callable[..., Figure | Sequence[Figure]]
    inputs: tuple[Any, ...]
    file_only: str = ""
    kept: bool = True

    def figures(self) -> list[Figure]:
        """Draw."""
        drawn = self.draw(*self.inputs)
        return [drawn] if isinstance(drawn, Figure) else [*drawn]

    def key(self) -> str:
        """What changes where code, inputs or fonts do; as a draft, it may change where they do not."""
        digest = hashlib.sha256(f"{self.draw.__module__}.{self.draw.__qualname__}".encode())
        digest.update(_surroundings().encode())
        digest.update(pickle.dumps(self.inputs, protocol=5))
        return digest.hexdigest()


@dataclass(frozen=True)
class Shown:
    """A drawn figure, for the page.

    Attributes:
        name: of its files, without ending.
        title, caption: plain text.
        svg: to be put into the page.
        files: those that were written.
    """

    name: str
    title: str
    caption: str
    svg: str
    files: tuple[str, ...]


def draw_all(drawings: Sequence[Drawing], directory: Path, formats: Collection[str]) -> dict[str, Shown]:
    """Draw what has changed since the last time, and write it; figures by name.

    Args:
        directory: of the figures.
        formats: those of ``FORMATS`` that are asked for beside the page's own figures; with any of them, all figures
            are written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    kept = read_notes(directory / _KEPT)
    now: dict[str, Any] = {}
    shown: dict[str, Shown] = {}
    for drawing in drawings:
        key = drawing.key() if drawing.kept else ""
        found = _take(kept.get(key), directory, formats) if key else None
        if found is None and drawing.file_only and not formats:
            continue
        if found is None:
            found = [_draw(figure, directory, formats) for figure in drawing.figures()]
        if key:
            now[key] = [_as_kept(figure, directory) for figure in found]
        shown |= {figure.name: figure for figure in found}
    _remove_outdated(directory, [drawing.file_only for drawing in drawings], kept, shown)
    write_json(directory / _KEPT, now)
    return shown


def _draw(figure: Figure, directory: Path, formats: Collection[str]) -> Shown:
    svg = for_page(save(figure, directory, formats), figure.title)
    return Shown(figure.name, figure.title, figure.caption, svg, tuple(file_names(figure, formats)))


def _take(kept: Any, directory: Path, formats: Collection[str]) -> list[Shown] | None:
    """Figures that were drawn before, where their files are as this program has left them."""
    if not isinstance(kept, list):
        return None
    taken = []
    for entry in kept:
        try:
            name, title, files = entry["name"], entry["title"], entry["files"]
            if {f"{name}.{ending}" for ending in ("svg", *formats)} - set(files):
                return None
            if any(trace(directory / file) != wanted for file, wanted in files.items()):
                return None
            svg = read_bytes(directory / f"{name}.svg", _MOST_SVG_BYTES).decode()
        except (KeyError, TypeError, AttributeError, ValueError, OSError, UnreadableError):
            return None
        taken.append(Shown(name, title, entry["caption"], for_page(svg, title), tuple(files)))
    return taken


def _as_kept(figure: Shown, directory: Path) -> dict[str, Any]:
    entry = asdict(figure) | {"files": {file: trace(directory / file) for file in figure.files}}
    del entry["svg"]
    return entry


def _remove_outdated(
    directory: Path, file_only: Iterable[str], kept: Mapping[str, Any], shown: Mapping[str, Shown]
) -> None:
    """Files of an earlier report that this one has not written: they show other numbers."""
    present = {file for figure in shown.values() for file in figure.files}
    for name in {*filter(None, file_only), *shown, *_names(kept)}:
        for file in (f"{name}.{ending}" for ending in FORMATS):
            if file not in present and Path(file).name == file:
                (directory / file).unlink(missing_ok=True)


def _names(kept: Mapping[str, Any]) -> Iterator[str]:
    for entries in kept.values():
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                yield entry["name"]


@cache
def _surroundings() -> str:
    """The code and the fonts that figures are drawn with."""
    return f"{code_hash()} {matplotlib.__version__} {matplotlib.rcParams['font.family']}"
