"""The threshold at which masks are made: the paper's, that of validation images, or a number."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_seg.cli.evaluate import evaluate
from lightning_seg.cli.predict import predict
from lightning_seg.errors import UserError
from lightning_seg.inference import export
from lightning_seg.inference.threshold import HALF, Threshold, choose_threshold
from lightning_seg.inference.trained import find_weights, load_run
from lightning_seg.predicted import THRESHOLDS, best_threshold
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.predictions import Predictions, read, write
from tests.inference.calls import invoke, read_csv


def test_validation_images_choose_and_several_runs_share_the_mean(cell: Path) -> None:
    own = [best_threshold(read(RunFolder(cell / f"repeat_{k}")).val) for k in (0, 1)]
    for k in (0, 1):
        assert choose_threshold("validation", find_weights([cell / f"repeat_{k}"])).value == own[k]
    assert choose_threshold("validation", find_weights([cell])).value == pytest.approx(sum(own) / 2)
    assert choose_threshold("0.5", []) == HALF and choose_threshold("0.35", []).value == 0.35
    for wrong in ("0", "1", "nan", "val", "-0.5"):
        with pytest.raises(UserError, match="validation"):
            choose_threshold(wrong, [])


def test_evaluation_at_a_threshold_is_what_the_run_has_counted_there(cell: Path, tmp_path: Path) -> None:
    run = cell / "repeat_0"
    kept = read(RunFolder(run)).test
    code, output = invoke(
        evaluate, run, "--threshold", "0.2", "--no-distances", "--output", tmp_path / "there", "--device", "cpu"
    )
    assert code == 0 and "exceeds 0.2: given by the user" in output
    rows = read_csv(tmp_path / "there" / "images.csv")
    counts = [[int(row[name]) for name in ("tp", "fp", "fn", "tn")] for row in rows]
    assert counts == kept.counts[:, THRESHOLDS.index(0.2)].tolist()
    assert json.loads((tmp_path / "there" / "summary.json").read_text())["threshold"]["value"] == 0.2


def test_masks_grow_as_the_threshold_falls(cell: Path, photos: Path, tmp_path: Path) -> None:
    image = next((photos / "images").glob("*.png"))
    areas = []
    for value in ("0.1", "0.9"):
        place = tmp_path / value
        code, output = invoke(
            predict, cell / "repeat_0", image, "--threshold", value, "--output", place, "--device", "cpu"
        )
        assert code == 0, output
        areas.append(int((np.asarray(Image.open(place / "masks" / f"{image.stem}.png")) > 0).sum()))
        assert int(read_csv(place / "predictions.csv")[0]["area_px"]) == areas[-1]
    assert areas[0] > areas[1]


def test_an_export_says_which_threshold_and_how_good_it_is(cell: Path, tmp_path: Path) -> None:
    run, kept = load_run(cell / "repeat_0"), read(RunFolder(cell / "repeat_0"))
    export.export_run(run, tmp_path, ["torch"], threshold=Threshold(0.3, "chosen here"))
    facts = json.loads((tmp_path / "preprocessing.json").read_text())
    assert facts["threshold"] == {"value": 0.3, "source": "chosen here"}
    assert facts["postprocessing"][-1] == "lesion where > 0.3"
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert "**Threshold to use**: 0.3 (chosen here)" in card
    assert f"Mean Dice of the test images there is {kept.test.dice[:, THRESHOLDS.index(0.3)].mean():.4f}" in card
    assert f"Brier score of {kept.test.brier:.4f}" in card
    assert "not counted" in export.model_card(run, Threshold(0.333, "given"))


def test_a_run_without_what_it_needs_or_with_anothers_is_refused(cell: Path, tmp_path: Path) -> None:
    shutil.copytree(cell / "repeat_0", tmp_path / "repeat_0")
    run = RunFolder(tmp_path / "repeat_0")
    found, other = read(run), read(RunFolder(cell / "repeat_1"))
    write(run, Predictions(found.val, other.test))
    with pytest.raises(UserError, match="not of the same run"):
        choose_threshold("validation", [run.weights])
    run.predictions.unlink()
    with pytest.raises(UserError, match=r"has kept no predictions\.npz"):
        choose_threshold("validation", [run.weights])
    assert "**Threshold to use**: 0.5" in export.model_card(load_run(run.path))  # as readable as before
