"""The page in a real Chromium."""

import shutil
from pathlib import Path

import pytest

from lightning_seg.report.build import build_report
from tests.report.make_study import LOSSES, make_study

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"),
]
HOSTILE = "<img src=x onerror=window.hacked=1>"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    losses = [*LOSSES[:3], HOSTILE]
    study = make_study(tmp_path_factory.mktemp("multirun") / "browser", models=["fcn", HOSTILE], losses=losses)
    return build_report(study, draws=100)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as tool:
        chromium = tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, index):
    """The loaded page; afterwards it must have neither complained nor asked for anything outside."""
    opened = browser.new_page(viewport={"width": 1200, "height": 800})
    opened.set_default_timeout(20_000)
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else complaints.append(r.url))
    opened.goto(index.as_uri())
    yield opened
    assert complaints == []
    opened.close()


def first_column(page, table: str) -> list[str]:
    return page.eval_on_selector_all(
        f"{table} tbody tr", "rows => rows.filter(r => !r.hidden).map(r => r.cells[0].innerText)"
    )


def test_sorting_and_its_mark(page):
    numbers = "rows => rows.map(row => Number(row.cells[1].dataset.value))"
    table = "#table-overall"
    page.click(f"{table} th:nth-child(2) button")
    down = page.eval_on_selector_all(f"{table} tbody tr", numbers)
    assert down == sorted(down, reverse=True)
    page.click(f"{table} th:nth-child(2) button")
    up = page.eval_on_selector_all(f"{table} tbody tr", numbers)
    assert up == sorted(up) != down
    assert page.get_attribute(f"{table} th:nth-child(2)", "aria-sort") == "ascending"


def test_the_score_row_stays_last(page):
    for _ in range(2):
        page.click("#table-dataset_by_loss th:nth-child(1) button")
        assert first_column(page, "#table-dataset_by_loss")[-1] == "Ranking score"


def test_filtering_tables_and_runs(page):
    before = first_column(page, "#table-worst_images")
    page.fill("#table-worst_images input[type=search]", "isic")
    after = first_column(page, "#table-worst_images")
    assert 0 < len(after) < len(before) and set(after) == {"ISIC-2017"}
    page.fill("#run-filter", "wound dice")
    assert page.inner_text("#run-count") == "6 of 6 runs"
    page.fill("#run-filter", "nothing like it")
    assert page.inner_text("#run-count") == "0 of 0 runs"


def test_picking_a_cell_changes_the_means(page):
    def means():
        return page.eval_on_selector_all("#picked tbody tr", "rows => rows.map(row => row.cells[1].innerText)")

    everywhere = means()
    page.select_option("#pick-dataset", label="ISIC-2017")
    here = means()
    page.select_option("#pick-metric", label="IoU")
    assert len(everywhere) == 4 and len({tuple(everywhere), tuple(here), tuple(means())}) == 3


def test_cases_open_large_and_go_on_by_key(page):
    buttons = page.locator(".strip button:not([hidden])")
    buttons.first.focus()
    page.keyboard.press("Enter")
    captions = [page.inner_text("#lightbox p")]
    page.keyboard.press("ArrowRight")
    captions.append(page.inner_text("#lightbox p"))
    page.keyboard.press("ArrowLeft")
    captions.append(page.inner_text("#lightbox p"))
    assert captions[0] == captions[2] != captions[1]
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('lightbox').open")
    page.check("input[name=threshold][value=mean]")
    assert page.locator('.strip button[data-threshold="sigmoid"]:not([hidden])').count() == 0


def test_outlines_lie_over_the_photograph(page):
    page.check("input[name=threshold][value=outlines]")
    picture = page.locator(".strip button:not([hidden]) img.over").first
    background = "picture => getComputedStyle(picture).backgroundImage"
    assert picture.get_attribute("src").startswith("data:image/png")
    assert picture.evaluate(background).startswith('url("data:image/jpeg')
    picture.click()
    assert page.locator("#lightbox img").evaluate(background).startswith('url("data:image/jpeg')
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#lightbox img").evaluate(background) == "none"


def test_print_shows_every_loss_of_a_case(browser, index):
    printed = browser.new_page(viewport={"width": 700, "height": 900})
    printed.goto(index.as_uri())
    printed.emulate_media(media="print")
    for strip in printed.locator(".strip").all():
        assert strip.evaluate("strip => strip.scrollWidth <= strip.clientWidth")
        right = strip.evaluate("strip => strip.getBoundingClientRect().right")
        for button in strip.locator("button:not([hidden])").all():
            box = button.bounding_box()
            assert box["width"] > 30 and box["x"] + box["width"] <= right + 1
    printed.close()


def test_the_theme_switches(page):
    colour = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colour)
    page.click("#theme")
    assert page.evaluate(colour) != before


def test_a_hostile_name_stays_text(page):
    page.fill("#run-filter", "onerror")
    assert page.evaluate("window.hacked") is None
    assert HOSTILE in page.inner_text("#runs")
    assert page.locator("img[src=x]").count() == 0


def test_it_holds_on_a_phone(page):
    page.set_viewport_size({"width": 375, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_hovering_a_bar_tells_its_value(page):
    title = page.locator("#figure-fig2a_overall svg title").first.text_content()
    assert ": Dice 0." in title
