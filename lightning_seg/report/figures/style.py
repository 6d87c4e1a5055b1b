"""The look of all figures, and how they are saved: as SVG, as PDF and PNG where asked for, and within the page."""

import html
import io
import logging
import re
import textwrap
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Canvas
from matplotlib.typing import ColorType

from lightning_seg.files import write_bytes, write_text

INK, FAINT, LINE = "#1b1f24", "#6e7781", "#d0d7de"
DARK, LIGHT, MARK, GOOD, BAD = "#3b4a6b", "#a9b8d4", "#c2410c", "#0f766e", "#b91c1c"
PAPER = "#fefefe"  # inside hollow dots, which are of the page's own colour; white stays white
# Ten hues, each with a contrast of at least 4.5 to paper; markers tell them apart where colours do not. The page has
# lighter ones in its dark theme (`--hue-0` and so on in page.css), in the same order.
HUES = ("#3b5bdb", "#c2410c", "#237032", "#c2255c", "#0b7285", "#9c36b5", "#7a6000", "#1864ab", "#a0522d", "#687077")
_MARKERS = "osD^vP*Xhd"
FORMATS = ("svg", "pdf", "png")
DPI = 300  # of PNG files

# Fonts that have Chinese, Japanese or Korean letters, which the usual one lacks: names of datasets may hold any.
_EAST_ASIAN = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "PingFang SC", "Hiragino Sans", "Microsoft YaHei",
    "Yu Gothic", "Malgun Gothic", "Apple SD Gothic Neo", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Arial Unicode MS",
)  # fmt: skip


def _for_other_scripts() -> list[str]:
    """Those of the fonts above that are installed, for letters that the usual font lacks."""
    installed = set(font_manager.get_font_names())
    return [name for name in _EAST_ASIAN if name in installed][:1]


logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # such a font has no bold letters

matplotlib.rcdefaults()  # whatever a file in the working directory says, such as to run LaTeX
matplotlib.rcParams.update(
    {
        "font.family": ["sans-serif", *_for_other_scripts()],
        "font.size": 9,
        "text.parse_math": False,  # names of runs are no formulae
        "text.color": INK,
        "axes.facecolor": "none",
        "axes.labelcolor": INK,
        "axes.edgecolor": FAINT,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "image.composite_image": False,  # each picture keeps its own pixels
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
    }
)


@dataclass
class Figure:
    """A drawn figure.

    Attributes:
        name: file name without ending.
        title, caption: plain text for the page.
        canvas: matplotlib's figure.
        tips: hover texts, in the order in which :meth:`tip` numbered their artists.
    """

    name: str
    title: str
    caption: str
    canvas: Canvas
    tips: list[str] = field(default_factory=list)

    def tip(self, artist: Artist, text: str) -> None:
        """Show ``text`` where the pointer rests on ``artist`` (in the page)."""
        artist.set_gid(f"tip-{self.name}-{len(self.tips)}")
        self.tips.append(text)


def new(name: str, title: str, caption: str, width: float = 7.2, height: float = 3.6) -> Figure:
    """An empty figure of the given size in inches."""
    return Figure(name, title, caption, Canvas(figsize=(width, height), layout="constrained"))


def room_for(names: Iterable[str]) -> float:
    """Inches that the longest of these names takes beyond a short one, at the usual size."""
    return 0.075 * max(max(map(len, names), default=0) - 10, 0)


def luminance(colour: ColorType) -> float:
    """Relative luminance of a colour, 0 to 1 (WCAG 2.1)."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: ColorType, other: ColorType) -> float:
    """Contrast of two colours, 1 to 21 (WCAG 2.1); small texts need 4.5."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(colour: ColorType) -> str:
    """Black or white, whichever is easier to read on a colour: the contrast is above 4.5 on any."""
    return max(("black", "white"), key=lambda ink: contrast(ink, colour))


def wrapped(name: str, width: int) -> str:
    """A name on lines of at most ``width`` characters."""
    return "\n".join(textwrap.wrap(name, width)) or name


def colours(losses: Sequence[str]) -> dict[str, str]:
    """A colour for every loss, the same in all figures of a report."""
    return {loss: HUES[n % len(HUES)] for n, loss in enumerate(sorted(losses))}


def markers(losses: Sequence[str]) -> dict[str, str]:
    """A marker for every loss, so that colour is never the only sign."""
    return {loss: _MARKERS[n % len(_MARKERS)] for n, loss in enumerate(sorted(losses))}


def file_names(figure: Figure, formats: Iterable[str] = FORMATS) -> list[str]:
    """The files that :func:`save` writes."""
    return [f"{figure.name}.{ending}" for ending in FORMATS if ending in {"svg", *formats}]


def save(figure: Figure, directory: Path, formats: Collection[str] = FORMATS) -> str:
    """Write ``<name>.svg`` and, where they are among the formats, ``.pdf`` and ``.png``; return the SVG as written."""
    directory.mkdir(parents=True, exist_ok=True)
    lay_out(figure.canvas)
    svg = _with_tips(_svg(figure), figure)
    write_text(directory / f"{figure.name}.svg", svg)
    for ending, options in (("pdf", {"metadata": {"CreationDate": None}}), ("png", {"dpi": DPI})):
        if ending in formats:
            buffer = io.BytesIO()
            with _letters_of_any_script():
                figure.canvas.savefig(buffer, format=ending, **options)
            write_bytes(directory / f"{figure.name}.{ending}", buffer.getvalue())
    return svg


def lay_out(canvas: Canvas) -> None:
    """Find the places of all parts once; every format then keeps them."""
    engine = canvas.get_layout_engine()
    if engine is not None:
        with _letters_of_any_script():
            engine.execute(canvas)
        canvas.set_layout_engine("none")


def _svg(figure: Figure) -> str:
    """As ``savefig`` draws it, which draws twice to find a layout that is found already."""
    buffer = io.StringIO()
    with _letters_of_any_script(), matplotlib.rc_context({"svg.hashsalt": figure.name}):
        FigureCanvasSVG(figure.canvas).print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue()


@contextmanager
def _letters_of_any_script() -> Iterator[None]:
    """Say nothing of letters that no font has: PNG and PDF show a box, SVG leaves them to the reader's browser."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s)Glyph \d+ .*missing from|Matplotlib currently does not support")
        yield


def _with_tips(svg: str, figure: Figure) -> str:
    for n, text in enumerate(figure.tips):
        place = f'<g id="tip-{figure.name}-{n}">'
        svg = svg.replace(place, f"{place}<title>{html.escape(text)}</title>", 1)
    return svg


def for_page(svg: str, title: str) -> str:
    """A saved SVG to be put into the page, from which it takes its ink (``currentColor``), in light and dark.

    Args:
        title: of the figure.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    # The white background goes, the ink follows the theme; names of parts must be unique in the page.
    svg = re.sub(r'<g id="patch_1">.*?</g>', "", svg, count=1, flags=re.S)
    svg = re.sub(r'<g id="(?!tip-)[^"]*"', "<g", svg)
    themed = {INK: "currentColor", LINE: "var(--line)", FAINT: "var(--faint)", DARK: "var(--deep)"}
    themed |= {PAPER: "var(--paper)", MARK: "var(--mark)", GOOD: "var(--good)", BAD: "var(--bad)"}
    themed |= {hue: f"var(--hue-{n})" for n, hue in enumerate(HUES) if hue not in themed}
    for colour, name in themed.items():
        svg = svg.replace(colour, name)
    svg = re.sub(r"font: ?([^;\"']*?)(\d[\d.]*px)[^;\"]*", r"font: \1\2 inherit", svg)
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    if size:
        svg = svg.replace(size.group(0), f'style="max-width:{float(size.group(1)) * 1.35:.0f}px"', 1)
    label = html.escape(title, quote=True)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
