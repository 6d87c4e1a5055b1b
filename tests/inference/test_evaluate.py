"""Scores on a run's own test are the recorded ones; other data, full resolution and distances are what they say."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_seg.cli.evaluate import evaluate as command
from lightning_seg.data import Folder, Synthetic
from lightning_seg.errors import UserError
from lightning_seg.inference.distances import outline_distances
from lightning_seg.inference.evaluate import choose_dataset, evaluate, fair_positions, native_mask
from lightning_seg.inference.intervals import bootstrap_interval
from lightning_seg.inference.trained import Predictor, find_weights
from tests.inference.calls import invoke, read_csv

CPU = torch.device("cpu")
call = partial(invoke, command)


@pytest.fixture
def predictor(cell: Path) -> Predictor:
    return Predictor(find_weights([cell / "repeat_0"]), CPU)


def write_files(source: Synthetic, root: Path) -> None:
    """A folder of a dataset's images and masks."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index, name in enumerate(source.ids()):
        image, mask = source.read(index, 64)
        Image.fromarray(image).save(root / "images" / f"{name}.png")
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")


def test_the_runs_own_test_is_repeated_to_the_last_digit(cell: Path, tmp_path: Path) -> None:
    run = cell / "repeat_0"
    code, output = call(run, "--no-distances", "--output", tmp_path, "--device", "cpu")
    assert code == 0, output
    assert "only images of its own test set are scored (4 of 20)" in output
    scored, recorded = read_csv(tmp_path / "images.csv"), read_csv(run / "test_images.csv")
    keys = [key for key in recorded[0] if key != "contrast"]  # of the image, not of its prediction
    assert [[row[key] for key in keys] for row in scored] == [[row[key] for key in keys] for row in recorded]
    summary = json.loads((tmp_path / "summary.json").read_text())
    result = json.loads((run / "result.json").read_text())
    for name, value in result["test"].items():
        assert summary["scores"][name]["mean"] == pytest.approx(value, rel=1e-12)
        low, high = summary["scores"][name]["interval_95"]
        assert low <= value <= high


def test_another_dataset_is_scored_whole_and_its_bad_files_are_named(cell: Path, tmp_path: Path) -> None:
    source, root = Synthetic(name="other", count=5, seed=9), tmp_path / "other"
    write_files(source, root)
    Image.new("1", (64, 64)).save(root / "masks" / f"{source.ids()[0]}.png")
    broken = root / "images" / f"{source.ids()[2]}.png"
    broken.write_bytes(broken.read_bytes()[:200])
    code, output = call(
        cell / "repeat_0", "dataset=folder", f"dataset.root={root}", "--output", tmp_path / "out", "--device", "cpu"
    )
    assert code == 1
    assert f"skipped: {broken}" in output
    assert "4 of 5 images scored" in output and "own test set" not in output
    rows = read_csv(tmp_path / "out" / "images.csv")
    assert [row["id"] for row in rows] == [name for name in source.ids() if name != broken.stem]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["empty"]["truth"] == 1
    assert {"nsd", "hd95"} <= rows[0].keys()
    scores = json.loads((tmp_path / "out" / "summary.json").read_text())["scores"]
    assert scores["nsd"]["tolerance_of_diagonal"] == 0.01
    for name, unit in {"nsd": "share within 1 % of the diagonal, 0.5 px", "hd95": "px at 32 x 32"}.items():
        assert scores[name]["unit"] == unit


def test_the_table_says_what_distances_mean(cell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    arguments = [cell / "repeat_0", "--output", tmp_path, "--device", "cpu"]
    for native, nsd, hd95 in (
        ([], "nsd (share within 1 % of the diagonal, 0.5 px)", "hd95 (px at 32 x 32)"),
        (["--native"], "nsd (share within 1 % of the diagonal)", "hd95 (px of each image)"),
    ):
        output = invoke(command, *arguments, *native)[1]
        assert nsd in output
        assert hd95 in output


def test_a_run_of_another_version_is_noted(cell: Path, tmp_path: Path) -> None:
    for repeat in (0, 1):
        shutil.copytree(cell / f"repeat_{repeat}", tmp_path / f"repeat_{repeat}")
    arguments = ["dataset=synthetic", "dataset.count=3", "--no-distances", "--output", tmp_path / "out"]
    first = call(tmp_path, *arguments)[1]
    assert "was trained with" not in first and "it has learned nothing" in first
    record = json.loads((tmp_path / "repeat_1" / "result.json").read_text())
    record["versions"]["lightning-seg"] = "0.0.7"
    (tmp_path / "repeat_1" / "result.json").write_text(json.dumps(record))
    code, output = call(tmp_path, *arguments)
    assert code == 0
    assert f"note: {tmp_path / 'repeat_1'} was trained with lightning-seg 0.0.7, and this is" in output
    del record["versions"]
    (tmp_path / "repeat_1" / "result.json").write_text(json.dumps(record))
    assert "an unknown version" in call(tmp_path, *arguments)[1]


def test_native_scores_are_those_at_each_images_own_size(predictor: Predictor, photos: Path) -> None:
    dataset = Folder(photos, "elsewhere")
    rows = list(evaluate(predictor, dataset, range(4), native=True, distances=False))
    for index, row in enumerate(rows):
        assert isinstance(row, dict)
        truth = np.asarray(Image.open(dataset.samples[index].masks[0])) >= 128
        image = Image.open(dataset.samples[index].image).convert("RGB")
        assert (row["width"], row["height"]) == image.size
        assert np.array_equal(native_mask(dataset, index), truth)
        small = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
        probability = Image.fromarray(predictor.probabilities(small[None])[0, 0])
        predicted = np.asarray(probability.resize(image.size, Image.Resampling.BILINEAR)) > 0.5
        # The batch is another one here, so a pixel on the border may fall on the other side.
        assert row["tp"] == pytest.approx((predicted & truth).sum(), abs=2)
        assert row["fp"] == pytest.approx((predicted & ~truth).sum(), abs=2)
        assert row["tp"] + row["fp"] + row["fn"] + row["tn"] == truth.size


def test_native_needs_files(predictor: Predictor) -> None:
    with pytest.raises(UserError, match="no native resolution"):
        next(iter(evaluate(predictor, Synthetic(name="synthetic", count=3, seed=0), [0], native=True)))


def test_images_of_training_are_never_scored(cell: Path, photos: Path, tmp_path: Path) -> None:
    both = Predictor(find_weights([cell]), CPU).runs
    dataset = choose_dataset(both[0], [])
    ids = np.array(dataset.ids())
    tested = [set(json.loads((run.directory / "split.json").read_text())["test"]) for run in both]
    shared = tested[0] & tested[1]
    shutil.copytree(photos, tmp_path / "copied")
    for own in (dataset, Folder(photos, "elsewhere"), Folder(tmp_path / "copied", "elsewhere")):
        assert set(ids[fair_positions(both[:1], own)]) == tested[0]
        if shared:
            assert set(ids[fair_positions(both, own)]) == shared
        else:
            with pytest.raises(UserError, match="evaluate the runs one by one"):
                fair_positions(both, own)


def test_masks_put_right_in_the_runs_own_folder_do_not_make_it_another(predictor: Predictor, tmp_path: Path) -> None:
    run = predictor.runs[0]
    run.config.dataset.root = str(tmp_path / "own")
    write_files(Synthetic(count=20, seed=9), tmp_path / "own")
    write_files(Synthetic(count=20, seed=9), tmp_path / "other")
    assert len(fair_positions([run], Folder(tmp_path / "own", "photos"))) == 4
    assert len(fair_positions([run], Folder(tmp_path / "other", "photos"))) == 20


def test_other_images_of_the_same_name_and_ids_are_all_scored(predictor: Predictor, tmp_path: Path) -> None:
    other = Synthetic(name="photos", count=30, seed=9)
    write_files(other, tmp_path / "photos")
    for dataset in (other, Folder(tmp_path / "photos", "photos")):
        assert len(fair_positions(predictor.runs, dataset)) == 30


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["model=unet"], "cannot be set here"),
        (["dataset=kvasi"], "choose one of"),
        (["dataset.rot=here"], "dataset.rot is no key"),
        (["dataset.root=/nowhere"], "does not exist"),
    ],
)
def test_wrong_datasets_are_refused(predictor: Predictor, overrides: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        choose_dataset(predictor.runs[0], overrides)


def test_a_dataset_without_the_tested_images_is_refused(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "part")
    tested = json.loads((predictor.runs[0].directory / "split.json").read_text())["test"]
    for path in (tmp_path / "part").rglob(f"{tested[0]}*"):
        path.unlink()
    with pytest.raises(UserError, match=f"lacks 1 of the images .* such as '{tested[0]}'"):
        fair_positions(predictor.runs, Folder(tmp_path / "part", "part"))


def test_distances_of_empty_masks_follow_the_stated_rule() -> None:
    empty, dot = np.zeros((2, 30, 40), dtype=bool)
    dot[3, 3] = True
    assert outline_distances(empty, empty) == {"nsd": 1, "hd95": 0}
    for pair in ((empty, dot), (dot, empty)):
        assert outline_distances(*pair) == {"nsd": 0, "hd95": 50}


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(100):
        low, high = bootstrap_interval(rng.normal(0.5, 0.2, 40), seed)
        covered += low <= 0.5 <= high
    assert 85 <= covered <= 100
