"""The inspection as one self-contained HTML page."""

import base64
import io
from importlib.resources import files
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from lightning_seg.catalogue import DATASETS
from lightning_seg.data.inspect.measure import SIDE, Inspection
from lightning_seg.data.inspect.table import summary_rows
from lightning_seg.data.prepare import source_of
from lightning_seg.files import write_text
from lightning_seg.wording import printable

EXAMPLES = 12  # pictures in the gallery
PAIRS = 24  # pairs of duplicates shown
_COLOUR = "#2a78d6"
_OUTLINE = (255, 230, 0)


def write_page(found: Inspection, path: Path) -> None:
    """Write the page to ``path``, which needs nothing else to be opened; all names in it are escaped."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
    name = found.dataset.name
    position = {identifier: index for index, identifier in enumerate(found.dataset.ids())}

    def picture(identifier: str) -> dict[str, str]:
        return {"id": identifier, "src": _picture(found, position[identifier])}

    pairs = [(first, second, "equal pixels") for first, second in found.exact]
    pairs += [(first, second, f"{bits} of 256 bits differ") for first, second, bits in found.near]
    pairs += [(first, second, f"a copy, {words}") for first, second, words in found.copies]
    text = template.render(
        name=name,
        source=source_of(name) if name in DATASETS else None,
        rows=summary_rows(found),
        figures=_plain_figures(found),
        examples=[picture(identifier) for identifier in _examples(found)],
        empty=found.empty,
        bad=found.bad_lines,
        pairs=[(picture(first), picture(second), label) for first, second, label in pairs[:PAIRS]],
        more_pairs=[(first, second, label) for first, second, label in pairs[PAIRS:]],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, printable(text, lines=True))


def _examples(found: Inspection) -> list[str]:
    """Ids spread evenly from the smallest lesion to the largest."""
    order = np.argsort(found.areas, kind="stable")
    order = order[found.areas[order] > 0] if (found.areas > 0).any() else order
    chosen = np.unique(np.linspace(0, len(order) - 1, EXAMPLES).round().astype(int))
    return [found.ids[order[index]] for index in chosen]


def _picture(found: Inspection, index: int) -> str:
    """An image with its lesion outlined, as a data URL."""
    image, mask = found.dataset.read(index, SIDE)
    return _data_url(outlined(image, mask))


def outlined(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Image.Image:
    """The image, uint8 ``(H, W, 3)``, with a yellow line just outside the mask, bool ``(H, W)``."""
    grown = np.asarray(Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(3))).astype(bool)
    drawn = image.copy()
    drawn[grown & ~mask] = _OUTLINE
    return Image.fromarray(drawn)


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _plain_figures(found: Inspection) -> list[dict[str, str]]:
    """The figures, whatever a ``matplotlibrc`` in the working directory says, such as to run LaTeX."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        return _figures(found)


def _figures(found: Inspection) -> list[dict[str, str]]:
    """Each figure's caption and its SVG."""
    lesions = found.areas > 0
    figures = []

    def add(caption: str, axes: Axes) -> None:
        axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        figure = axes.figure
        assert isinstance(figure, Figure)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        svg = buffer.getvalue()
        figures.append({"caption": caption, "svg": svg[svg.index("<svg") :]})

    if lesions.any():
        axes = _axes("lesion area, share of the image", "images")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        low = max(found.areas[lesions].min(), 1e-5)
        axes.hist(found.areas[lesions], bins=np.geomspace(low, 1, 40).tolist(), color=_COLOUR)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axes.xaxis.set_minor_formatter(NullFormatter())
        add("Lesion area (images without a lesion are left out)", axes)
        axes = _axes("mean grey of lesion minus surroundings", "images")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.hist(found.contrasts[~np.isnan(found.contrasts)], bins=40, color=_COLOUR)
        axes.axvline(0, color="grey", linewidth=0.8)
        add("Contrast: how much brighter the lesion is than the 10 pixels around it (at 224 x 224)", axes)
    axes = _axes("width in pixels", "height in pixels")
    sizes, counts = np.unique(found.sizes, axis=0, return_counts=True)
    axes.scatter(sizes[:, 0], sizes[:, 1], s=8 + 200 * counts / counts.sum(), color=_COLOUR, alpha=0.5)
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    add("Image sizes (a dot's area tells how many images have it)", axes)
    axes = _axes("grey value of the mask files", "pixels")
    axes.bar(np.arange(256), found.values, width=1, color=_COLOUR)
    axes.axvline(127.5, color="grey", linewidth=0.8, linestyle="--")
    axes.set_yscale("log")
    axes.set_ylim(0.5, None)
    add("Mask values before thresholding; from the dashed line on they count as lesion", axes)
    return figures


def _axes(x: str, y: str) -> Axes:
    axes = Figure(figsize=(4.6, 3), layout="constrained").add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return axes
