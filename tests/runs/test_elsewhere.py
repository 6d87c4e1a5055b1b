"""The best weights on other datasets, and on the test images made worse."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from lightning_seg.catalogue import COUNTS, METRICS
from lightning_seg.cli.app import app
from lightning_seg.config.compose import compose_config
from lightning_seg.data import Synthetic
from lightning_seg.data.corruption import KINDS, STRENGTHS, corrupted
from lightning_seg.errors import UserError
from lightning_seg.inference.evaluate import choose_dataset, evaluate, fair_positions
from lightning_seg.inference.trained import Predictor, find_weights
from lightning_seg.runs import elsewhere
from lightning_seg.runs.record import Record
from lightning_seg.runs.run import run

SIZE = 32


def folder_of(root: Path, count: int, seed: int) -> Path:
    """A folder dataset of PNG files."""
    source = Synthetic(name="synthetic", count=count, seed=seed)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for index, name in enumerate(source.ids()):
        image, mask = source.read(index, 48)
        Image.fromarray(image).save(root / "images" / f"{name}.png")
        Image.fromarray(mask).convert("L").save(root / "masks" / f"{name}.png")
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("data") / "home", 15, 1)


@pytest.fixture(scope="module")
def abroad(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    """Seven images, of which one is a mirrored copy of one at home."""
    root = folder_of(tmp_path_factory.mktemp("data") / "abroad", 6, 2)
    first = min((home / "images").iterdir())
    for name in ("images", "masks"):
        image = Image.open(home / name / first.name).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image.save(root / name / "zz_copy.png")
    return root


def overrides(folder: Path, home: Path, *more: str) -> list[str]:
    return [
        *("dataset=folder", f"dataset.root={home}", "model=unet", "model.width=4", "loss=dice", "optimizer.lr=0.01"),
        *("trainer=cpu", "trainer.max_epochs=2", "logger=none", "cases=1", f"data.image_size={SIZE}"),
        *("data.eval_batch_size=4", f"data.cache_dir={folder / 'cache'}", f"output_dir={folder}", "keep_weights=true"),
        *more,
    ]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory, home: Path, abroad: Path) -> Path:
    """A run that was interrupted in its test on the other dataset, and then went on."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("study")
    arguments = overrides(folder, home, f"external=[{abroad},{home}]", "corruptions=standard")
    place = folder / "default/home/unet/dice/repeat_0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elsewhere.Tester, "corruptions", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run(compose_config(arguments))
    assert (place / "external_abroad.csv").is_file() and not (place / "result.json").exists()
    (place / "external_abroad.csv").unlink()
    run(compose_config(arguments))
    return place


def test_what_a_run_leaves_of_other_datasets(tested: Path, abroad: Path) -> None:
    rows, own = rows_of(tested / "external_abroad.csv"), rows_of(tested / "test_images.csv")
    assert [row["id"] for row in rows] == sorted(path.stem for path in (abroad / "images").iterdir())
    assert rows[0].keys() == own[0].keys()
    record = Record.from_json(json.loads((tested / "result.json").read_text()))
    assert list(record.external) == ["abroad"]  # a run is not tested on its own dataset
    found = record.external["abroad"]
    assert found["images"] == 7 and found["copies"] == 1
    assert found["dice"] == pytest.approx(np.mean([float(row["dice"]) for row in rows]), abs=1e-12)
    assert record.epochs == 2


def test_what_a_run_leaves_of_corruptions(tested: Path) -> None:
    rows, own = rows_of(tested / "corruptions.csv"), rows_of(tested / "test_images.csv")
    assert [(row["kind"], int(row["strength"]), row["id"]) for row in rows] == [
        (kind, strength, row["id"]) for kind in KINDS for strength in STRENGTHS for row in own
    ]
    lesions = [int(row["tp"]) + int(row["fn"]) for row in own]
    assert [int(row["tp"]) + int(row["fn"]) for row in rows] == lesions * len(KINDS) * len(STRENGTHS)
    record = json.loads((tested / "result.json").read_text())
    blurred = [float(row["dice"]) for row in rows if row["kind"] == "blur"]
    assert record["corruptions"]["blur"]["dice"] == pytest.approx(np.mean(blurred), abs=1e-6)


def test_neither_makes_a_finished_run_another_one(tested: Path, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = (tested / "result.json").read_bytes()
    root = tested.parents[4]
    run(compose_config(overrides(root, home)))
    run(compose_config(overrides(root, home, "external=[clinicdb]", "corruptions=standard")))
    assert (tested / "result.json").read_bytes() == before
    (told,) = [line for line in caplog.messages if "was not tested" in line]  # of corruptions nothing is lacking
    assert "was not tested on clinicdb" in told and "--record" in told


def test_what_is_not_there_is_told_before_training(tmp_path: Path, home: Path) -> None:
    arguments = overrides(tmp_path, home, "external=[clinicdb]", f"data_dir={tmp_path}")
    with pytest.raises(UserError, match=r"'clinicdb'.* does not exist; run 'lightning-seg prepare clinicdb'"):
        run(compose_config(arguments))
    assert not list(tmp_path.rglob("metrics.csv")) and not (tmp_path / "cache").exists()


def test_evaluate_finds_the_same_and_adds_it_to_a_finished_run(
    tested: Path, home: Path, abroad: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    predictor = Predictor(find_weights([tested]), torch.device("cpu"))
    dataset = choose_dataset(predictor.runs[0], ["dataset=folder", f"dataset.root={abroad}"])
    found = evaluate(predictor, dataset, fair_positions(predictor.runs, dataset), distances=False)
    kept = rows_of(tested / "external_abroad.csv")
    for row, own in zip(found, kept, strict=True):
        assert row["id"] == own["id"] and [row[name] for name in COUNTS] == [int(own[name]) for name in COUNTS]
        assert all(row[name] == float(own[name]) for name in METRICS)

    later = shutil.copytree(tested, tmp_path / "default/home/unet/dice/repeat_0")
    for path in (*later.glob("external_*"), later / "corruptions.csv"):
        path.unlink()
    record = json.loads((later / "result.json").read_text())
    (later / "result.json").write_text(json.dumps(record | {"external": {}, "corruptions": {}}))
    others = ["dataset=folder", f"dataset.root={abroad}"]
    for arguments in (others, []):
        shown = CliRunner().invoke(app, ["evaluate", str(later), *arguments, "--record"])
        assert shown.exit_code == 0, shown.output
    for name in ("external_abroad.csv", "corruptions.csv"):
        assert (later / name).read_bytes() == (tested / name).read_bytes()
    assert json.loads((later / "result.json").read_text()) == record
    refused = CliRunner().invoke(app, ["evaluate", str(later), "dataset=folder", f"dataset.root={home}", "--record"])
    assert refused.exit_code != 0 and rows_of(later / "external_abroad.csv") == kept


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_follows_from_seed_strength_and_id_alone(kind: str) -> None:
    image = Synthetic(name="synthetic", count=1, seed=3).read(0, 64)[0].transpose(2, 0, 1)
    found = [np.stack([corrupted(image, kind, each, 42, f"{n}") for n in range(12)]) for each in STRENGTHS]
    errors = [np.abs(each.astype(int) - image).mean() for each in found]
    assert 0 < errors[0] < errors[1] < errors[2]
    assert all(each.dtype == np.uint8 and each.shape == (12, *image.shape) for each in found)
    assert np.array_equal(found[0][3], corrupted(image.copy(), kind, 1, 42, "3"))
    names = [corrupted(image, kind, 2, 42, f"image {n}").tobytes() for n in range(12)]
    seeds = [corrupted(image, kind, 2, n, "a").tobytes() for n in range(12)]
    drawn = {"blur": 1, "jpeg": 1, "noise": 12, "brightness": 2, "contrast": 2}[kind]
    assert len(set(names)) == len(set(seeds)) == drawn
