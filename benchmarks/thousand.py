"""Memory, open files and threads of one process over a thousand tiny runs, one in ten of which runs out of memory.

python -m benchmarks.thousand            # minutes
python -m benchmarks.thousand --runs 100
"""

import argparse
import gc
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from torch import Tensor, nn


class State(NamedTuple):
    """Of this process, as a run starts."""

    mebibytes: float
    files: int
    threads: int
    tensors: int


states: list[State] = []


class Probe(nn.Conv2d):
    """One convolution that notes the process's state as it is made; every tenth has no memory in its second step."""

    def __init__(self) -> None:
        process = psutil.Process()
        tensors = sum(isinstance(thing, Tensor) for thing in gc.get_objects())
        states.append(State(process.memory_info().rss / 2**20, process.num_fds(), process.num_threads(), tensors))
        super().__init__(3, 1, 3, padding=1)
        self.starved = len(states) % 10 == 0
        self.steps = 0

    def forward(self, images: Tensor) -> Tensor:
        self.steps += 1
        if self.starved and self.steps == 2:
            self.ballast = torch.zeros(2**20)  # what would pile up if anything kept failed runs
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return super().forward(images)


def sweep(runs: int, main: Callable[[], None], *options: str) -> list[State]:
    """The state at the start of each of ``runs`` runs of ``main``, the training application, in this process."""
    states.clear()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "conf/model/probe.yaml")
        model.parent.mkdir(parents=True)
        model.write_text("name: probe\n_target_: benchmarks.thousand.Probe\n")
        grid = ("trainer=cpu", "trainer.max_epochs=1", "data.image_size=16", "dataset.count=20", "model=probe")
        where = (f"output_dir={folder}/multirun", f"data.cache_dir={folder}/cache")
        sys.argv = ["train.py", f"--config-dir={folder}/conf", "-m", *grid, "logger=csv", *where, *options]
        sys.argv.append(f"repeat=range({runs})")
        with suppress(SystemExit):  # some runs fail
            main()
    return states


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    from lightning_seg.cli.train import main as train

    found = sweep(arguments.runs, train)
    print("   run       MiB     files   threads   tensors")
    for run in sorted({0, 20, 50, 100, 200, 500, arguments.runs - 1}):
        if run < len(found):
            state = found[run]
            print(f"{run:6d}  {state.mebibytes:8.1f}  {state.files:8d}  {state.threads:8d}  {state.tensors:8d}")


if __name__ == "__main__":
    from benchmarks import thousand  # the module that the runs import, not this script's copy of it

    thousand.main()
