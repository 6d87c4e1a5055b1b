"""A grid of short runs by one command against as many invocations of a plain PyTorch script, on real images.

    python benchmarks/sweep.py path/to/wound             # 20 runs of two epochs: minutes
    python benchmarks/sweep.py path/to/wound --runs 4    # a quick look

Both train the same small network on the same images at the same size, two epochs each, validate, keep the best weights
and test. The grid starts without a cache. Its resident memory is read as each run ends.
"""

import argparse
import tempfile
from pathlib import Path

from grids import run_grid, run_scripts
from measure import alternate, report

from lightning_seg.catalogue import LOSSES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of the foot-ulcer images, in their official layout")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    root, runs = arguments.root.resolve(), arguments.runs
    losses, repeats = LOSSES[: min(runs, 10)], range(-(-runs // 10))
    memory: list[float] = []

    def grid() -> None:
        with tempfile.TemporaryDirectory() as folder:
            memory[:] = run_grid(
                Path(folder),
                "dataset=wound",
                f"dataset.root={root}",
                "model=small",
                f"loss={','.join(losses)}",
                f"repeat={','.join(map(str, repeats))}",
                "trainer.max_epochs=2",
                f"data.image_size={arguments.size}",
            )

    def scripts() -> None:
        options = [{"loss": loss, "repeat": repeat, "size": arguments.size} for repeat in repeats for loss in losses]
        with tempfile.TemporaryDirectory() as folder:
            run_scripts("plain_script.py", root, options, Path(folder))

    times = alternate({"plain scripts": scripts, "grid": grid}, arguments.rounds, warm_up=0)
    report(f"{len(losses) * len(repeats)} runs of two epochs", times, "plain scripts")
    print("resident MiB after each run:", *(f"{value:.0f}" for value in memory))


if __name__ == "__main__":
    main()
