"""Figures are legible: texts lie inside, apart from one another, whatever the names are."""

import itertools
import logging
import re
import warnings
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context, rcParams
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from lightning_seg.report.cases import Case, outlines
from lightning_seg.report.draws import draw_rows
from lightning_seg.report.figures import paper, reasons, style
from lightning_seg.report.figures.certainty import critical_differences, stability
from lightning_seg.report.figures.style import Figure
from lightning_seg.report.pictures import drawing
from lightning_seg.report.published import load_published
from lightning_seg.report.ranking import rank
from lightning_seg.report.tables import latex, overall_table
from lightning_seg.report.verdict import judge_rows
from tests.report.make_study import LOSSES

LONG = [f"monai_generalized_dice_focal_loss_with_alpha_0.{n}_of_2024" for n in range(4)]


def boxes(figure: Figure, artists: list[Artist]) -> list[Bbox]:
    """Where the artists are drawn; a complaint of the layout is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure.canvas).draw()
    return [artist.get_window_extent() for artist in artists]


def overlaps(found: list[Bbox]) -> bool:
    return any(a.overlaps(b) for a, b in itertools.combinations(found, 2))


@pytest.mark.parametrize("rows", [LONG[:1], LONG])
def test_headers_of_long_names_lie_inside(rows: list[str]) -> None:
    means = pd.DataFrame(np.linspace(0.7, 0.8, 4 * len(rows)).reshape(-1, 4), index=rows, columns=LONG)
    figure = paper.by_model_table(rank(means))
    axis = figure.canvas.axes[0]
    page = figure.canvas.bbox
    for box in boxes(figure, [*axis.get_xticklabels(), *axis.get_yticklabels()]):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1


def test_headers_of_cases_lie_apart() -> None:
    case = Case("a_dataset_with_quite_a_long_name", "fcn", 0, "1", np.zeros((3, 8, 8), np.uint8), np.eye(8), {})
    case.logits = {loss: np.eye(8) - 0.5 for loss in LONG}
    figure = paper.case_grid([case], LONG, "sigmoid")
    assert not overlaps(boxes(figure, [axis.title for axis in figure.canvas.axes]))


def test_names_of_equal_losses_do_not_overprint() -> None:
    index = pd.MultiIndex.from_product([["fcn"], LOSSES], names=["model", "loss"])
    table = pd.DataFrame({"test_dice": 0.7, "minutes": 1.0, "epochs": 3.0, "best_epoch": 2.0}, index=index)
    figure = reasons.cost_and_accuracy(table)
    names = figure.canvas.axes[1].texts
    assert [text.get_text().strip() for text in names].count("IoUFocal") == 1 and len(names) == len(LOSSES)
    boxes(figure, [])
    assert not overlaps([Text.get_window_extent(text) for text in names])  # without the lines to their points


def test_the_legend_of_failures_lies_beside_the_bars() -> None:
    table = pd.DataFrame({"failed": 0.9, "empty": 0.9}, index=LOSSES)
    figure = reasons.failure_rates(table)
    legend, bars = boxes(figure, [figure.canvas.legends[0], figure.canvas.axes[0].patch])
    assert not legend.overlaps(bars) and figure.canvas.axes[0].get_legend() is None


def test_outlines_keep_their_two_colours_and_are_clear_elsewhere() -> None:
    mask, prediction = np.zeros((20, 20), np.uint8), np.zeros((20, 20), bool)
    mask[2:12, 2:12], prediction[5:18, 5:18] = 1, True
    lines = outlines(prediction, mask)
    colours = {tuple(colour) for colour in lines.reshape(-1, 4).tolist()}
    assert colours == {(0, 0, 0, 0), (255, 255, 255, 255), (213, 94, 0, 255)}
    assert (lines[2, 2:12, :3] == 255).all() and not lines[3, 3:11].any()  # one pixel wide
    large = outlines(np.zeros((224, 224), bool), np.pad(np.ones((100, 100), np.uint8), 62))
    assert large[100, 60:68, 3].tolist() == [0, 0, 255, 255, 0, 0, 0, 0]  # two
    assert drawing(lines).startswith("data:image/png")


@pytest.mark.parametrize("name", ["皮膚病変", "피부_🙂"])
@pytest.mark.parametrize("installed", [True, False])
def test_names_in_any_script_give_no_warning(
    name: str, installed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a font that has the letters, and with none; SVG keeps the letters for the browser."""
    families = rcParams["font.family"] if installed else ["DejaVu Sans"]
    case = Case(name, "fcn", 0, name, np.zeros((3, 8, 8), np.uint8), np.eye(8), {"dice": np.eye(8) - 0.5})
    means = pd.DataFrame([[0.7, 0.8]], index=[name], columns=["dice", "iou"])
    with rc_context({"font.family": families}), warnings.catch_warnings(record=True) as caught:
        for figure in (paper.case_grid([case], ["dice"], "sigmoid"), paper.by_model_table(rank(means))):
            assert name in style.save(figure, tmp_path)
    assert not [str(one.message) for one in caught]
    assert not [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def page_colours(theme: str) -> dict[str, str]:
    """The colours of a theme in page.css, by name."""
    css = resources.files("lightning_seg.report").joinpath("web", "page.css").read_text(encoding="utf-8")
    (rule,) = re.findall(r":root \{(.*?)\}" if theme == "light" else r':root\[data-theme="dark"\] \{(.*?)\}', css)
    return dict(re.findall(r"--([\w-]+): (#\w+)", rule))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_can_be_told_from_the_paper(theme):
    found = page_colours(theme)
    names = [f"hue-{n}" for n in range(len(style.HUES))] + ["ink", "faint", "deep", "mark", "good", "bad", "accent"]
    ours = dict(
        zip(names, [*style.HUES, style.INK, None, style.DARK, style.MARK, style.GOOD, style.BAD, None], strict=True)
    )
    if theme == "light":
        assert {name: found[name] for name in names if ours[name]} == {k: v for k, v in ours.items() if v}
        assert min(style.contrast(colour, style.PAPER) for colour in (*style.HUES, style.FAINT)) >= 4.5
    assert {name: style.contrast(found[name], _long(found["paper"])) >= 4.5 for name in names} == dict.fromkeys(
        names, True
    )
    for place in ("p1", "p2", "p3"):
        assert style.contrast(_long(found[f"{place}-ink"]), found[place]) >= 4.5


def _long(colour: str) -> str:
    return f"#{colour[1] * 2}{colour[2] * 2}{colour[3] * 2}" if len(colour) == 4 else colour


def test_ink_is_legible_on_any_colour():
    greys = [(n / 20,) * 3 for n in range(21)]
    assert min(style.contrast(style.ink_on(colour), colour) for colour in (*greys, "#7f91b5", "#3b4a6b")) >= 4.5


def test_ticks_of_neighbouring_axes_and_scales_lie_apart():
    sizes = pd.DataFrame({loss: np.linspace(0.6, 0.9, 10) for loss in LOSSES}, index=np.geomspace(0.002, 0.4, 10))
    for figure in (reasons.along(sizes, "size"), stability(draw_rows(load_published().by_model, draws=100))):
        ticks = [label for axis in figure.canvas.axes for label in axis.get_xticklabels() if label.get_text()]
        assert len(ticks) > 3 and not overlaps(boxes(figure, ticks))


def test_dots_at_the_edge_are_whole():
    values = pd.DataFrame({"bce": [0.0, 1.0], "dice": [1.0, 0.0]}, index=[0.1, 0.2])
    drawn = [
        *reasons.along(values, "size").canvas.axes,
        *paper.overall_points(values.set_axis(["dice", "iou"])).canvas.axes,
    ]
    assert not any(line.get_clip_on() for axis in drawn for line in axis.lines if line.get_marker() != "None")


@pytest.mark.parametrize("units, warned", [(6, True), (12, False)])
def test_few_units_are_told_beside_nemenyis_diagram(units, warned):
    rows = load_published().by_model.iloc[:units]
    figure = critical_differences(judge_rows(rows).omnibus)
    assert ("rough picture" in figure.caption) is warned
    texts = figure.canvas.axes[0].texts
    assert any("only 6 units" in text.get_text() for text in texts) is warned
    assert not overlaps(boxes(figure, list(texts)))


def test_captions_name_network_repeat_and_image():
    case = Case("wound", "unet", 3, "0042", np.zeros((3, 8, 8), np.uint8), np.eye(8), {"dice": np.eye(8) - 0.5})
    for figure in (paper.case_grid([case], ["dice"], "sigmoid"), paper.boundaries([case], ["dice"])):
        assert "Wound (FUSeg), image 0042, U-Net, repeat 3." in figure.caption


def test_png_files_have_300_dots_per_inch(tmp_path):
    figure = style.new("f", "t", "c", 2.0, 1.0)
    figure.canvas.subplots()
    style.save(figure, tmp_path, ["png"])
    with Image.open(tmp_path / "f.png") as image:
        assert image.size == (600, 300)


def test_a_latex_table_is_shaded_as_its_caption_says():
    means = pd.DataFrame(0.6, index=["dice", "iou", "precision", "recall"], columns=["bce", "dice", "focal", "iou"])
    means.loc["dice"] = [0.5, 0.7, 0.8, 0.6]
    tex = latex(overall_table(means))
    assert "shaded" in tex and "usepackage{booktabs,colortbl,graphicx}" in tex
    assert re.search(r"cellcolor\[gray\]\{0.7\}0.8000", tex) and not re.search(r"cellcolor\[gray\]\{0.\d\}0.5000", tex)
