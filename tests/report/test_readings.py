"""Readings: the same records at other thresholds, and beside studies of other settings."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_seg.errors import UserError
from lightning_seg.predicted import BINS, THRESHOLDS, Predicted
from lightning_seg.report.analysis import analyse
from lightning_seg.report.build import build_report
from lightning_seg.report.comparison import compare, compared_rows
from lightning_seg.report.kept import by_loss, load_kept
from lightning_seg.report.page import study_page
from lightning_seg.report.reading_tables import reading_tables, readings_table
from lightning_seg.report.reading_words import sentences
from lightning_seg.report.readings import Readings, read_all
from lightning_seg.report.records import load_study
from lightning_seg.report.tables import study_tables
from lightning_seg.report.trials import read_trials, rows
from lightning_seg.report.trials import sentences as trial_sentences
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.predictions import Predictions, write
from tests.report.make_study import Truth, collapse_run, make_study

LOSSES = ["dice", "bce", "iou"]
SIDE = 224
THERE = THRESHOLDS.index(0.8)


def study(place: Path, effects: dict[str, float], **options: Any) -> Path:
    truth = Truth(
        effects=effects, interaction_sd=0.001, split_sd=0.001, run_sd=0.002, image_sd=0.02, image_loss_sd=0.01
    )
    options = {"datasets": ["wound"], "models": ["unet", "fcn", "fatnet"], "images": 6, "cases": 0} | options
    return make_study(place, losses=LOSSES, truth=truth, **options)


def keep(place: Path, gain: Callable[[str], float]) -> Path:
    """Let every run keep predictions, in which a loss finds a share of what it misses at a threshold of 0.8."""
    for path in place.glob("*/*/*/repeat_*"):
        with (path / "test_images.csv").open() as file:
            rows = list(csv.DictReader(file))
        counts = np.array([[int(row[name]) for name in ("tp", "fp", "fn", "tn")] for row in rows], dtype=np.int32)
        moved = (gain(path.parent.name) * counts[:, 2]).astype(np.int32)
        at_all = np.repeat(counts[:, None], len(THRESHOLDS), axis=1)
        at_all[:, THERE] += np.stack([moved, 0 * moved, -moved, 0 * moved], axis=1)
        pixels = np.zeros((2, BINS + 1), dtype=np.int64)
        pixels[0, 3] = len(rows) * SIDE**2
        kept = Predicted(
            ids=[row["id"] for row in rows],
            counts=at_all,
            pixels=pixels,
            probability=0.25 * pixels,
            squared_error=0.0625 * pixels,
            packed=np.zeros((len(rows), SIDE, SIDE // 8), dtype=np.uint8),
            width=SIDE,
        )
        write(RunFolder(path), Predictions(kept, kept))
    return place


def read(place: Path, *beside: Path) -> Readings:
    found = load_study(place)
    comparison = compare(found)
    return read_all(found, comparison, load_kept(found, compared_rows(found.runs, comparison.pairs["dice"])), beside)


def edit(place: Path, change: Callable[[dict[str, Any], str], object]) -> Path:
    for path in place.glob("*/*/*/repeat_*/result.json"):
        record = json.loads(path.read_text())
        change(record, path.parts[-3])
        path.write_text(json.dumps(record))
    return place


def test_an_answer_that_another_threshold_turns_over_is_told(tmp_path: Path) -> None:
    place = keep(study(tmp_path, {"dice": -0.05}), lambda loss: 0.9 if loss == "dice" else 0.0)
    half, chosen = read(place).readings
    assert half.verdict.losses[-1] == "dice" and chosen.verdict.winner == "dice"
    text = sentences([half, chosen])
    assert text[0].startswith("The answer turns over: ")
    assert "better than Dice at threshold 0.5 (common settings), and Dice is better than" in text[0]
    assert "at the threshold that validation images choose (common settings)" in text[0]
    table = readings_table([half, chosen])
    assert [*table.data] == ["Loss", "Threshold 0.5, common settings", "Chosen threshold, common settings"]
    assert "Common settings: all losses are trained" in table.caption and "Tuned settings" not in table.caption


def test_collapsed_runs_are_counted_at_the_threshold_of_the_reading(tmp_path: Path) -> None:
    place = study(tmp_path, {})
    for path in place.glob("*/*/*/repeat_*"):
        collapse_run(path, images=6)
    half, chosen = read(keep(place, lambda loss: 0.0 if loss == "dice" else 0.5)).readings
    assert "compared runs predict one class for at least 99 % of their test images, at threshold 0.5" in (
        half.verdict.nothing_learned
    )
    assert chosen.verdict.threshold == "chosen" and not chosen.verdict.nothing_learned


def test_an_answer_that_holds_is_said_to_hold_in_as_many_readings_as_there_are(tmp_path: Path) -> None:
    effects = {"dice": 0.05}
    plain = keep(study(tmp_path / "plain", effects), lambda _: 0.2)
    flips = {"augmentation": {"_target_": "lightning_seg.data.augmentation.Flips"}}
    augmented = keep(study(tmp_path / "augmented", effects, seed=1, config=flips), lambda _: 0.2)
    found = read(plain, augmented)
    assert [reading.name for reading in found.readings] == [
        "Threshold 0.5, common settings, augmentation none",
        "Chosen threshold, common settings, augmentation none",
        "Threshold 0.5, common settings, augmentation flips",
        "Chosen threshold, common settings, augmentation flips",
    ]
    text = sentences(found.readings)
    assert text[0] == "The answer holds in all 4 readings: Dice is better than every other loss."
    assert text[1] == "Dice has the highest mean in each of them."


def test_an_answer_that_tells_nothing_is_called_open(tmp_path: Path) -> None:
    place = keep(study(tmp_path, {}, models=["unet"], repeats=2), lambda _: 0.2)
    text = sentences(read(place).readings)
    assert text[0] == "The answer holds in both readings, and it is an open one: no loss can be told from the best."


def test_one_reading_that_can_be_tested_is_no_confirmation(tmp_path: Path) -> None:
    first = study(tmp_path / "a", {"dice": 0.05}, models=["unet"])
    single = study(tmp_path / "b", {"dice": 0.05}, models=["unet"], repeats=1, config={"optimizer": {"lr": 0.003}})
    text = sentences(read(first, single).readings)
    assert text[0].startswith(
        "Only one of the 2 readings can be tested, at threshold 0.5 (common settings): Dice is better"
    )


def test_other_settings_are_named_and_losses_that_one_study_lacks_are_left_out(tmp_path: Path) -> None:
    first = study(tmp_path / "a", {"dice": 0.05})
    other = study(tmp_path / "b", {"dice": 0.05}, config={"optimizer": {"lr": 0.003}})
    for path in other.glob("*/*/iou/*/*"):
        path.unlink()
    found = read(first, other)
    assert [reading.settings for reading in found.readings] == [("common",), ("common", "optimizer.lr=0.003")]
    assert all(sorted(reading.verdict.losses) == ["bce", "dice"] for reading in found.readings)
    assert "All readings compare the losses that each study has: bce, dice." in found.notes
    assert any("read at 0.5 alone" in note for note in found.notes)
    with pytest.raises(UserError, match="named twice"):
        build_report(first, beside=[first])


def test_tuned_and_common_answers_are_set_side_by_side(tmp_path: Path) -> None:
    common = study(tmp_path / "common", {"dice": -0.05})
    tuned = study(tmp_path / "tuned", {"bce": -0.05}, config={"tune": {"_target_": "x"}})

    def choose(record: dict[str, Any], loss: str) -> None:
        best = 0.003 if loss == "dice" else 0.001
        record["config"]["optimizer"] = {"lr": best}
        scores = {0.001: 0.6, 0.003: 0.8 if loss == "dice" else 0.5}
        record["tuning"] = {
            "settings": {"optimizer.lr": best},
            "tried": [{"settings": {"optimizer.lr": lr}, "val_dice": [score]} for lr, score in scores.items()],
            "edge": ["optimizer.lr"] if loss == "dice" else [],
            "identity": "",
        }

    edit(tuned, choose)
    edit(common, lambda record, _: record["config"].update(optimizer={"lr": 0.001}, tune={}))
    found = read(tuned, common)
    assert [reading.settings[0] for reading in found.readings] == ["tuned", "common"]
    assert len(found.readings[0].verdict.losses) == 3, "another rate of the loss's own is no other setting"
    text = sentences(found.readings)
    assert text[0].startswith("The answer turns over")
    assert text[-1].endswith("The two do not agree.") and "tuned for each loss BCE is worse" not in text[0]

    trials = read_trials(load_study(tuned), LOSSES)
    assert len(trials.choices) == 9 and list(trials.common) == ["optimizer.lr=0.001", "optimizer.lr=0.003"]
    told = trial_sentences(trials, found.readings[0].verdict)
    assert "Dice is highest at optimizer.lr=0.003" in told[0].replace(" (Dice is better than every other loss)", "")
    assert told[1].startswith("optimizer.lr=0.003 is the end of what was tried, and was chosen by Dice (3 of 3)")
    assert len(told) == 2


def test_a_record_whose_trials_are_no_trials_is_told(tmp_path: Path) -> None:
    place = study(tmp_path, {}, models=["unet"])
    edit(place, lambda record, loss: record.update(tuning={"settings": {}, "edge": [], "identity": "", "tried": [3]}))
    assert len(read_trials(load_study(place), LOSSES).problems) == 3


def test_predictions_of_another_run_are_told_and_not_used(tmp_path: Path) -> None:
    place = keep(study(tmp_path, {}, models=["unet"]), lambda _: 0.2)
    one, other = (place / "wound/unet/dice" / f"repeat_{k}" / "predictions.npz" for k in (0, 1))
    one.write_bytes(other.read_bytes())
    found = load_study(place)
    kept = load_kept(found, found.runs)
    assert kept.problems == ["wound/unet/dice/repeat_0/predictions.npz is not of this run's test."]
    assert len(kept.runs) == len(found.runs) - 1 and len(kept.reliability) == 3
    assert by_loss(kept, compare(found).blocks().mean())["threshold"].tolist() == pytest.approx([0.8] * 3)
    half, chosen = read(place).readings
    assert (half.repeats, chosen.repeats) == (3, 2)


def test_the_page_shows_readings_thresholds_and_calibration(tmp_path: Path) -> None:
    place = keep(study(tmp_path, {"dice": 0.05}, models=["unet"]), lambda _: 0.2)

    def page() -> str:
        analysis = analyse(load_study(place), draws=100)
        tables = study_tables(analysis) | reading_tables(analysis)
        if "readings_long" in tables:
            chosen = tables["readings_long"].data.query("threshold == 'chosen'")
            assert chosen["rank"].tolist() == [1, 2, 3] and chosen["in_group"].tolist() == [True, False, False]
        assert [name for name in ("readings", "thresholds") if name not in tables] in ([], ["readings", "thresholds"])
        return study_page(analysis, {}, tables)

    shown = page()
    assert "The answer holds in both readings" in shown
    assert shown.count('id="readings"') == shown.count('id="table-readings"') == 1
    assert 'id="table-thresholds"' in shown
    for path in place.rglob("predictions.npz"):
        path.unlink()
    shown = page()  # of an older version's records
    assert 'id="readings"' not in shown and 'id="table-thresholds"' not in shown


def test_settings_of_any_length_do_not_fill_the_page(tmp_path: Path) -> None:
    place = study(tmp_path, {}, models=["unet"], repeats=2)
    tried = [{"settings": {"x": "y" * 10**5}, "val_dice": [0.5]}, {"settings": {"x": 1}, "val_dice": [0.4]}]
    choice = {"settings": tried[0]["settings"], "tried": tried, "edge": ["x"], "identity": ""}
    edit(place, lambda record, _: record.update(tuning=choice))
    found = load_study(place)
    trials = read_trials(found, LOSSES)
    told = trial_sentences(trials, read(place).readings[0].verdict)
    assert told
    assert max(map(len, [*told, *rows(trials).to_numpy().ravel()])) < 1000
