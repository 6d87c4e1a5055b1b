"""The verdict by another measure, and whether the families of measures agree."""

from pathlib import Path

import numpy as np
import pytest

from lightning_seg.errors import UserError
from lightning_seg.metrics import MEASURES
from lightning_seg.report.analysis import Analysis, analyse
from lightning_seg.report.comparison import compare
from lightning_seg.report.families import measures
from lightning_seg.report.measure_tables import measure_tables
from lightning_seg.report.page import study_page
from lightning_seg.report.records import load_study
from lightning_seg.report.yardstick import DICE, yardstick
from tests.report.make_study import Truth, make_study

LOSSES = ["bce", "dice", "iou"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study in which Dice is better by Dice, and BCE by all measures of masks."""
    study = tmp_path_factory.mktemp("multirun") / "demo"
    truth = Truth(effects={"dice": 0.08})
    return make_study(study, losses=LOSSES, truth=truth, images=20, cases=0, measures={"bce": 0.06})


def judged(folder: Path, name: str) -> Analysis:
    return analyse(load_study(folder, images_of=name), draws=100, yardstick=yardstick(name))


def test_another_measure_moves_the_verdict_and_its_words(folder: Path) -> None:
    by_dice, by_nsd, by_hd95 = (judged(folder, name) for name in ("dice", "nsd", "hd95"))
    assert by_dice.certainty.verdict.winner == "dice" and "Dice points" in by_dice.certainty.answer[0]
    assert by_nsd.certainty.verdict.winner == by_hd95.certainty.verdict.winner == "bce"
    assert "NSD points" in by_nsd.certainty.answer[0] and "points of 1 - HD95" in by_hd95.certainty.answer[0]
    assert not any("Dice points" in text or "mean Dice" in text for text in by_nsd.certainty.answer)
    # The higher mean is one minus the distance: 0.7 and what is better.
    means = by_hd95.certainty.verdict.here.means
    assert 0.65 < means.min() < means.max() < 0.8 and by_hd95.by_dataset.title == "1 - HD95"
    small = by_nsd.for_whom.divisions[0].subgroups[0]
    assert small.order[0] == "bce"


def test_families_that_disagree_are_told(folder: Path) -> None:
    analysis = judged(folder, "dice")
    assert analysis.measures.sentence.startswith("Dice is best by Dice, not by NSD and lesion F1: by NSD BCE")
    assert analysis.measures.disagrees
    (table,) = measure_tables(analysis.measures)
    page = study_page(analysis, {}, {"measures": table})
    assert page.count("Dice is best by Dice, not by") == 2 and '<section id="measures">' in page
    row = table.data.set_index("Loss").loc["BCE"]
    assert table.data.loc[0, "Loss"] == "BCE" and row["HD95"] == table.data["HD95"].min()
    assert (table.places["HD95"] == table.places["NSD"]).all()
    runs = load_study(folder).runs.query("loss == 'bce'")
    share = 100 * runs["measure_lesions_missed"].mean() / runs["measure_lesions"].mean()
    assert row["Lesions missed (%)"] == pytest.approx(share)


def test_by_a_measure_of_masks_overlap_is_the_other_family(folder: Path) -> None:
    found = judged(folder, "nsd").measures
    assert [family.score.name for family in found.families] == ["dice", "lesion_f1"]
    assert found.sentence.startswith("BCE is best by NSD, not by Dice")


def test_equal_families_do_not_disagree(tmp_path: Path) -> None:
    study = make_study(tmp_path / "demo", losses=LOSSES, images=10, cases=0, measures={})
    found = judged(study, "dice").measures
    assert not found.disagrees and "no loss is told to be better" in found.sentence


def test_a_run_without_measures_is_left_out_by_them_and_no_reason_not_to_judge_by_dice(tmp_path: Path) -> None:
    study = make_study(tmp_path / "demo", losses=LOSSES, images=10, cases=0, measures={})
    next(study.rglob("test_measures.csv")).unlink()
    by_dice = compare(load_study(study))
    assert measures(by_dice) is None and len(by_dice.scores) == 12
    assert len(compare(load_study(study), yardstick("nsd")).scores) == 11


def test_a_damaged_table_of_measures_costs_itself_alone(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "demo", losses=LOSSES, images=10, cases=0, measures={})
    first, second, *_ = sorted(folder.rglob("test_measures.csv"))
    first.write_text("id,nsd\nsomebody,0.5\n")
    second.write_text("\0")
    study = load_study(folder)
    assert len(study.problems) == 2 and "its images are not those" in study.problems[0]
    assert study.runs["measure_nsd"].isna().sum() == 2 and np.isfinite(study.runs["test_dice"]).all()


def test_a_metric_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no metric 'lesions' .* nsd, nsd_strict, hd95"):
        yardstick("lesions")
    recorded = ["dice", "hd95", "lesions", "mine"]  # what the runs of a study have is passed with a user's own
    assert yardstick("hd95", recorded) == yardstick("hd95") and yardstick("mine", recorded).name == "mine"
    with pytest.raises(UserError, match=r"there are dice, iou, .*, lesion_f1_iou, mine\.$"):
        yardstick("lesions", recorded)
    study = make_study(tmp_path / "demo", losses=LOSSES, images=5, cases=0)
    with pytest.raises(UserError, match=r"No run of demo has 'nsd': it needs the masks"):
        analyse(load_study(study), draws=100, yardstick=yardstick("nsd"))
    assert yardstick("dice") == DICE and {yardstick(n).reverse for n in MEASURES if n == "hd95"} == {True}
