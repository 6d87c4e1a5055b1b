"""The site is built without a warning, and needs nothing from elsewhere when it is read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("material", reason="needs the extra docs")
pytest.importorskip("mkdocstrings", reason="needs the extra docs")

ROOT = Path(__file__).parents[2]
FIGURES = ("losses_by_logit", "losses_by_overlap", "losses_on_masks", "losses_by_logit_2", "losses_on_masks_4")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, example = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("example")
    (example / "index.html").write_text("a report")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"EXAMPLE_REPORT": str(example)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?//[^"]*"', html), page
        assert not re.findall(r'<link[^>]*rel="(?:stylesheet|preconnect)"[^>]*href="(?:https?:)?//[^"]*"', html), page


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_losses_are_drawn_on_their_page(site: Path, name: str) -> None:
    html = (site / "losses" / "index.html").read_text(encoding="utf-8")
    figure = re.search(rf'<figure class="gallery {name}">(.*?)</figure>', html, re.DOTALL)
    assert figure
    assert "<svg" in figure[1]
    assert "currentColor" in figure[1]  # so that it can be read in the dark


@pytest.mark.slow
def test_an_example_of_a_report_is_published(site: Path) -> None:
    page = site / "how-to" / "report" / "index.html"
    link = re.search(r'<a href="([^"]*)">An example</a>', page.read_text(encoding="utf-8"))
    assert link
    assert (page.parent / link[1]).resolve().read_text() == "a report"
