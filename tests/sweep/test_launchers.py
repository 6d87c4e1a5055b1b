"""One grid through each launcher: the same numbers, whoever is killed or told to stop on the way."""

import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from lightning_seg.machine import devices
from lightning_seg.runs.claim import is_claimed
from tests.conftest import SMALL, Train, has_server
from tests.outcome import outcome

CHECKOUT = Path(__file__).parents[2]
EPOCHS = 40
PATIENCE_SECONDS = 300  # for processes that import torch anew
GRID = ("-m", "loss=iou,bce", "repeat=0,1", f"trainer.max_epochs={EPOCHS}", "keep_weights=true")
SAVED = (*GRID, "checkpoint.every_minutes=0", "study=default")
JOBLIB = ("hydra/launcher=gpus", "runs_per_gpu=2")
RUNS = [f"synthetic/tiny/{loss}/repeat_{repeat}" for loss in ("bce", "iou") for repeat in (0, 1)]


def needs(launcher: str, extra: str) -> pytest.MarkDecorator:
    found = importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec(f"hydra_plugins.{launcher}")
    return pytest.mark.skipif(not found, reason=f"the launcher of the extra '{extra}' is not installed")


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What each run of the grid gives where nothing is special."""
    train = Train(tmp_path_factory.mktemp("in_process"))
    train(*GRID)
    study = train.directory / "multirun/default"
    yield {run: outcome(study / run) for run in RUNS}
    train.stop()


class Script:
    """``train.py`` in an interpreter of its own: joblib ends its workers only as an interpreter ends."""

    def __init__(self, directory: Path, arguments: tuple[str, ...], environment: dict[str, str] | None = None) -> None:
        self.study = directory / "multirun/default"
        self.files = [directory / "script.out", directory / "script.err"]
        options = sorted([*SMALL, *arguments], key=lambda argument: not argument.startswith("-"))  # flags first
        command = [sys.executable, str(CHECKOUT / "train.py"), *options]
        own = {"PYTHONPATH": str(CHECKOUT), "HOME": str(directory), "WANDB_API_KEY": "", **(environment or {})}
        with self.files[0].open("w") as out, self.files[1].open("w") as err:
            self.process = subprocess.Popen(
                command, cwd=directory, env=os.environ | own, stdout=out, stderr=err, start_new_session=True
            )

    def wait(self, code: int = 0) -> str:
        """Its standard output, once it has ended with the exit code that it should have."""
        try:
            found = self.process.wait(PATIENCE_SECONDS)
        finally:
            self.stop()
        assert found == code, self.stderr
        return self.files[0].read_text()

    @property
    def stderr(self) -> str:
        return self.files[1].read_text()

    def working(self, count: int) -> list[int]:
        """Wait until ``count`` runs have an epoch behind them; their process numbers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(found := self._claims()) < count:
            assert time.monotonic() < deadline and self.process.poll() is None, self.stderr
            time.sleep(0.02)
        return found

    def _claims(self) -> list[int]:
        found = []
        for path in self.study.rglob("claim.json"):
            with suppress(FileNotFoundError, json.JSONDecodeError):
                if (path.parent / "metrics.csv").exists():
                    found.append(json.loads(path.read_text())["pid"])
        return found

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """Starts ``train.py``."""
    scripts: list[Script] = []

    def start(*arguments: str, environment: dict[str, str] | None = None) -> Script:
        scripts.append(Script(tmp_path, arguments, environment))
        return scripts[-1]

    yield start
    for started in scripts:
        started.stop()


def same(study: Path, expected: dict[str, Any]) -> None:
    assert sorted(str(path.parent.relative_to(study)) for path in study.rglob("result.json")) == sorted(RUNS)
    for run in RUNS:
        assert outcome(study / run) == expected[run], run
    assert not [path for path in study.rglob("*") if path.name.startswith(("claim", "resume", "error"))]
    assert not list(study.parent.glob(".stop*"))


# --- joblib: the GPUs of this machine ---


@needs("hydra_joblib_launcher", "gpus")
@pytest.mark.slow
def test_joblib_with_offline_wandb(script: Callable[..., Script], in_process: dict[str, Any]) -> None:
    sweep = script(*SAVED, *JOBLIB, "logger=default", "logger.wandb.mode=offline")
    assert "4 ran" in sweep.wait()
    same(sweep.study, in_process)
    folders = [path for path in sweep.study.rglob("offline-run-*") if path.is_dir()]
    assert len(folders) == 4 and all(list(folder.glob("*.wandb")) for folder in folders)


@needs("hydra_joblib_launcher", "gpus")
@pytest.mark.slow
def test_joblib_worker_is_killed(script: Callable[..., Script], in_process: dict[str, Any]) -> None:
    sweep = script(*SAVED, *JOBLIB)
    victim = sweep.working(2)[0]
    assert victim != sweep.process.pid
    os.kill(victim, signal.SIGKILL)
    assert "4 ran" in sweep.wait()
    assert "the launcher gave up (TerminatedWorkerError" in sweep.stderr
    same(sweep.study, in_process)


@needs("hydra_joblib_launcher", "gpus")
@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [True, False], ids=["Ctrl-C", "kill"])
def test_joblib_is_told_to_stop(script: Callable[..., Script], in_process: dict[str, Any], whole_group: bool) -> None:
    sweep = script(*SAVED, *JOBLIB)
    sweep.working(2)
    if whole_group:
        os.killpg(sweep.process.pid, signal.SIGINT)
    else:
        os.kill(sweep.process.pid, signal.SIGTERM)
    assert re.search(r"\d stopped, \d not started", sweep.wait(code=130)) and "Traceback" not in sweep.stderr
    assert sweep.stderr.count("stopping after this epoch") == 1
    assert not list(sweep.study.rglob("claim.json")) and list(sweep.study.rglob("resume-*.ckpt"))
    assert len(list(sweep.study.rglob("result.json"))) < 4
    script(*SAVED).wait()
    same(sweep.study, in_process)


@needs("hydra_joblib_launcher", "gpus")
@pytest.mark.slow
def test_joblib_is_told_to_stop_twice(script: Callable[..., Script], tmp_path: Path) -> None:
    """The runs hang in their first step, so that no epoch can end."""
    pausing = ("-m", "loss=pausing", "repeat=0,1,2", *JOBLIB)
    (tmp_path / "meeting").mkdir()
    sweep = script(*pausing, environment={"MEETING": str(tmp_path / "meeting"), "WHO": "all"})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(list(sweep.study.rglob("split.json"))) < 2:
        assert time.monotonic() < deadline, sweep.stderr
        time.sleep(0.02)
    for said in ("stopping after this epoch", "interrupted; the same command goes on"):
        os.killpg(sweep.process.pid, signal.SIGINT)
        while sweep.stderr.count(said) < 1:
            assert time.monotonic() < deadline, sweep.stderr
            time.sleep(0.02)
    assert "2 stopped, 1 not started" in sweep.wait(code=130) and "Traceback" not in sweep.stderr
    assert sweep.stderr.count("stopping after") == sweep.stderr.count("interrupted; ") == 1
    assert not any(is_claimed(path.parent) for path in sweep.study.rglob("claim.json")), (
        "a dead worker's counts no more"
    )


@needs("hydra_joblib_launcher", "gpus")
@pytest.mark.slow
def test_joblib_workers_end_with_a_killed_sweep(script: Callable[..., Script], in_process: dict[str, Any]) -> None:
    sweep = script(*SAVED, *JOBLIB)
    workers = [psutil.Process(pid) for pid in sweep.working(2)]
    sweep.process.kill()
    sweep.process.wait()
    _, alive = psutil.wait_procs(workers, PATIENCE_SECONDS)
    assert not alive
    assert not list(sweep.study.rglob("claim.json")), "they end with an epoch, and give back what they have"
    script(*SAVED).wait()
    same(sweep.study, in_process)


# --- a run a core ---


@pytest.mark.slow
def test_a_run_a_core_whatever_happens(script: Callable[..., Script], in_process: dict[str, Any]) -> None:
    """A worker is killed, the sweep is told to stop, the sweep is killed: the numbers are those of one process."""
    cores = ("hydra/launcher=cpus", "hydra.launcher.n_jobs=2")
    sweep = script(*SAVED, *cores)
    victim = sweep.working(2)[0]
    assert victim != sweep.process.pid
    os.kill(victim, signal.SIGKILL)
    assert "4 ran" in sweep.wait() and "the launcher gave up (BrokenProcessPool" in sweep.stderr
    same(sweep.study, in_process)
    shutil.rmtree(sweep.study)
    sweep = script(*SAVED, *cores)
    sweep.working(2)
    os.killpg(sweep.process.pid, signal.SIGINT)
    assert re.search(r"\d stopped", sweep.wait(code=130)) and "Traceback" not in sweep.stderr
    assert sweep.stderr.count("stopping after this epoch") == 1 and not list(sweep.study.rglob("claim.json"))
    again = script(*SAVED, *cores)
    workers = [psutil.Process(pid) for pid in again.working(1)]
    again.process.kill()
    again.process.wait()
    assert not psutil.wait_procs(workers, PATIENCE_SECONDS)[1]
    script(*SAVED).wait()
    same(again.study, in_process)


@pytest.mark.slow
def test_a_run_a_core_is_told_to_stop_while_libraries_load(script: Callable[..., Script]) -> None:
    """Nobody dies of it, and nothing is told but that it stops."""
    sweep = script(*SAVED, "hydra/launcher=cpus", "hydra.launcher.n_jobs=2")
    parent, deadline = psutil.Process(sweep.process.pid), time.monotonic() + PATIENCE_SECONDS
    while not has_server(parent.pid):
        assert time.monotonic() < deadline, sweep.stderr
        time.sleep(0.02)
    assert "torch" not in Path(f"/proc/{parent.pid}/maps").read_text(), "what hands out the runs needs none of it"
    os.killpg(parent.pid, signal.SIGINT)
    assert "4 not started" in sweep.wait(code=130)
    assert "Traceback" not in sweep.stderr and "gave up" not in sweep.stderr
    assert sweep.stderr.count("stopping after this epoch") == 1


@pytest.mark.slow
def test_processes_take_different_gpus(tmp_path: Path) -> None:
    """Three processes of which each holds its GPU until all have one, then one that comes later."""
    script = textwrap.dedent(
        """
        import os, sys
        from lightning_seg.machine.devices import take_gpu
        take_gpu(sys.argv[1])
        print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
        sys.stdin.read()
        """
    )

    def start() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            env={"CUDA_VISIBLE_DEVICES": "4,GPU-5f", "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    held = [start() for _ in range(4)]
    assert sorted(gpu for _, gpu in held) == ["4", "4", "GPU-5f", "GPU-5f"]
    assert [gpu for _, gpu in held[:2]] == ["4", "GPU-5f"], "an idle GPU comes first"
    killed, gpu = held[1]
    killed.kill()
    killed.wait()
    later, its = start()
    assert its == gpu, "the place of a killed process is free"
    for process, _ in (*held, (later, its)):
        process.kill()
        process.communicate()


def test_how_many_runs_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert devices.side_by_side(3) == 6
    assert devices.gpus_of_a_run("auto", 4) == 0.25 and devices.gpus_of_a_run("cpu", 4) == 0
    for none in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert devices.side_by_side(3) == 3 and devices.gpus_of_a_run("auto", 1) == 0


# --- submitit ---


@needs("hydra_submitit_launcher", "slurm")
@pytest.mark.slow
def test_submitit_on_this_machine_with_a_preempted_job(
    script: Callable[..., Script], in_process: dict[str, Any]
) -> None:
    """A job that is preempted is requeued with its checkpoint."""
    sweep = script(*SAVED, "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=60")
    os.kill(sweep.working(1)[0], signal.SIGUSR2)  # as Slurm warns it
    assert "4 ran" in sweep.wait()
    logs = [path.read_text() for path in sweep.study.parent.rglob("*_log.err")]
    assert sum("Requeued job" in log for log in logs) == 1
    same(sweep.study, in_process)


SBATCH = r"""#!/bin/bash
# As Slurm's, but the tasks run here, one after the other, when nobody looks; the first one of all dies with its node.
array=$((70 + $(ls "$FAKE_SLURM" | grep -c submission)))
cp "$1" "$FAKE_SLURM/submission$array"
last=$(sed -nE 's/^#SBATCH --array=0-([0-9]+).*/\1/p' "$1")
for task in $(seq 0 "${last:-0}"); do echo PENDING > "$FAKE_SLURM/${array}${last:+_$task}"; done
(
  for task in $(seq 0 "${last:-0}"); do
    state="$FAKE_SLURM/${array}${last:+_$task}"
    if [[ -e $FAKE_SLURM/cancelled ]]; then
      echo CANCELLED > "$state"
    elif [[ $FIRST_DIES && $array$task == 700 ]]; then
      echo NODE_FAIL > "$state"
    else
      echo RUNNING > "$state"
      export SLURM_JOB_ID=$((1000 * array + task)) SLURM_JOB_NUM_NODES=1 SLURM_NTASKS=1 SLURM_NODEID=0
      export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_JOB_NODELIST=localhost
      if [[ $last ]]; then
        export SLURM_ARRAY_JOB_ID=$array SLURM_ARRAY_TASK_ID=$task
      else
        export SLURM_JOB_ID=$array
      fi
      bash "$1"
      echo COMPLETED > "$state"
    fi
  done
) > "$FAKE_SLURM/log" 2>&1 &
echo "Submitted batch job $array"
"""
SRUN = r"""#!/bin/bash
while [[ $1 == -* ]]; do
  case $1 in --output|--error) shift 2;; *) shift;; esac
done
exec "$@"
"""
SACCT = r"""#!/bin/bash
echo "JobID|State|NodeList"
cd "$FAKE_SLURM"
for job in [0-9]*; do echo "$job|$(< "$job")|localhost"; done
"""
SCANCEL = r"""#!/bin/bash
echo "$@" >> "$FAKE_SLURM/cancelled"
"""
SLURM = (
    "hydra/launcher=slurm",
    "hydra.launcher.partition=gpu",
    "hydra.launcher.account=lesions",
    "hydra.launcher.array_parallelism=3",
)


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, Any]:
    """Where a stand-in for Slurm is found, as options of a training; arrays hold two tasks."""
    fake = tmp_path / "slurm"
    fake.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT), ("scancel", SCANCEL)):
        (fake / name).write_text(text)
        (fake / name).chmod(stat.S_IRWXU)
    environment = {"PATH": f"{fake}:{os.environ['PATH']}", "FAKE_SLURM": str(fake), "PYTHONPATH": str(CHECKOUT)}
    constants = {"lightning_seg.sweep.slurm.ARRAY_TASKS": 2, "lightning_seg.sweep.slurm.POLL_SECONDS": 0.1}
    return {"environment": environment, "constants": constants}


@needs("hydra_submitit_launcher", "slurm")
@pytest.mark.slow
def test_slurm_arrays_one_of_whose_tasks_dies(train: Train, in_process: dict[str, Any], slurm: dict[str, Any]) -> None:
    slurm["environment"]["FIRST_DIES"] = "1"
    sweep = train(*SAVED, *SLURM, **slurm)
    assert "4 ran" in sweep.stdout and sweep.stderr.count("the launcher gave up") == 1
    same(train.directory / "multirun/default", in_process)
    submissions = [path.read_text() for path in sorted((train.directory / "slurm").glob("submission*"))]
    assert [re.findall("--array=(.*)", text) for text in submissions] == [["0-1%2"], ["0-1%1"], []], "what died: alone"
    for line in (
        "--gpus-per-node=1",
        "--cpus-per-task=8",
        "--mem=32GB",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--partition=gpu",
        "--account=lesions",
        "--signal=USR2@120",
        "--time=1440",
        "--job-name=lightning-seg",
        "--open-mode=append",
    ):
        assert f"#SBATCH {line}\n" in submissions[0], submissions[0]


@needs("hydra_submitit_launcher", "slurm")
@pytest.mark.slow
def test_slurm_is_told_to_stop(train: Train, slurm: dict[str, Any]) -> None:
    sweep = train.start(*SAVED, *SLURM, "trainer.max_epochs=1000", **slurm)
    study = train.directory / "multirun/default"
    assert sweep.wait_until(lambda: len(list(study.rglob("metrics.csv"))) == 2), sweep.stderr  # one of each array
    os.kill(sweep.process.pid, signal.SIGINT)
    assert sweep.wait() == 130
    assert "2 stopped, 2 not started" in sweep.stdout and "Traceback" not in sweep.stderr
    assert "gave up" not in sweep.stderr
    assert (train.directory / "slurm/cancelled").read_text() == "--state=PENDING 70 71\n"
    assert len(list(study.rglob("resume-*"))) == 2 and not list(study.parent.glob(".stop*"))


# --- Ray ---


class RayNodes:
    """A Ray cluster of two nodes of one CPU each, on this machine's loopback."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="ray")  # sockets lie in it, whose paths must be short
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = {
            "RAY_ADDRESS": f"127.0.0.1:{self.port}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),  # of this cluster alone
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(CHECKOUT),
        }

    def start(self) -> None:
        self._start("--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self.folder}")
        self.second = self._start(f"--address=127.0.0.1:{self.port}")

    def _start(self, *arguments: str) -> psutil.Process:
        # The script beside this interpreter: an environment that is not activated has none on its PATH.
        ray = str(Path(sysconfig.get_path("scripts")) / "ray")
        command = [ray, "start", "--node-ip-address=127.0.0.1", "--num-cpus=1", *arguments]
        log = Path(self.folder) / f"{len(arguments)}.log"
        before = set(psutil.pids())
        with log.open("w") as output:
            environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
            environment |= {key: value for key, value in self.environment.items() if key != "RAY_ADDRESS"}
            done = subprocess.run(command, stdout=output, stderr=output, env=environment, timeout=PATIENCE_SECONDS)
        assert done.returncode == 0, log.read_text()
        new = (each for each in psutil.process_iter(["name", "cmdline"]) if each.pid not in before)
        (raylet,) = (
            p for p in new if p.info["name"] == "raylet" and f":{self.port}" in " ".join(p.info["cmdline"] or ())
        )
        return raylet

    def kill_second(self) -> None:
        for process in (*self.second.children(recursive=True), self.second):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def stop(self) -> None:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if self.folder in " ".join(process.cmdline()):
                    process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def ray_nodes() -> Iterator[RayNodes]:
    nodes = RayNodes()
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


@needs("hydra_ray_launcher", "ray")
@pytest.mark.slow
def test_ray_cluster_that_loses_a_node(
    script: Callable[..., Script], in_process: dict[str, Any], ray_nodes: RayNodes
) -> None:
    sweep = script(*SAVED, "hydra/launcher=ray", environment=ray_nodes.environment)
    pids = sweep.working(2)
    of_second = {process.pid for process in ray_nodes.second.children(recursive=True)}
    assert len(of_second.intersection(pids)) == 1, "both nodes should be at work"
    ray_nodes.kill_second()
    assert "4 ran" in sweep.wait()
    same(sweep.study, in_process)
