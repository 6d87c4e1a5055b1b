"""No two processes work on one run, and none waits for a dead one."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lightning_seg.runs.claim import LEASE_SECONDS, ClaimedError, claim, is_claimed
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.record import Record
from tests.conftest import PATIENCE_SECONDS, Train
from tests.parts import Pausing

CELL = "multirun/default/synthetic/tiny"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / CELL / "bce/repeat_0"


def write_claim(directory: Path, pid: int, host: str | None = None, age: float = 0.0, created: float = 0.0) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "claim.json"
    path.write_text(json.dumps({"host": host or socket.gethostname(), "pid": pid, "created": created}))
    os.utime(path, (time.time() - age, time.time() - age))


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_claim_is_held_and_given_back(directory: Path) -> None:
    assert not is_claimed(directory)
    with RunFolder(directory).claim():
        assert is_claimed(directory)
        with pytest.raises(ClaimedError, match="another process"), RunFolder(directory).claim():
            pass
        assert is_claimed(directory)
    assert not is_claimed(directory)
    with pytest.raises(ArithmeticError), RunFolder(directory).claim():
        raise ArithmeticError
    assert not is_claimed(directory)


def test_claims_that_hold(directory: Path) -> None:
    for pid, host in ((os.getppid(), None), (1, None), (os.getpid(), "elsewhere")):
        write_claim(directory, pid, host, age=LEASE_SECONDS / 2)
        with pytest.raises(ClaimedError), RunFolder(directory).claim():
            pass
    # Of a process that was asleep with its machine.
    parent = os.getppid()
    write_claim(directory, parent, age=2 * LEASE_SECONDS, created=psutil.Process(parent).create_time())
    assert is_claimed(directory)


def test_claims_of_the_dead_are_taken_over(directory: Path, dead_pid: int) -> None:
    for pid, host, age in ((dead_pid, None, 0.0), (os.getppid(), None, 2 * LEASE_SECONDS), (1, "elsewhere", 61.0)):
        write_claim(directory, pid, host, age)
        with RunFolder(directory).claim():
            assert json.loads((directory / "claim.json").read_text())["pid"] == os.getpid()
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as ended:
        assert ended.stdout and not ended.stdout.read()  # it has ended, but its parent has not asked for its end
        while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.005)
        write_claim(directory, ended.pid)
        assert not is_claimed(directory)
    (directory / "claim.json").write_text('{"host"')  # of a writer without atomic writes
    with RunFolder(directory).claim():
        pass


def test_hosts_need_not_agree_on_the_time(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    write_claim(directory, 1, "elsewhere")
    for ahead in (-10 * LEASE_SECONDS, 10 * LEASE_SECONDS):
        monkeypatch.setattr(time, "time", lambda ahead=ahead: now + ahead)
        assert is_claimed(directory)


def test_hosts_may_share_a_name(directory: Path, dead_pid: int) -> None:
    for age, holds in ((0.0, True), (2 * LEASE_SECONDS, False)):
        write_claim(directory, dead_pid, age=age)
        path = directory / "claim.json"
        times = (path.stat().st_atime, path.stat().st_mtime)
        path.write_text(json.dumps({**json.loads(path.read_text()), "space": "of another start of Linux"}))
        os.utime(path, times)
        assert is_claimed(directory) is holds


def test_a_run_that_was_taken_over_is_given_up(directory: Path) -> None:
    with RunFolder(directory).claim():
        RunFolder(directory).refuse_lost()
        (directory / "claim.json").unlink()
        RunFolder(directory).refuse_lost()  # somebody tidied up
        RunFolder(directory).write(Record(status="finished"))
        with pytest.raises(ClaimedError, match="taken over"):
            RunFolder(directory).refuse_lost()
        (directory / "result.json").unlink()
        write_claim(directory, 1, "elsewhere")
        with pytest.raises(ClaimedError, match="taken over"):
            RunFolder(directory).refuse_lost()
    assert (directory / "claim.json").exists(), "the other one's stays"


@pytest.mark.slow
def test_training_ends_with_the_epoch_in_which_it_was_taken_over(train: Train, directory: Path) -> None:
    training = train.start("loss=bce", "trainer.max_epochs=200")
    assert training.wait_until((directory / "metrics.csv").exists), training.stderr
    write_claim(directory, 1, "elsewhere")
    assert training.wait() == 2
    assert "was taken over by another process" in training.stderr and "Traceback" not in training.stderr
    assert not (directory / "result.json").exists() and not (directory / "error.txt").exists()
    assert json.loads((directory / "claim.json").read_text())["host"] == "elsewhere"


def test_only_what_a_finished_run_has_left_is_tidied_up(directory: Path) -> None:
    directory.mkdir(parents=True)
    checkpoint = directory / "resume-0.ckpt"
    checkpoint.touch()
    RunFolder(directory).tidy()
    assert checkpoint.exists(), "a run that was stopped goes on from it"
    RunFolder(directory).write(Record(status="finished"))
    RunFolder(directory).tidy()
    assert not checkpoint.exists()


def test_the_heartbeat_renews_a_claim(directory: Path) -> None:
    path = directory / "claim.json"
    with claim(directory, RunFolder(directory).lock, heartbeat=0.01):
        for _ in range(2):
            os.utime(path, (0, 0))
            deadline = time.monotonic() + PATIENCE_SECONDS
            while path.stat().st_mtime == 0 and time.monotonic() < deadline:
                time.sleep(0.005)
            assert is_claimed(directory)
            path.unlink()  # somebody tidied up; the beat goes on
            time.sleep(0.05)
            write_claim(directory, os.getpid())


@pytest.mark.slow
def test_a_claimed_run_is_left_alone(train: Train, directory: Path, dead_pid: int) -> None:
    write_claim(directory, os.getppid())
    code, _, message = train.here("loss=bce")
    assert code == 2 and "is being trained by another process" in message and "Traceback" not in message
    code, out, _ = train.here("-m", "loss=bce", "repeat=0,1")
    assert code == 0 and "1 ran, 1 elsewhere" in out
    assert not (directory / "result.json").exists() and not (directory / "error.txt").exists()

    write_claim(directory, dead_pid)
    code, out, _ = train.here("-m", "loss=bce", "repeat=0,1")
    assert code == 0 and "1 ran, 1 skipped" in out
    assert (directory / "result.json").exists() and not (directory / "claim.json").exists()


@pytest.mark.slow
def test_two_processes_divide_a_grid(train: Train) -> None:
    """Each run waits in its middle until the other process has one, too; so they must overlap."""
    grid = ("-m", "loss=pausing", "repeat=0,1,2,3")
    pair = [train.start(*grid, environment={Pausing.MEETING: str(train.directory), "WHO": who}) for who in "ab"]
    assert [training.wait() for training in pair] == [0, 0], pair[0].stderr + pair[1].stderr

    study = train.directory / CELL / "pausing"
    assert len(list(study.rglob("result.json"))) == 4 and not list(study.rglob("claim.json"))
    for repeat in range(4):
        log = (study / f"repeat_{repeat}/train.log").read_text()
        assert len(re.findall(": epoch ", log)) == 2  # nobody's epochs twice
    trained = [len(re.findall(": epoch 1,", training.stderr)) for training in pair]
    assert sum(trained) == 4 and min(trained) >= 1
