"""The built report: complete, self-contained, and with a true sentence for whatever records there are."""

import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from lightning_seg.catalogue import dataset_label, loss_label, model_label
from lightning_seg.cli.report import report
from lightning_seg.errors import UserError
from lightning_seg.report import build, tables
from lightning_seg.report.analysis import Certainty
from lightning_seg.report.build import build_published_report, build_report
from lightning_seg.report.tables import Table, certainty_tables, escape_tex, latex
from lightning_seg.report.verdict import judge
from tests.docs.described import undescribed
from tests.report.make_study import LOSSES, Truth, collapse_run, make_study, write_run

HOSTILE = "<img src=x onerror=window.hacked=1>"


def text_of(index: Path) -> str:
    """The page's words, without its script and data."""
    page = re.sub(r"<(script|style).*?</\1>", "", index.read_text(), flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    truth = Truth(effects={"focal": -0.05})
    study = make_study(tmp_path_factory.mktemp("multirun") / "demo", repeats=2, losses=LOSSES[:4], truth=truth)
    collapse_run(study / "isic" / "fcn" / "focal" / "repeat_0")
    return build_report(study, draws=200, formats=("pdf", "png"))


def test_every_figure_and_table_has_its_files(built):
    figures = {path.stem for path in (built.parent / "figures").glob("*.*") if path.suffix != ".json"}
    expected = "fig1_examples fig2a_overall fig2b_dataset_by_loss fig2c_model_by_loss fig3a_cases_sigmoid "
    expected += "fig3b_cases_mean critical_difference intervals pairs stability variance dice_vs_size dice_vs_contrast "
    expected += "failures calibration curves pareto boundaries losses_by_logit losses_by_overlap losses_on_masks"
    assert figures == set(expected.split())
    for name in figures:
        assert (built.parent / "figures" / f"{name}.svg").read_text().startswith("<?xml")
        assert (built.parent / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (built.parent / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for path in (built.parent / "tables").glob("*.tex"):
        tex = path.read_text()
        assert "\\toprule" in tex and tex.count("\\begin") == tex.count("\\end")
        assert len(pd.read_csv(path.with_suffix(".csv")))
    assert not undescribed(f"{path.name}{'/' * path.is_dir()}" for path in built.parent.iterdir())
    assert len(pd.read_parquet(built.parent / "images.parquet")) == 2 * 2 * 4 * 2 * 12


def test_the_numbers_of_a_plot_are_those_of_its_table(built):
    tips = {
        name: [html.unescape(text) for text in re.findall(r"<title>(.*?)</title>", path.read_text())]
        for name in ("intervals", "pairs", "fig2a_overall")
        if (path := built.parent / "figures" / f"{name}.svg").is_file()
    }
    read = {name: pd.read_csv(built.parent / "tables" / f"{name}.csv") for name in ("losses", "pairs", "overall")}
    rows = read["losses"].itertuples(index=False)
    shown = {f"{row.Loss}: {row.Mean:.5f} [{row.Low:.5f}, {row.High:.5f}]" for row in rows}
    assert shown == set(tips["intervals"]) and len(shown) == 4
    for a, b, points in read["pairs"].iloc[:, :3].itertuples(index=False):
        for text in (f"{a} - {b}: {points:+.3f} points", f"{b} - {a}: {-points:+.3f} points"):
            assert any(tip.startswith(text) for tip in tips["pairs"]), text
    for metric in ("Dice", "IoU", "Precision", "Recall"):
        for loss, value in read["overall"][["Loss", metric]].itertuples(index=False):
            assert f"{loss}: {metric} {value:.5f}" in tips["fig2a_overall"]


def test_published_tables_are_shown_where_they_compare(tmp_path):
    other = make_study(tmp_path / "s", ["synthetic"], ["fcn", "unet"], LOSSES[:2], repeats=2, cases=0)
    assert "Beside the published" not in text_of(build_report(other, draws=100))
    assert "Beside the published models" in text_of(build_report(other, draws=100, published=True))


def test_no_text_of_a_figure_is_cut(built):
    for path in (built.parent / "figures").glob("*.svg"):
        assert "…" not in path.read_text(), path.name
    assert "lesion's share of the image (%)" in (built.parent / "figures" / "dice_vs_size.svg").read_text()


def test_only_long_names_are_shortened_and_stay_apart():
    assert (loss_label("iou_focal"), loss_label("a" * 24)) == ("IoUFocal", "a" * 24)
    labels = [model_label(f"smp_unet_with_a_long_name_b{n}_of_2024") for n in range(3)]
    assert len(set(labels)) == 3 and all(len(label) == 24 for label in labels)
    assert dataset_label("x" * 30) == "x" * 12 + "…" + "x" * 11


def test_the_page_needs_nothing_else(built):
    page = built.read_text()
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert not re.search(r"@import|url\((?!#|\"?data:)", page)
    links = set(re.findall(r'href="((?:figures|tables|runs|images)[^"]*)"', page))
    assert len(links) > 40 and all((built.parent / link).is_file() for link in links)


def test_the_page_begins_with_the_answer(built):
    page = built.read_text()
    order = [page.index(f'id="{name}"') for name in ("answer", "coverage", "figures", "certainty", "reasons", "method")]
    assert order == sorted(order)
    text = text_of(built)
    assert "32 of 32 known runs have a result" in text
    assert "Focal: of 8 runs, 1 collapsed to background everywhere at threshold 0.5 (isic/fcn (1))." in text


@pytest.mark.slow
def test_the_published_report_prints_the_papers_scores(tmp_path):
    index = build_published_report(tmp_path, draws=200)
    text = text_of(index)
    assert "Ranking score 8 8 5 5 4 3 3 0 0 0" in text
    assert "Ranking score 16 11 8 8 8 7 7 6 1 0" in text
    for figure in ("p = 0.00561", "p = 0.000284", "p = 0.24", "p = 0.401", "3.91"):
        assert figure in text, figure
    assert "Focal is worse by 2.54 points than DiceBCE" in text
    assert "the 9 losses cannot be told apart" in text


def shrink(study: Path, keep) -> None:
    for run in study.glob("*/*/*/repeat_*"):
        if not keep(run):
            shutil.rmtree(run)


def break_nan(study: Path) -> None:
    path = study / "isic/fcn/dice/repeat_0/result.json"
    record = json.loads(path.read_text())
    record["test"] = dict.fromkeys(record["test"], float("nan"))
    path.write_text(json.dumps(record))


def break_config(study: Path) -> None:
    rows = [(f"isic_{k}", 10, 0, 0, 90, 1.0, 1.0, 1.0, 1.0, 0.1) for k in range(12)]
    folder = study / "isic/fcn/dice/repeat_0"
    write_run(folder, "isic", "fcn", "dice", 0, rows, config={"trainer": {"max_epochs": 5}})


def break_version(study: Path) -> None:
    for path in study.rglob("result.json"):
        path.write_text(json.dumps({"format": 9, "outcome": "fine"}))


BAD = {
    "empty": (lambda s: shrink(s, lambda run: False), "No loss has a usable run yet: nothing can be concluded."),
    "one run": (
        lambda s: shrink(s, lambda run: run.parts[-4:] == ("isic", "fcn", "dice", "repeat_0")),
        "Only Dice has usable runs: there is nothing to compare it with.",
    ),
    "one loss": (lambda s: shrink(s, lambda run: run.parts[-2] == "bce"), "Only BCE has usable runs"),
    "one repeat": (
        lambda s: shrink(s, lambda run: run.name == "repeat_0"),
        "nothing can be concluded about which is better",
    ),
    "NaN metrics": (break_nan, "holds no finite test Dice"),
    "truncated": (
        lambda s: (s / "isic/fcn/dice/repeat_0/result.json").write_text('{"status": "fin'),
        "result.json cannot be read",
    ),
    "two configs": (break_config, "trainer.max_epochs is 200 in 5 runs, 5 in 1 run"),
    "another version": (break_version, "No loss has a usable run yet: nothing can be concluded."),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_a_page_that_says_what_is_there(tmp_path, case):
    study = make_study(tmp_path / "study", losses=LOSSES[:3], repeats=2, cases=0)
    damage, sentence = BAD[case]
    damage(study)
    text = text_of(build_report(study, draws=100))
    assert sentence in text
    assert "is better than each" not in text


def test_pairs_that_are_not_tested_show_no_p(tmp_path):
    index = build_report(make_study(tmp_path / "s", losses=LOSSES[:3], repeats=1, cases=0), draws=100)
    shown = pd.read_csv(index.parent / "tables" / "pairs.csv")
    assert list(shown) == ["Higher mean", "Lower mean", "Mean difference", "P(improvement)"]
    text = text_of(index)
    assert text.count("Not tested, since there are no repeats") == 2  # of the table and of the figure
    assert "Tukey's p-values" not in text


@pytest.mark.parametrize(("models", "note"), [(2, "p = 0.167"), (12, "p = 2.76e-09"), (500, "p < 1e-300")])
def test_blocks_that_all_agree_have_no_p_of_zero(models, note):
    index = pd.MultiIndex.from_product([["isic"], range(models), range(2)], names=["dataset", "model", "repeat"])
    means = pd.DataFrame({"bce": 0.7, "dice": 0.8, "iou": 0.9}, index)
    means += np.random.default_rng(0).normal(0, 0.01, means.shape)
    verdict = judge(means)
    tables = {table.name: table for table in certainty_tables(Certainty(verdict, None, None, []), 0.005)}
    row = tables["tests"].data.set_index("Statistic").loc["Iman-Davenport F"]
    assert row["Value"] == "infinite" and row["Note"] == f"{note}, since all rows agree"


@pytest.mark.filterwarnings("error::UserWarning")
def test_hostile_names_stay_text(tmp_path):
    losses = ["dice", HOSTILE, "$\\frac$"]
    study = make_study(tmp_path / "study", datasets=["isic"], models=[HOSTILE], losses=losses, repeats=2)
    failed = study / "isic" / HOSTILE / "dice" / "repeat_2"
    failed.mkdir()
    (failed / "error.txt").write_text("</script><script>window.hacked=1</script>")
    index = build_report(study, draws=100)
    page = index.read_text()
    assert "<img src=x" not in page and "<script>window" not in page
    assert "&lt;img src=x" in page
    assert "\\$\\textbackslash{}frac\\$" in (index.parent / "tables" / "losses.tex").read_text()


def test_latex_escapes_and_rounds():
    assert escape_tex("50 % of a_b & \\c") == r"50 \% of a\_b \& \textbackslash{}c"
    table = Table("t", "T", "C", pd.DataFrame({"Loss": ["a_b"], "Mean": [0.123456]}), {"Mean": 2})
    assert "a\\_b & 0.12 \\\\" in latex(table)


def test_a_latex_table_fits_its_page():
    table = Table("t", "Pairs", "All.", pd.DataFrame({"Pair": range(1, 91), "p": 0.5}), {})
    tex = latex(table)
    assert tex.count("\\begin{table}") == tex.count("\\end{table}") == 3
    assert tex.count("\\label{tab:t}") == 1 and tex.count("\\addtocounter{table}{-1}") == 2
    assert [len(re.findall(r"0\.5", part)) for part in tex.split("\\begin{table}")[1:]] == [40, 40, 10]
    assert tex.count("\\resizebox{\\ifdim\\width>\\linewidth") == 3  # whatever is in its cells


@pytest.fixture
def run_command():
    app = typer.Typer()
    app.command()(report)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_prints_the_pages_path(run_command, tmp_path):
    make_study(tmp_path / "multirun" / "demo", datasets=["isic"], models=["fcn"], losses=LOSSES[:2], cases=0)
    result = run_command("demo", "--output-dir", tmp_path / "multirun", "--draws", 100)
    assert result.exit_code == 0, result.output
    assert Path(result.output.strip()) == tmp_path / "multirun" / "demo" / "report" / "index.html"
    assert Path(result.output.strip()).is_file()


def test_some_losses_alone_use_all_repeats_that_they_share(run_command, tmp_path):
    root = tmp_path / "multirun"
    study = make_study(root / "demo", datasets=["isic"], models=["fcn"], losses=LOSSES[:3], repeats=3, cases=0)
    shutil.rmtree(study / "isic" / "fcn" / "iou" / "repeat_2")
    result = run_command("demo", "--losses", "bce,dice", "--draws", 100, "--output-dir", root)
    index = study / "report-bce-dice" / "index.html"
    assert Path(result.output.strip()) == index, result.output
    assert set(pd.read_parquet(index.parent / "runs.parquet")["loss"]) == {"bce", "dice"}
    text = text_of(index)
    assert "iou: left out on request." in text and "2 of 3 repeats" not in text

    unknown = run_command("demo", "--losses", "dice,nil", "--output-dir", root)
    assert isinstance(unknown.exception, UserError)
    assert "has no run with nil; it has bce, dice, iou." in str(unknown.exception)


def test_the_published_tables_stand_beside_a_study(run_command, tmp_path):
    make_study(tmp_path / "demo", datasets=["isic"], models=["fcn", "own"], losses=LOSSES[:3], repeats=2, cases=0)
    result = run_command("demo", "--published", "--draws", 100, "--output-dir", tmp_path)
    index = tmp_path / "demo" / "report" / "index.html"
    assert Path(result.output.strip()) == index, result.output
    tables = index.parent / "tables"
    by_model = pd.read_csv(tables / "beside_published_models.csv").set_index("Loss")
    assert by_model["Published"].to_dict() == {"BCE": 0.8237, "Dice": 0.8248, "IoU": 0.8225}  # of FCN alone
    by_dataset = pd.read_csv(tables / "beside_published_datasets.csv").set_index("Loss")
    assert by_dataset["Published"].to_dict() == {"BCE": 0.8799, "Dice": 0.8802, "IoU": 0.8802}
    assert "Ranking score 16 11 8 8 8 7 7 6 1 0" in text_of(index)
    build_report(tmp_path / "demo", draws=100)
    assert "Ranking score 16 11 8" not in text_of(index) and "Beside the published models" in text_of(index)


def test_the_published_report_is_no_study(run_command, monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(build, "build_published_report", lambda folder, *_: written.append(folder) or folder)
    assert run_command("--published", "--output-dir", tmp_path).exit_code == 0
    written[0].mkdir()
    absent = run_command(written[0].name, "--output-dir", tmp_path)
    assert isinstance(absent.exception, UserError)
    assert "There is no study" in str(absent.exception) and "train a run first" in str(absent.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name the study"),
        (("--published", "--watch"), "name the study too"),
        (("demo", "--published"), "There is no study 'demo'"),
        (("absent",), "There is no study 'absent'"),
    ],
)
def test_the_command_says_what_is_wrong(run_command, tmp_path, arguments, message):
    result = run_command(*arguments, "--output-dir", tmp_path)
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("split", "most", "remedy"),
    [
        ("random", 3, "In a study of its own, data.split=grouped keeps siblings together."),
        ("kfold", 3, "In a study of its own, data.groups=siblings beside data.split=kfold keeps siblings together."),
        ("mine.csv", 3, "put them into one subset of the file"),
        ("grouped", 0, ""),
    ],
)
def test_siblings_across_a_split_are_told_with_the_key_that_mends_it(split, most, remedy):
    row = {"dataset": "mine", "split": split, "repeats": 2, "test_images": 5.0, "siblings": 2.0, "least": 0}
    caption = tables._splits(pd.DataFrame([row | {"most": most}])).caption
    assert remedy in caption and ("In a study of its own" in caption) == bool(remedy)
