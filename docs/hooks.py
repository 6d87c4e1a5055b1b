"""What MkDocs does besides rendering pages: it draws the losses, and drops the roles of docstrings' references."""

import re
from functools import cache
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning_seg.catalogue import LOSSES
from lightning_seg.config.named import build_loss
from lightning_seg.config.variants import survey
from lightning_seg.report.figures.losses import gallery
from lightning_seg.report.figures.style import for_page, save


@cache
def figures() -> dict[str, str]:
    """Each figure of the losses, as HTML, by its name: first the study's ten, then the literature's."""
    names = [*LOSSES, *(name for name in survey() if name not in LOSSES)]
    losses = {name: build_loss(name) for name in names}
    with TemporaryDirectory() as folder:
        return {
            figure.name: f'<figure class="gallery {figure.name}">'
            f"{for_page(save(figure, Path(folder), ()), figure.title)}"
            f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
            for figure in gallery(losses)
        }


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Put the figures where the page of the losses says ``<!-- figure: name -->``, and make ``:func:`name``` a name."""
    if page.file.src_uri == "losses.md":
        for name, figure in figures().items():
            html = html.replace(f"<!-- figure: {name} -->", figure)
    return re.sub(r":(?:attr|class|data|func|meth|mod):(?=<code>)", "", html)
