"""A grid of 12 small runs on a CPU: one after the other with all threads, against one a core with one thread each.

    python benchmarks/cpus.py
    python benchmarks/cpus.py --fast     # trainer=cpu_fast beside them

Runs of one thread have the same numbers, to the last bit, whatever launcher hands them out: that is checked as well.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

from grids import run_grid
from measure import Stopwatch, alternate, report

GRID = ("model=unet,colonsegnet", "model.width=32", "loss=dice,bce,iou_focal", "repeat=0,1")
SIZE = ("data.image_size=32", "dataset.count=60", "trainer.max_epochs=4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
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

        times = alternate({label: lambda o=o: way(o) for label, o in ways.items()}, arguments.rounds, warm_up=1)
        report("12 runs", times, next(iter(ways)))
        alone = scores(Path(name), ("threads=1",), next(number), cache)
        together = scores(Path(name), ("hydra/launcher=cpus",), next(number), cache)
        print("numbers of one-thread runs:", "equal to the last bit" if alone == together else "DIFFERENT")


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
