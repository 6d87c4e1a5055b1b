"""A grid of 12 small runs on a CPU: one after the other with all threads, against one a core with one thread each.

    python benchmarks/cpus.py
    python benchmarks/cpus.py --size 64 --images 80 --epochs 12           # runs of about 10 s
    python benchmarks/cpus.py --before CHECKOUT    # one after the other by an older checkout, in turn with these
    python benchmarks/cpus.py --fast               # trainer=cpu_fast beside them
    python benchmarks/cpus.py --plan               # what `plan --side-by-side` foretells, beside what it takes
    python benchmarks/cpus.py --steps              # no grids: a training step with one thread and with all

Where the time goes is told of each way: until its first run begins, in a run, and in the longest end of a worker that
waits for another. Runs of one thread have the same numbers, to the last bit, whatever launcher hands them out: that is
checked as well, and shows how much slower a run is when the other cores are at work.
"""

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from grids import HERE, run_grid
from measure import Stopwatch, alternate, report

from lightning_seg.config.compose import compose_config
from lightning_seg.training.factory import make_module

SMALL_NETWORKS = {
    "unet": ("model.width=8",),
    "colonsegnet": ("model.width=32",),
    "esfpnet": ("model.variant=b0", "pretrained=false"),
}
RUNS = ("loss=dice,bce,iou_focal", "repeat=0,1,2,3")
CORES = len(os.sched_getaffinity(0))
THREADS, SIDE_BY_SIDE = f"one after the other, {CORES} threads", "one a core (hydra/launcher=cpus)"


@dataclass(frozen=True)
class Parts:
    """Where a grid's wall time goes, in seconds.

    Attributes:
        start: until the first run begins.
        run: the median of a run, of its record.
        between: from one run's end to the next one's begin, mean.
        end: after the last run.
    """

    start: float
    run: float
    between: float
    end: float

    @classmethod
    def of(cls, folder: Path, began: float, ended: float, workers: int) -> "Parts":
        paths = list(folder.rglob("result.json"))
        ends = [path.stat().st_mtime for path in paths]
        seconds = [sum(json.loads(path.read_text())["seconds"].values()) for path in paths]
        first = min(end - length for end, length in zip(ends, seconds, strict=True))
        between = (workers * (max(ends) - first) - sum(seconds)) / len(paths)
        return cls(first - began, statistics.median(seconds), between, ended - max(ends))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", default="colonsegnet", choices=SMALL_NETWORKS)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--before", type=Path, help="an older checkout of this repository")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--steps", action="store_true")
    arguments = parser.parse_args()
    if arguments.steps:
        least_steps(arguments.rounds)
        return
    grid = (
        *(f"model={arguments.network}", *SMALL_NETWORKS[arguments.network], *RUNS),
        *(f"data.image_size={arguments.size}", f"dataset.count={arguments.images}"),
        *(f"trainer.max_epochs={arguments.epochs}", "early_stopping.patience=1000"),
    )
    if arguments.plan:
        foretell(grid)
    ways = {THREADS: (f"threads={CORES}",), SIDE_BY_SIDE: ("hydra/launcher=cpus",)}
    if arguments.before:
        ways = {"... by the older checkout": (f"threads={CORES}",)} | ways
    if arguments.fast:
        ways["one a core, trainer=cpu_fast"] = ("hydra/launcher=cpus", "trainer=cpu_fast")
    compare(grid, ways, arguments.rounds, arguments.before)


def compare(grid: tuple[str, ...], ways: dict[str, tuple[str, ...]], rounds: int, before: Path | None) -> None:
    """Print the times of a grid each way, in turn, and where they go; look whether the numbers are the same."""
    with tempfile.TemporaryDirectory() as name:
        number = iter(range(10**6))
        parts: dict[str, list[Parts]] = {}

        def run(label: str, overrides: tuple[str, ...]) -> tuple[Stopwatch, Path]:
            folder = Path(name, str(next(number)))
            folder.mkdir()
            own = {"checkout": before.resolve()} if before and "older" in label else {}
            began, watch = time.time(), Stopwatch()
            watch.start()
            run_grid(folder, *grid, *overrides, f"data.cache_dir={name}/cache", **own)
            watch.stop()
            workers = CORES if "hydra/launcher=cpus" in overrides else 1
            parts.setdefault(label, []).append(Parts.of(folder, began, time.time(), workers))
            return watch, folder

        times = alternate({label: lambda a=(label, o): run(*a)[0] for label, o in ways.items()}, rounds, warm_up=0)
        report("12 runs", times, next(iter(ways)))
        alone = scores(run("one after the other, one thread", ("threads=1",))[1])
        together = scores(run(SIDE_BY_SIDE, ways[SIDE_BY_SIDE])[1])
    for label, each in parts.items():
        start, length, between, end = (
            statistics.median(getattr(one, part) for one in each) for part in ("start", "run", "between", "end")
        )
        print(f"{label}: start {start:.2f} s, a run {length:.2f} s, between {between:.3f} s, end {end:.2f} s")
    print("numbers of one-thread runs:", "equal to the last bit" if alone == together else "DIFFERENT")


def foretell(grid: tuple[str, ...]) -> None:
    """Print what `plan --side-by-side` says of both ways."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lightning_seg.cli.app", "plan", "--side-by-side"]
        own = [
            "trainer=cpu",
            "logger=csv",
            f"threads={CORES}",
            f"output_dir={folder}",
            f"data.cache_dir={folder}/cache",
        ]
        environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
        told = subprocess.run([*command, *own, *grid], check=True, env=environment, stdout=subprocess.PIPE, text=True)
    print(*re.findall("One after the other: .*|A run a core.*|.* one a core.*|.*[0-9] x .*", told.stdout), sep="\n")


def least_steps(rounds: int) -> None:
    """Print what N runs of one thread side by side take over one after the other with N threads, from single steps.

    The least of many short steps is what other load disturbs least. It leaves out that cores share memory, which makes
    the ratio too good, and the start of workers.
    """
    cores = len(os.sched_getaffinity(0))
    size, batch = 64, 8
    for name, trainer in itertools.product(SMALL_NETWORKS, ("cpu", "cpu_fast")):
        overrides = [f"model={name}", *SMALL_NETWORKS[name], "loss=dice_bce", f"trainer={trainer}"]
        step = make_step(overrides, size, batch)
        least = {}
        for threads in (1, cores):
            torch.set_num_threads(threads)
            times = []
            for _ in range(rounds):
                started = time.perf_counter()
                step()
                times.append(time.perf_counter() - started)
            least[threads] = min(times)
        print(
            f"{name} at {size}, trainer={trainer}: one thread {least[1] * 1e3:.1f} ms, {cores} threads "
            f"{least[cores] * 1e3:.1f} ms; a run a core over one after the other "
            f"{least[1] / (cores * least[cores]):.2f}",
            flush=True,
        )


def make_step(overrides: list[str], size: int, batch: int) -> Callable[[], None]:
    """A training step as a run computes it."""
    cfg = compose_config(overrides)
    torch.manual_seed(0)
    module = make_module(cfg).train()
    optimizer = module.make_optimizer(module.model.parameters())
    images, masks = torch.randn(batch, 3, size, size), (torch.rand(batch, 1, size, size) > 0.8).float()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=cfg.trainer.precision == "bf16-mixed"):
            outputs = module.model(images)
            maps = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
            loss = torch.stack([module.loss(logits, masks) for logits in maps]).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def scores(folder: Path) -> dict[str, object]:
    """What each run of the grid has computed."""
    return {
        str(path.parent.relative_to(folder)): (
            json.loads(path.read_text())["best_val_dice"],
            (path.parent / "test_images.csv").read_bytes(),
        )
        for path in folder.rglob("result.json")
    }


if __name__ == "__main__":
    main()
