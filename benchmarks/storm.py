"""A storm of SIGKILLs over a sweep: all runs must end, each once, with the numbers of an undisturbed sweep.

    python -m benchmarks.storm                        # 60 runs, two workers, 55 kills: about ten minutes on two cores
    python -m benchmarks.storm --kills 100 --seed 1

One worker is ``train.py -m`` in-process, the other the same line with two joblib processes where joblib's launcher is
installed. Both share one folder and one cache. Shots are aimed in turn at the building of the cache, a checkpoint, the
writing of results, training, and anything that is alive; who is hit is drawn by chance. Workers are started again until
nothing is left to do.
"""

import argparse
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import psutil

from tests.outcome import outcome

GRID = ("dataset.name=north,east,south,west", "loss=iou,bce,iou_focal", "repeat=0,1,2,3,4")
SMALL = (
    "trainer=cpu",
    "trainer.max_epochs=6",
    "data.image_size=32",
    "dataset.count=60",
    "model.width=4",
    "logger=csv",
    "checkpoint.every_minutes=0",
    "keep_weights=true",
    "threads=1",
)
# What a finished study may hold; `.lock` is empty and lives as long as the study, as do those of the cache.
FILES = {
    *("result.json", "metrics.csv", "test_images.csv", "split.json", "cases.npz", "train.log", "weights.safetensors"),
    *("predictions.npz", "test_measures.csv", "config.yaml", "hydra.yaml", "overrides.yaml", "cells.json", ".lock"),
}


class Phase(StrEnum):
    """What a process was doing when it was shot."""

    START = "start, or between two runs"
    CACHE = "building or awaiting the cache"
    SETUP = "before the first epoch's end"
    TRAINING = "training"
    CHECKPOINT = "writing a checkpoint"
    RESULT = "test and results"


class Worker(Protocol):
    """A sweep in a process of its own."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, or ``None`` while it runs."""


class Storm:
    """Keeps workers running over a study, and shoots at them.

    Args:
        study: the study's folder.
        cache: the folder of the cache.
        starts: each starts a worker.
        runs: number of runs of the grid.
        seed: of aims and victims.

    Attributes:
        kills: by phase.
        violations: what must not happen, in words.
        exits: the exit codes of workers that ended by themselves.
    """

    def __init__(
        self, study: Path, cache: Path, starts: Sequence[Callable[[], Worker]], runs: int, seed: int = 0
    ) -> None:
        self.study, self.cache, self.starts, self.runs = study, cache, starts, runs
        self.random = random.Random(seed)
        self.kills: Counter[Phase] = Counter()
        self.children = 0
        self.violations: list[str] = []
        self.exits: Counter[int] = Counter()
        self._records: dict[Path, tuple[int, int]] = {}
        self._holders: dict[Path, int] = {}

    def rage(self, kills: int, calm_seconds: float = 600) -> None:
        """Shoot ``kills`` times, or until all runs have ended; then wait for the end of all workers."""
        workers = [start() for start in self.starts]
        aim, since = self._aim(), time.monotonic()
        while kills > self.kills.total() or len(self._records) < self.runs:
            claims = self._look()
            for place, worker in enumerate(workers):
                if (code := worker.poll()) is not None:
                    if code != -signal.SIGKILL:
                        self.exits[code] += 1
                    workers[place] = self.starts[place]()
            if self.kills.total() < kills and (shot := self._choose(aim, since, claims, workers, kills)) is not None:
                self._shoot(*shot, workers)
                aim, since = self._aim(), time.monotonic()
            elif len(self._records) == self.runs:
                break
            time.sleep(0.004)
        deadline = time.monotonic() + calm_seconds
        while any(worker.poll() is None for worker in workers) or self._look():
            if time.monotonic() > deadline:
                self.violations.append("a worker does not end")
                return
            time.sleep(0.05)

    def _aim(self) -> tuple[Phase | None, float]:
        """A phase (``None`` for any moment) and how long to wait within it or for it."""
        phases = [None, Phase.CACHE, Phase.CHECKPOINT, Phase.RESULT, Phase.RESULT, Phase.TRAINING]
        phase = self.random.choice(phases)
        return phase, self.random.uniform(0.1, 3) if phase is None else self.random.choice([0, 0, 0.002, 0.01])

    def _choose(
        self,
        aim: tuple[Phase | None, float],
        since: float,
        claims: dict[int, Path],
        workers: list[Worker],
        kills: int,
    ) -> tuple[int, Phase] | None:
        """Whom to shoot now, if anyone."""
        phase, delay = aim
        waited = time.monotonic() - since
        # Kills and finished runs keep pace, or the storm would be over too early, or never.
        ahead = self.kills.total() / kills - len(self._records) / self.runs
        if ahead > 0.05 and waited < 20:
            return None
        if phase is None and waited < delay:
            return None
        # Starting takes longest; nearly all shots are kept for processes that have a run in hand.
        if phase is not None and waited < 60:
            hurry = ahead < -0.05 and waited > 0.5
            seen = [(pid, now) for pid, at in claims.items() if (now := self._phase(at)) is phase or hurry]
            if not seen:
                return None
            time.sleep(delay)
            return self.random.choice(seen)
        alive = [worker.pid for worker in workers if worker.poll() is None]
        for pid in alive[:]:
            with suppress(psutil.Error):
                for child in psutil.Process(pid).children(recursive=True):
                    if "loky" in " ".join(child.cmdline()):
                        alive.append(child.pid)
        if not alive:
            return None
        pid = self.random.choice(alive)
        return pid, self._phase(claims[pid]) if pid in claims else Phase.START

    def _shoot(self, pid: int, phase: Phase, workers: list[Worker]) -> None:
        own = pid in [worker.pid for worker in workers]
        try:
            if own and self.random.random() < 0.5:
                os.killpg(pid, signal.SIGKILL)  # with all that it started
            else:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills[phase] += 1
        self.children += not own
        for worker in workers:
            while worker.pid == pid and worker.poll() is None:
                time.sleep(0.001)

    def _look(self) -> dict[int, Path]:
        """Follow claims and records; the claims held now, by process."""
        claims = {}
        for directory in self.study.glob("*/*/*/repeat_*"):
            with suppress(FileNotFoundError):
                status = (directory / "result.json").stat()
                record = (status.st_ino, status.st_mtime_ns)
                if self._records.setdefault(directory, record) != record:
                    self.violations.append(f"{directory} was recorded twice")
                    self._records[directory] = record
            with suppress(FileNotFoundError):
                pid = json.loads((directory / "claim.json").read_text())["pid"]
                if not _is_running(pid):
                    continue
                claims[pid] = directory
                before = self._holders.get(directory, pid)
                if before != pid and _is_running(before) and directory not in self._records:
                    self.violations.append(f"{directory} was taken from a process that lives")
                self._holders[directory] = pid
        return claims

    def _phase(self, directory: Path) -> Phase:
        if (directory / "result.json").exists():
            return Phase.RESULT
        try:
            started = (directory / ".hydra/config.yaml").stat().st_mtime_ns
        except FileNotFoundError:
            return Phase.SETUP

        def written(name: str) -> bool:
            """By this attempt at the run."""
            try:
                return (directory / name).stat().st_mtime_ns > started
            except FileNotFoundError:
                return False

        if any(self.cache.glob("*.partial")) and not written("split.json"):
            return Phase.CACHE
        if any(directory.glob("*.tmp")):
            return Phase.CHECKPOINT
        if written("test_images.csv"):
            return Phase.RESULT
        return Phase.TRAINING if written("metrics.csv") else Phase.SETUP


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stray_files(study: Path, cache: Path, temporary: Path) -> list[str]:
    """What a finished study, its cache and the folder of temporary files should not hold."""
    inside = [str(path) for path in study.rglob("*") if path.is_file() and path.name not in FILES]
    beside = [str(path) for path in study.parent.glob(".stop-*")]
    beside += [str(path) for path in cache.glob("*") if path.suffix in (".partial", ".tmp")]
    # Not what belongs to libraries: joblib's folders of shared memory, locks of GPUs, torch's caches of kernels.
    return inside + beside + [str(path) for path in temporary.iterdir() if path.is_file() and path.suffix != ".lock"]


def differing(study: Path, calm: Path) -> list[str]:
    """The runs whose numbers are not, to the last bit, those of the undisturbed study."""
    runs = [path.parent.relative_to(calm) for path in sorted(calm.rglob("result.json"))]
    return [
        str(run)
        for run in runs
        if not (study / run / "result.json").is_file() or outcome(study / run) != outcome(calm / run)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=55, help="at most: the storm is over when all runs have ended")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work, instead of a temporary folder")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)

    def start(study: str, *options: str) -> subprocess.Popen[bytes]:
        script = Path(__file__).parents[1] / "train.py"
        command = [sys.executable, str(script), "-m", *SMALL, *GRID, f"study={study}", f"output_dir={folder}", *options]
        command.append(f"data.cache_dir={folder}/cache-{study}")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
        with (folder / f"{study}.log").open("a") as log:
            return subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    begun = time.monotonic()
    if start("calm").wait():
        raise SystemExit((folder / "calm.log").read_text())
    print(f"undisturbed: {time.monotonic() - begun:.0f} s", flush=True)
    runs = len(list((folder / "calm").rglob("result.json")))

    joblib = importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is not None
    side_by_side = ("hydra/launcher=gpus", "runs_per_gpu=2") if joblib else ()
    starts = [lambda: start("storm"), lambda: start("storm", *side_by_side)]
    begun = time.monotonic()
    storm = Storm(folder / "storm", folder / "cache-storm", starts, runs, arguments.seed)
    storm.rage(arguments.kills)
    print(f"storm: {time.monotonic() - begun:.0f} s, {storm.kills.total()} kills, {storm.children} of them of children")
    for phase in Phase:
        print(f"  {storm.kills[phase]:4d} {phase}")
    finished = len(list((folder / "storm").rglob("result.json")))
    checks = {
        "runs that did not end": runs - finished,
        "runs that ended twice or were held by two": storm.violations,
        "stray files": stray_files(folder / "storm", folder / "cache-storm", temporary),
        "runs with other numbers": differing(folder / "storm", folder / "calm"),
    }
    for name, found in checks.items():
        print(f"{name}: {found or 'none'}")
    print(f"exit codes of workers that ended by themselves: {dict(storm.exits)}")
    sys.exit(any(checks.values()))


if __name__ == "__main__":
    main()
