"""Sweeps that are asked to stop, and such as stop by themselves for a cause that is not a run's own."""

import json
import os
import platform
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lightning_seg.files import unwritable, write_atomic
from lightning_seg.runs import stop
from lightning_seg.runs.resume import DirectCheckpointIO
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.studies.status import print_status
from tests.conftest import SMALL, Train, Training
from tests.outcome import outcome
from tests.parts import Pausing, terminating_counts

GRID = ("-m", "loss=bce", "repeat=0,1", "trainer.max_epochs=60", "keep_weights=true")
RUN = "synthetic/tiny/bce/repeat_0"


def epochs(directory: Path) -> int:
    try:
        return len((directory / "metrics.csv").read_text().splitlines()) - 1
    except FileNotFoundError:
        return 0


def signal_in_training(training: Training, directory: Path, number: signal.Signals) -> None:
    before = epochs(directory)
    assert training.wait_until(lambda: epochs(directory) > before), training.stderr
    os.kill(training.process.pid, number)


@pytest.mark.slow
def test_each_signal_lets_the_epoch_end_and_the_same_line_goes_on(train: Train) -> None:
    train(*GRID, "study=whole", "repeat=0")
    directory = train.directory / "multirun/default" / RUN
    done = 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        training = train.start(*GRID)
        signal_in_training(training, directory, number)
        assert training.wait() == 130
        assert "1 stopped, 1 not started" in training.stdout and "Traceback" not in training.stderr
        assert training.stderr.count("stopping after this epoch") == 1 and "stopped after epoch" in training.stderr
        assert not (directory / "result.json").exists() and not (directory / "claim.json").exists()
        (checkpoint,) = directory.glob("resume-*")
        assert epochs(directory) > done, "each time it goes on from where it was"
        done = epochs(directory)
        assert torch.load(checkpoint, weights_only=True)["epoch"] + 1 == done
    assert "2 ran" in train(*GRID).stdout
    assert outcome(directory) == outcome(train.directory / "multirun/whole" / RUN)
    assert not list(directory.glob("resume-*"))


@pytest.mark.slow
def test_a_single_run_says_that_it_was_stopped(train: Train) -> None:
    training = train.start("loss=bce", "trainer.max_epochs=200")
    signal_in_training(training, train.directory / "multirun/default" / RUN, signal.SIGTERM)
    assert training.wait() == 130
    assert "stopping after this epoch; a second Ctrl-C stops at once" in training.stderr
    assert "stopped after epoch" in training.stderr and "Traceback" not in training.stderr


@pytest.mark.slow
def test_a_signal_lets_the_test_end(train: Train) -> None:
    constants = {"lightning_seg.training.module.confusion_counts": terminating_counts}
    images = ("dataset.count=24", "data.eval_batch_size=1", "trainer.max_epochs=1")
    training = train("loss=bce", *images, constants=constants)
    log = training.stderr
    assert log.index("epoch 1,") < log.index("stopping after this epoch") < log.index("test Dice")
    assert (train.directory / "multirun/default" / RUN / "result.json").exists()


def test_a_request_to_a_dead_process_is_none_to_its_successor(tmp_path: Path) -> None:
    """The first process of a container that starts again has its host's name and number, too."""
    (tmp_path / f".stop-{platform.node()}-{os.getpid()}").touch()
    with stop.shared(tmp_path):
        assert not stop.requested()
        stop.ask_others()
        assert stop.requested()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_second_signal_ends_at_once(train: Train) -> None:
    """The run hangs in its first step, so that no epoch can end."""
    training = train.start("-m", "loss=pausing", "repeat=0,1", environment={Pausing.MEETING: ".", "WHO": "a"})
    assert training.wait_until((train.directory / "a.here").exists)
    os.kill(training.process.pid, signal.SIGINT)
    assert training.wait_until(lambda: "stopping after this epoch" in training.stderr)
    training.process.join(0.5)
    assert training.process.is_alive()
    os.kill(training.process.pid, signal.SIGINT)
    assert training.wait() == 130
    assert "interrupted; the same command goes on" in training.stderr and "Traceback" not in training.stderr
    assert "1 stopped, 1 not started" in training.stdout
    assert not list(train.directory.rglob("claim.json")) and not list(train.directory.rglob("result.json"))


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_its_run_alone(train: Train) -> None:
    code, out, err = train.here("-m", "loss=diverging,bce", "repeat=0", "trainer.max_epochs=5")
    assert code == 0 and "1 ran, 1 diverged" in out and "DIVERGED" in err
    study = train.directory / "multirun/default"
    record = json.loads((study / "synthetic/tiny/diverging/repeat_0/result.json").read_text())
    assert record["status"] == "diverged" and record["epochs"] == 2 and record["best_epoch"] == 1
    assert epochs(study / "synthetic/tiny/diverging/repeat_0") == 2
    assert json.loads((study / RUN / "result.json").read_text())["status"] == "finished"
    code, out, _ = train.here("-m", "loss=diverging,bce", "repeat=0", "trainer.max_epochs=5")
    assert code == 0 and "2 skipped" in out


def test_status_counts_what_diverged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for repeat, status in enumerate(("finished", "diverged")):
        directory = tmp_path / f"study/d/m/l/repeat_{repeat}"
        directory.mkdir(parents=True)
        record = {"status": status, "best_val_dice": 0.5, "test": {"dice": 0.5}, "seconds": {"fit": 1.0}}
        (directory / "result.json").write_text(json.dumps(record))
    print_status(StudyFolder(tmp_path / "study"))
    assert "2 (1 diverged)" in capsys.readouterr().out


@pytest.mark.slow
def test_fail_fast_and_retry(train: Train) -> None:
    code, out, err = train.here("-m", "loss=starving,bce", "repeat=0", "fail_fast=true", "retry=1")
    assert code == 1 and "1 failed, 1 not started" in out and "tried again" not in err
    code, out, err = train.here("-m", "loss=starving,bce", "repeat=0", "retry=1")
    assert code == 1 and "1 ran, 1 failed" in out and "tried again: 1 failed run" in err


@pytest.mark.slow
@pytest.mark.parametrize("what", ["output_dir", "data.cache_dir"])
def test_a_full_disk_stops_the_sweep(train: Train, what: str) -> None:
    full = train.directory / "full"
    full.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(full)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        sized = ("-m", "loss=bce,iou", "repeat=0,1", "data.image_size=64", f"{what}={full}")
        training = train(*sized, code=2)
        assert "1 failed, 3 not started" in training.stdout
        place = f" --output-dir {full}" if what == "output_dir" else ""
        assert training.stdout.endswith(f"\nlightning-seg status default{place}\nlightning-seg report default{place}\n")
        assert "The sweep stops: only 0 MiB are free where " in training.stderr and "Traceback" not in training.stderr
        assert not list(full.rglob("*.tmp")) and not list(full.rglob("*.partial"))
    finally:
        subprocess.run(["umount", "--lazy", str(full)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), ("hydra/launcher=gpus",)], ids=["in-process", "joblib"])
def test_a_disk_that_takes_nothing_more_stops_the_sweep_whatever_is_free(
    train: Train, launcher: tuple[str, ...]
) -> None:
    if launcher:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    training = train("-m", "loss=filling,bce", "repeat=0,1", *launcher, code=2)
    assert "1 failed, 3 not started" in training.stdout
    assert "The sweep stops: nothing more can be written (no space left on device)" in training.stderr
    assert "Traceback" not in training.stderr and "with overrides" not in training.stderr


def test_what_says_that_a_disk_takes_nothing_more(tmp_path: Path) -> None:
    def caught(write: Callable[[Path], object]) -> BaseException:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        try:
            with pytest.raises(Exception) as caught:
                write_atomic(tmp_path / "file", write)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        return caught.value

    weights = {"weights": torch.zeros(10_000)}
    for write in (
        lambda path: path.write_bytes(bytes(20_000)),
        lambda path: save_file(weights, path),
        lambda path: DirectCheckpointIO().save_checkpoint(weights, path),
    ):
        assert unwritable(caught(write)) == "file too large"
    assert not list(tmp_path.iterdir())
    assert unwritable(FileNotFoundError(2, "No such file")) is None and unwritable(None) is None
    circle = [ValueError(), ValueError()]
    circle[0].__cause__, circle[1].__cause__ = circle[1], circle[0]
    assert unwritable(circle[0]) is None


@pytest.mark.slow
def test_a_lost_output_folder_stops_the_sweep(train: Train) -> None:
    training = train.start(*GRID)
    study = train.directory / "multirun/default"
    assert training.wait_until((study / RUN / "metrics.csv").exists)
    study.rename(train.directory / "away")
    assert training.wait() == 2
    assert "1 failed, 1 not started" in training.stdout
    assert "has vanished" in training.stderr and "Traceback" not in training.stderr
    assert not study.exists()


@pytest.mark.slow
def test_a_vanished_image_stops_the_sweep(train: Train) -> None:
    from PIL import Image

    for index in range(24):
        for kind in ("images", "masks"):
            path = train.directory / "lesions" / kind / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (40, 40), 255 if kind == "masks" else index).save(path)
    grid = (*GRID, "dataset=folder", "dataset.root=lesions")
    small = [option for option in SMALL if not option.startswith("dataset.count")]
    training = train.start(*small, *grid, small=False)
    run = train.directory / "multirun/default/lesions/tiny/bce/repeat_0"
    assert training.wait_until((run / "metrics.csv").exists), training.stderr
    (train.directory / "lesions/images/3.png").unlink()
    assert training.wait() == 2
    assert (run / "result.json").exists(), "a run that has its data goes on"
    assert "3.png" in training.stderr and "Traceback" not in training.stderr
