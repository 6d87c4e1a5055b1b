"""One run: what it leaves, the same whenever and wherever it is computed."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lightning_seg.metrics import MEASURES
from lightning_seg.predicted import PUBLISHED
from lightning_seg.report.fill import fill_measures
from lightning_seg.runs import predictions
from lightning_seg.runs import run as runs
from lightning_seg.runs.claim import CLAIM
from lightning_seg.runs.folder import RunFolder
from lightning_seg.studies.folder import StudyFolder
from tests.conftest import SMALL, Train
from tests.docs.described import undescribed
from tests.outcome import outcome

CHECKOUT = Path(__file__).parents[2]
FILES = {
    ".hydra",
    "train.log",
    "metrics.csv",
    "split.json",
    "test_images.csv",
    "cases.npz",
    "predictions.npz",
    "test_measures.csv",
    "result.json",
    "weights.safetensors",
}


def test_each_file_is_described() -> None:
    properties = ("error", "failure_file", "corruptions")
    named = {getattr(RunFolder(Path("s/d/m/l/repeat_0")), name).name for name in properties}
    named |= {RunFolder(Path()).external("kvasir").name, RunFolder(Path()).checkpoint("0").name, CLAIM}
    study = StudyFolder(Path())
    named |= {study.announcement.name, f"{study.trials.name}/", ".lock", "report/"}
    assert not undescribed({*FILES - {".hydra"}, ".hydra/", *named})
    assert undescribed(["odd.json"]) == {"odd.json"}


def read(directory: Path) -> dict:
    return json.loads((directory / "result.json").read_text())


@pytest.mark.slow
def test_the_same_alone_and_as_the_last_of_a_grid(train: Train) -> None:
    """Run by the script in an interpreter of its own, and as the eighth run of one process."""
    grid = ("-m", "model=tiny,unet", "model.width=4", "loss=iou,bce", "repeat=0,1", "keep_weights=true")
    sweep = train(*grid, "study=grid")
    command = [sys.executable, CHECKOUT / "train.py", *SMALL, "model=unet", "model.width=4", "loss=bce", "repeat=1"]
    alone = subprocess.run(
        command, cwd=train.directory, env={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT)}, capture_output=True
    )
    assert alone.returncode == 0, alone.stderr.decode()
    alone_in, address = train.directory / "multirun/default", "synthetic/unet/bce/repeat_1"
    assert outcome(alone_in / address) == outcome(train.directory / "multirun/grid" / address)

    # Repeats vary slowest, so that a stopped sweep has complete ones.
    lines = [line for line in sweep.stderr.splitlines() if "epoch 1," in line]
    assert [("repeat 1" in line) for line in lines] == [False] * 4 + [True] * 4

    # Every model and loss of a repeat sees the same images; other repeats see others.
    splits = {repeat: set() for repeat in (0, 1)}
    for path in (train.directory / "multirun/grid").rglob("split.json"):
        splits[int(path.parent.name[-1])].add(path.read_text())
    assert len(splits[0]) == len(splits[1]) == 1 and splits[0] != splits[1]


@pytest.mark.slow
def test_what_a_run_leaves(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    train("loss=bce", "optimizer.lr=0.05", "trainer.max_epochs=4")
    directory = train.directory / "multirun/default/synthetic/tiny/bce/repeat_0"
    assert {path.name for path in directory.iterdir()} == FILES
    record = read(directory)
    assert record["status"] == "finished" and record["seed"] == 42 and record["parameters"] == 125
    assert record["training_version"] == 3
    assert record["config"]["optimizer"]["lr"] == 0.05 and record["versions"]["torch"]
    assert record["images"] == {"train": 14, "val": 5, "test": 5}
    assert record["seconds"].keys() == {"data", "fit", "test"}

    # The test used the best epoch's weights, which are those that are kept.
    epochs = outcome(directory)["epochs"]
    best = max(range(4), key=lambda epoch: float(epochs[epoch]["val_dice"]))
    assert record["best_epoch"] == best + 1 and record["best_val_dice"] == float(epochs[best]["val_dice"])
    rows = [line.split(",") for line in (directory / "test_images.csv").read_text().splitlines()]
    assert rows[0] == ["id", "tp", "fp", "fn", "tn", "dice", "iou", "precision", "recall", "contrast"]
    assert [row[0] for row in rows[1:]] == json.loads((directory / "split.json").read_text())["test"]
    assert all(0 <= float(row[9]) <= 1 or row[9] == "nan" for row in rows[1:])
    assert sum(float(row[5]) for row in rows[1:]) / 5 == pytest.approx(record["test"]["dice"], abs=1e-12)
    assert load_file(directory / "weights.safetensors").keys() >= {"0.weight", "1.running_mean"}
    kept = predictions.read(RunFolder(directory))
    assert kept.test.counts[:, PUBLISHED].tolist() == [[int(count) for count in row[1:5]] for row in rows[1:]]
    assert kept.test.ids == [row[0] for row in rows[1:]] and kept.test.masks.shape == (5, 32, 32)
    assert kept.test.masks.sum((1, 2)).tolist() == [int(row[1]) + int(row[2]) for row in rows[1:]]
    measures = [line.split(",") for line in (directory / "test_measures.csv").read_text().splitlines()]
    assert measures[0] == ["id", *MEASURES] and [row[0] for row in measures[1:]] == kept.test.ids
    # A record of an older version gets the same from its masks and the decoded data, and nothing where these have gone.
    (directory / "test_measures.csv").rename(train.directory / "measures.csv")
    study = train.directory / "multirun/default"
    monkeypatch.chdir(train.directory)
    assert not fill_measures(study)
    assert (directory / "test_measures.csv").read_text() == (train.directory / "measures.csv").read_text()
    (directory / "test_measures.csv").unlink()
    caches = Path(record["config"]["data"]["cache_dir"])
    caches.rename("elsewhere")
    assert "1 run has no measures of masks: synthetic is not decoded any longer" in fill_measures(study)[0]
    Path("elsewhere").rename(caches)
    # The validation images are scored with the weights that scored best on them.
    assert kept.val.dice[:, PUBLISHED].mean() == pytest.approx(record["best_val_dice"], abs=1e-6)
    log = (directory / "train.log").read_text()
    assert log.count(": epoch ") == 4

    # A second call trains nothing; another configuration is refused; rerun=true replaces.
    written = (directory / "result.json").stat().st_mtime_ns
    again = train.here("loss=bce", "optimizer.lr=0.05", "trainer.max_epochs=4", "cases=2")  # what is kept may differ
    assert again[0] == 0 and "finished before" in again[2]
    code, _, message = train.here("loss=bce", "optimizer.lr=0.04", "trainer.max_epochs=3")
    assert code == 2 and "Traceback" not in message
    for part in ("optimizer.lr was 0.05 and is now 0.04", "trainer.max_epochs was 4 and is now 3", "study=", "rerun="):
        assert part in message
    assert (directory / "result.json").stat().st_mtime_ns == written
    assert train.here("loss=bce", "rerun=true", "optimizer._target_=torch.optim.Nothing")[0] == 2
    assert (directory / "result.json").stat().st_mtime_ns == written  # a rerun that cannot start costs nothing
    assert train.here("loss=bce", "optimizer.lr=0.04", "trainer.max_epochs=3", "rerun=true")[0] == 0
    assert read(directory)["epochs"] == 3


@pytest.mark.slow
def test_kept_logits_are_those_that_were_tested(train: Train) -> None:
    train("loss=bce", "trainer.precision=bf16-mixed", "cases=5")
    directory = train.directory / "multirun/default/synthetic/tiny/bce/repeat_0"
    cases = np.load(directory / "cases.npz")
    logits = torch.from_numpy(cases["logits"])
    assert torch.equal(logits, logits.bfloat16().float()), "of the test's precision"
    with (directory / "test_images.csv").open() as file:
        positives = {row["id"]: int(row["tp"]) + int(row["fp"]) for row in csv.DictReader(file)}
    assert dict(zip(cases["ids"], (cases["logits"] > 0).sum((1, 2)), strict=True)) == positives


@pytest.mark.slow
def test_outcome_of_a_run_that_ended_elsewhere_between_look_and_claim(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train.here("loss=bce")[0] == 0
    path = train.directory / "multirun/default/synthetic/tiny/bce/repeat_0/result.json"
    record = path.read_text()
    path.unlink()

    @contextmanager
    def late_claim(folder: RunFolder) -> Iterator[None]:
        path.write_text(record)
        yield

    monkeypatch.setattr(RunFolder, "claim", late_claim)
    monkeypatch.setattr(runs, "_train", lambda *_: pytest.fail("trained twice"))
    assert train.here("loss=bce")[0] == 0
