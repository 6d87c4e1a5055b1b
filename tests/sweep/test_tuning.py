"""Trials before a grid: equal chances for each loss, judged on validation images alone, recorded with the runs."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_seg.config.compose import compose_config
from lightning_seg.errors import UserError
from lightning_seg.report.comparison import compare
from lightning_seg.report.records import load_study
from lightning_seg.runs.fingerprint import essential, flatten
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.record import Record
from lightning_seg.runs.tuning import read_choices
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.studies.status import print_status
from lightning_seg.sweep.tuners import Grid
from lightning_seg.sweep.tuning import grid_and_trials
from tests.conftest import SMALL, Train

STUDY = "multirun/default"
RATES = "tune.keys.optimizer.lr=[0.0078125,1.0]"
TUNED = ("-m", "tune=lr", RATES, "trainer.max_epochs=4", "optimizer=sgd", "optimizer.weight_decay=0")


def records(study: Path) -> dict[str, Record]:
    return {run.address: run.read() for run in StudyFolder(study).runs()[0]}


def epochs(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_loss_and_its_multiple_differ_untuned_and_tie_tuned(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    """Under SGD, 128 times the Dice loss at a 128th of the rate is the Dice loss, to the last bit."""
    grid = ("loss=dice,dice_128", "repeat=0,1")
    untuned_grid = (*TUNED[:1], *TUNED[3:], "optimizer.lr=1.0", *grid, "study=u")
    code, _, err = train.here(*untuned_grid)
    assert code == 0, err
    code, out, err = train.here(*TUNED, *grid)
    assert code == 0 and "trials: 4 ran\n4 ran" in out, err
    study = train.directory / STUDY

    def dice(records: dict[str, Record], loss: str) -> list[float]:
        return [records[f"synthetic/tiny/{loss}/repeat_{repeat}"].test["dice"] for repeat in (0, 1)]

    untuned, tuned = records(train.directory / "multirun/u"), records(study)
    assert dice(untuned, "dice") != dice(untuned, "dice_128")
    assert dice(tuned, "dice") == dice(tuned, "dice_128")

    # Each run tells what was chosen and all that was tried; the file of the study says the same.
    choices = read_choices(study)
    assert choices["synthetic/tiny/dice"].settings == {"optimizer.lr": 1.0}
    assert choices["synthetic/tiny/dice_128"].settings == {"optimizer.lr": 1 / 128}
    for record in tuned.values():
        choice = choices[f"synthetic/tiny/{record.loss}"]
        assert record.tuning == choice.as_json() and record.config["optimizer"]["lr"] == record.tuned["optimizer.lr"]
        best = max(choice.tried, key=lambda each: each["val_dice"])
        assert best["settings"] == choice.settings and choice.edge == ["optimizer.lr"] and len(choice.tried) == 2
        assert not [argument for argument in record.overrides if argument.startswith("optimizer.lr=")]

    # What is tuned is the loss's own: the report compares the two, and not with runs that were not tuned.
    loaded = load_study(study)
    assert compare(loaded).losses == ["dice", "dice_128"] and not loaded.differences
    assert loaded.runs["settings"].nunique() == 1

    # Later repeats use the choice, whether or not the trials are still there.
    for path in sorted((study / ".tuning").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    code, out, _ = train.here(*TUNED, *grid[:1], "repeat=2")
    assert code == 0 and "trials" not in out and "2 ran" in out
    assert records(study)["synthetic/tiny/dice/repeat_2"].tuned == {"optimizer.lr": 1.0}

    # Another range is another study, which is said before anything starts; and a run alone has no trials.
    code, _, err = train.here(*TUNED, *grid, "tune.keys.optimizer.lr=[0.1,0.2]")
    assert code == 2 and "tune.keys.optimizer.lr was [0.0078125, 1.0] and is now [0.1, 0.2]" in err
    code, _, err = train.here("tune=lr", "loss=bce")
    assert code == 2 and "add -m, with repeat=0" in err
    print_status(StudyFolder(study))
    assert "tuned synthetic/tiny/dice: optimizer.lr=1.0 (at the edge" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_test_images_are_not_read_in_trials(train: Train) -> None:
    """With noise in their place, all trials go as before, and only what is tested of the runs differs."""
    grid = (*TUNED, "tune.repeats=2", "loss=bce", "repeat=0,1")
    clean, spoiled = train.directory / "clean", train.directory / "spoiled"
    assert train.here(*grid, f"data.cache_dir={clean}", "study=clean")[0] == 0
    runs = StudyFolder(train.directory / "multirun/clean").runs()[0]
    splits = [json.loads(run.split.read_text()) for run in runs]
    never_judging = set(splits[0]["test"]) & set(splits[1]["test"])
    assert never_judging
    shutil.copytree(clean, spoiled)
    (ids,), (images,), (masks,) = (spoiled.glob(f"*/{name}") for name in ("ids.json", "images.npy", "masks.npy"))
    positions = [json.loads(ids.read_text()).index(name) for name in never_judging]
    draw = np.random.default_rng(0)
    pixels, truth = np.load(images, mmap_mode="r+"), np.load(masks, mmap_mode="r+")
    pixels[positions] = draw.integers(0, 256, pixels[positions].shape)
    truth[positions] = draw.random(truth[positions].shape) < 0.5
    del pixels, truth
    ids.with_name("digests.json").unlink()  # which would tell that the cache is not what was decoded
    assert train.here(*grid, f"data.cache_dir={spoiled}", "study=spoiled")[0] == 0

    choices = [read_choices(train.directory / "multirun" / name) for name in ("clean", "spoiled")]
    assert choices[0] == choices[1]
    trials = StudyFolder(runs[0].study).trial_studies()
    assert len(trials) == 2
    for trial in (run for each in trials for run in each.runs()[0]):
        twin = Path(str(trial.path).replace("/clean/", "/spoiled/"))
        assert epochs(trial.path) == epochs(twin) and trial.read().test == {}
        assert not trial.test_images.exists() and not trial.cases.exists() and not trial.weights.exists()
    for run in runs:
        twin = RunFolder(Path(str(run.path).replace("/clean/", "/spoiled/")))
        assert run.test_images.read_text() != twin.test_images.read_text(), "they were to be spoiled"


@pytest.mark.slow
def test_a_loss_whose_trial_fails_is_left_out_until_it_succeeds(train: Train) -> None:
    grid = ("-m", "tune=lr", "loss=failing,bce", "repeat=0")
    failed = train(*grid, code=1)
    assert "trials: 3 ran, 3 failed" in failed.stdout and "1 ran, 1 not started" in failed.stdout
    assert list(read_choices(train.directory / STUDY)) == ["synthetic/tiny/bce"]
    repaired = train(*grid, environment={"REPAIRED": "1"})
    assert "trials: 3 ran" in repaired.stdout and "1 ran, 1 skipped" in repaired.stdout
    assert len(read_choices(train.directory / STUDY)) == 2


@pytest.mark.slow
def test_two_processes_share_trials_and_runs(train: Train) -> None:
    grid = ("-m", "tune=lr", "loss=bce,dice", "repeat=0,1")
    both = [train.start(*grid, constants={"lightning_seg.sweep.grid.POLL_SECONDS": 0.1}) for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0], both[0].stderr + both[1].stderr
    assert len(read_choices(train.directory / STUDY)) == 2
    study = StudyFolder(train.directory / STUDY)
    runs = [run for each in (study, *study.trial_studies()) for run in each.runs()[0]]
    assert len(runs) == 10 and all(run.record() for run in runs)
    assert sum("10 cells" in each.stderr for each in both) == 0
    logs = [run.log.read_text() for run in runs]
    assert all(text.count(": epoch 1,") == 1 for text in logs), "each was trained once"


def test_trials_are_the_same_for_all_and_counted_before_they_run(tmp_path: Path) -> None:
    arguments = [*SMALL[1:], f"output_dir={tmp_path}", "model=unet", "loss=bce_focal,iou_focal", "repeat=0,1,2"]
    cells, trials = grid_and_trials([*arguments, "tune=lr", "tune.keys.loss.weights.focal=[0.5,1]", "tune.repeats=2"])
    assert len(cells) == 6 and len(trials) == 2 * 3 * 2 * 2
    tried = {(cell.config["optimizer.lr"], cell.config["loss.weights.focal"]) for cell in trials}
    assert tried == {(rate, weight) for rate in (3e-4, 1e-3, 3e-3) for weight in (0.5, 1)}
    assert {cell.config["test"] for cell in trials} == {False} and len({cell.folder for cell in trials}) == 24
    assert trials[0].folder.study == tmp_path / "default/.tuning/optimizer.lr=0.0003+loss.weights.focal=0.5"
    cells, trials = grid_and_trials([*arguments, "tune=grid", "tune.keys.optimizer=[adam,sgd]", "tune.epochs=1"])
    assert {cell.config["optimizer._target_"] for cell in trials} == {"torch.optim.Adam", "torch.optim.SGD"}
    assert {cell.config["trainer.max_epochs"] for cell in trials} == {1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tune=grid"], "tune has no keys"),
        (["tune.repeats=2"], "choose tune=lr, tune=grid or one of your own"),
        (["tune=lr", "tune.keys.optimizer.lr=0.1"], "must be a list"),
        (["tune=lr", "tune.keys.optimizer.lr=[0.1,0.1]"], "optimizer.lr=0.1 twice"),
        (["tune=lr", "tune.epoch=3"], "unexpected keyword argument 'epoch'"),
        (["tune=lr", "tune.epochs=0"], "from 1"),
        (["tune=grid", "tune.keys.data.split=[random,kfold]"], "data.split cannot be tuned"),
        (["tune=grid", "tune.keys.loss=[bce,dice]"], "loss cannot be tuned"),
        (["tune=grid", "tune.keys.loss.weights.focal=[1,2]"], "synthetic/unet/bce has no such key"),
        (["tune=none,lr", "repeat=0"], "have the folder"),
        (["tune=lr", "study='s_${loss.name}'"], "has one study"),
    ],
)
def test_what_cannot_be_tuned_is_one_sentence(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        grid_and_trials([f"output_dir={tmp_path}", "loss=bce_focal,bce", *arguments])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_of_equals_the_first_wins() -> None:
    tuner = Grid({"optimizer": {"lr": [1, 2]}, "loss.weight": ["a", "b"]})
    assert tuner.propose()[1] == {"optimizer.lr": 1, "loss.weight": "b"}
    assert tuner.choose([0.1, 0.3, 0.3, 0.2]) == 1


def test_a_damaged_file_of_choices_is_one_sentence(tmp_path: Path) -> None:
    damaged: tuple[Any, ...] = ([], {"a/b/c": 1}, {"a/b/c": {"settings": [], "tried": [], "edge": [], "identity": ""}})
    for value in damaged:
        (tmp_path / "tuning.json").write_text(json.dumps(value))
        with pytest.raises(UserError, match=r"tuning\.json cannot be read .* the same grid makes it again"):
            read_choices(tmp_path)


def test_without_tuning_a_run_is_what_it_was() -> None:
    kept = essential(flatten(compose_config([])))
    assert not [key for key in kept if key.split(".")[0] in ("tune", "test")]
    assert RunFolder(Path("s/d/m/l/repeat_0")).study == Path("s")
