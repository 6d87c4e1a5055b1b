"""Whether the answer holds on other datasets and on images made worse, in words no stronger than their tests."""

import json
from pathlib import Path

import numpy as np
import pytest

from lightning_seg.report.analysis import analyse
from lightning_seg.report.comparison import compare
from lightning_seg.report.elsewhere import elsewhere
from lightning_seg.report.elsewhere_tables import elsewhere_tables
from lightning_seg.report.page import study_page
from lightning_seg.report.records import load_study
from lightning_seg.report.verdict import judge_comparison
from tests.report.make_study import Truth, make_study

LOSSES = ["bce", "dice", "iou"]


def add_places(
    study: Path, external: dict[str, float], blurred: dict[str, float], seed: int = 0, noise: float = 0.01
) -> None:
    """Add to every record what its weights score on CVC-ClinicDB and under blur, with these effects of losses."""
    rng = np.random.default_rng(seed)
    for path in sorted(study.rglob("result.json")):
        record = json.loads(path.read_text())
        loss = record["loss"]
        score = [float(0.7 + effects.get(loss, 0) + rng.normal(0, noise)) for effects in (external, blurred)]
        record["external"] = {"clinicdb": {"images": 9, "copies": 2, "dice": score[0], "soft_dice": 0.1}}
        record["corruptions"] = {"blur": {"dice": score[1]}}
        path.write_text(json.dumps(record))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study in which Dice is better at home."""
    truth = Truth(effects={"dice": 0.08})
    return make_study(tmp_path / "demo", ["kvasir"], losses=LOSSES, truth=truth, repeats=5, images=20, cases=0)


def test_best_at_home_and_not_abroad(folder: Path) -> None:
    add_places(folder, {"bce": 0.1}, {"dice": 0.1})
    analysis = analyse(load_study(folder), draws=50)
    found = analysis.elsewhere
    first, second = found.sentences
    assert first.startswith("Dice has the highest mean Dice at home, not on CVC-ClinicDB: there BCE is better by 1")
    assert second == "It is told to be better than every other loss at home, and under blur as well."
    means, differences = elsewhere_tables(found)
    assert (
        list(means.data) == ["Loss", "Home", "CVC-ClinicDB", "Blur"]
        and "copies of images at home: 2 images of CVC-ClinicDB" in means.caption
    )
    assert means.data.loc[0, "Loss"] == "Dice"
    runs = analysis.study.runs
    assert means.data.loc[0, "CVC-ClinicDB"] == pytest.approx(
        runs[runs["loss"] == "dice"]["external_clinicdb_dice"].mean()
    )
    lost = differences.data[(differences.data["Place"] == "CVC-ClinicDB") & (differences.data["Against"] == "BCE")]
    assert -12 < lost["Difference"].item() < -8 and lost["p"].item() < 0.001
    page = study_page(analysis, {}, {table.name: table for table in (means, differences)})
    assert page.count("at home, not on CVC-ClinicDB") == 2 and '<section id="elsewhere">' in page


def test_what_is_not_told_is_not_said(folder: Path) -> None:
    add_places(folder, {}, {}, noise=0.05)
    found = analyse(load_study(folder), draws=50).elsewhere
    assert found.sentences == [
        "Dice has the highest mean Dice at home; on CVC-ClinicDB and under blur no loss is told to be better than it.",
        "It is told to be better than every other loss at home, and nowhere else.",
    ]


def test_one_repeat_of_one_network_tells_nothing(tmp_path: Path) -> None:
    study = make_study(tmp_path / "one", ["kvasir"], ["unet"], LOSSES, repeats=1, cases=0)
    add_places(study, {"bce": 0.2}, {})
    found = analyse(load_study(study), draws=50).elsewhere
    assert found.sentences == ["Elsewhere, too few repeats were tested for any loss to be told from another."]


def test_studies_that_were_tested_nowhere_else_have_no_such_part(folder: Path) -> None:
    analysis = analyse(load_study(folder), draws=50)
    assert analysis.elsewhere is None and elsewhere_tables(None) == []
    assert 'id="elsewhere"' not in study_page(analysis, {}, {})


def test_equal_losses_are_seldom_told_apart_elsewhere(folder: Path) -> None:
    study = load_study(folder)
    comparison = compare(study)
    verdict = judge_comparison(comparison)
    rng = np.random.default_rng(1)
    false = 0
    for _ in range(60):
        runs = study.runs.copy()
        shared = runs.groupby(["model", "repeat"]).ngroup().map(dict(enumerate(rng.normal(0, 0.05, len(runs)))))
        for name in ("clinicdb", "kvasir_2", "isic"):
            runs[f"external_{name}_dice"] = 0.7 + shared + rng.normal(0, 0.01, len(runs))
            runs[f"external_{name}_copies"] = 0
        false += bool(elsewhere(runs, comparison, verdict).beaten)
    assert false <= 3  # 5 %
