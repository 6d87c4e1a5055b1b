"""A grid of 12 small runs on a CPU: one after the other with all threads, against one a core with one thread each.

    python benchmarks/cpus.py
    python benchmarks/cpus.py --fast     # trainer=cpu_fast beside them
    python benchmarks/cpus.py --steps    # no grids: the least time of a training step with one thread and with all

Runs of one thread have the same numbers, to the last bit, whatever launcher hands them out: that is checked as well.
"""

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from grids import run_grid
from measure import Stopwatch, alternate, report

from lightning_seg.config.compose import compose_config
from lightning_seg.training.factory import make_module

SMALL_NETWORKS = {
    "unet": ("model.width=8",),
    "colonsegnet": ("model.width=32",),
    "esfpnet": ("model.variant=b0", "pretrained=false"),
}

GRID = ("model=colonsegnet", "model.width=32", "loss=dice,bce,iou_focal", "repeat=0,1,2,3")
SIZE = ("data.image_size=32", "dataset.count=40", "trainer.max_epochs=3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--steps", action="store_true")
    arguments = parser.parse_args()
    if arguments.steps:
        least_steps(arguments.rounds)
        return
    cores = len(os.sched_getaffinity(0))
    ways = {
        f"one after the other, {cores} threads": (f"threads={cores}",),
        "one a core (hydra/launcher=cpus)": ("hydra/launcher=cpus",),
    }
    if arguments.fast:
        ways["one a core, trainer=cpu_fast"] = ("hydra/launcher=cpus", "trainer=cpu_fast")
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name, "cache")
        number = iter(range(10**6))

        def way(overrides: tuple[str, ...]) -> Stopwatch:
            folder = Path(name, str(next(number)))
            folder.mkdir()
            watch = Stopwatch()
            watch.start()
            run_grid(folder, *SIZE, *GRID, *overrides, f"data.cache_dir={cache}")
            watch.stop()
            return watch

        times = alternate({label: lambda o=o: way(o) for label, o in ways.items()}, arguments.rounds, warm_up=0)
        report("12 runs", times, next(iter(ways)))
        alone = scores(Path(name), ("threads=1",), next(number), cache)
        together = scores(Path(name), ("hydra/launcher=cpus",), next(number), cache)
        print("numbers of one-thread runs:", "equal to the last bit" if alone == together else "DIFFERENT")


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


def scores(top: Path, overrides: tuple[str, ...], number: int, cache: Path) -> dict[str, object]:
    """What each run of the grid has computed."""
    folder = top / str(number)
    folder.mkdir()
    run_grid(folder, *SIZE, *GRID, *overrides, f"data.cache_dir={cache}")
    return {
        str(path.parent.relative_to(folder)): (
            json.loads(path.read_text())["best_val_dice"],
            (path.parent / "test_images.csv").read_bytes(),
        )
        for path in folder.rglob("result.json")
    }


if __name__ == "__main__":
    main()
