"""What MkDocs does besides rendering pages.

It draws the losses, shows notebooks and a report as an example, where one was made, and drops roles of docstrings.
"""

import json
import re
import shutil
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
from lightning_seg.report.responses import respond


@cache
def figures() -> dict[str, str]:
    """Each figure of the losses, as HTML, by its name: first the study's ten, then the literature's."""
    names = [*LOSSES, *(name for name in survey() if name not in LOSSES)]
    losses = {name: respond(build_loss(name)) for name in names}
    with TemporaryDirectory() as folder:
        return {
            figure.name: f'<figure class="gallery {figure.name}">'
            f"{for_page(save(figure, Path(folder), ()), figure.title)}"
            f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
            for figure in gallery(losses)
        }


def on_page_markdown(markdown: str, config: Any, **_: Any) -> str:
    """Put notebooks where a page says ``<!-- notebook: name -->``, and drop what speaks of an absent example."""
    if not _example(config).is_dir():
        markdown = re.sub(r"<!-- with an example -->.*?<!-- end -->", "", markdown, flags=re.DOTALL)
    return re.sub(r"<!-- notebook: (\w+) -->", lambda found: _notebook(found[1]), markdown)


def on_post_build(config: Any, **_: Any) -> None:
    """Publish the example of a report: `make demo docs` makes both."""
    if _example(config).is_dir():
        target = Path(config["site_dir"], "example")
        shutil.copytree(_example(config), target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))


def _example(config: Any) -> Path:
    return Path(config["extra"]["example_report"])


def _notebook(name: str) -> str:
    """A notebook's cells as Markdown, one level below the page's heading."""
    book = json.loads((Path(__file__).parent / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = []
    for cell in book["cells"]:
        text = "".join(cell["source"])
        is_code = cell["cell_type"] == "code"
        cells.append(f"```python\n{text}\n```" if is_code else re.sub("^#", "##", text))
    return "\n\n".join(cells)


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Put the figures where the page of the losses says ``<!-- figure: name -->``, and make ``:func:`name``` a name."""
    if page.file.src_uri == "losses.md":
        for name, figure in figures().items():
            html = html.replace(f"<!-- figure: {name} -->", figure)
    return re.sub(r":(?:attr|class|data|func|meth|mod):(?=<code>)", "", html)
