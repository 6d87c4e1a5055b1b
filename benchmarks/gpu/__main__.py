"""The command line of :mod:`benchmarks.gpu`."""

import argparse
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import torch
from rich.console import Console

import benchmarks.gpu
from benchmarks.gpu import fast, right
from benchmarks.gpu.table import table
from benchmarks.gpu.tasks import UNFINISHED, Book, Context, end_slice_after


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is left until the slice is over; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=benchmarks.gpu.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder of gpu.json and gpu.txt (./gpu)")
    parser.add_argument("--minutes", type=float, default=8.0, help="of this slice")
    parser.add_argument("--only", default="*", help="patterns of tasks, with commas between them")
    parser.add_argument("--mps", action="store_true", help="start NVIDIA's multi-process service for the tasks of it")
    parser.add_argument("--miniature", action="store_true", help="small networks and images; as always on a CPU")
    parser.add_argument("--list", action="store_true", help="name the tasks and end")
    given = parser.parse_args(arguments)
    chosen = [
        task
        for task in (*right.tasks(), *fast.tasks())
        if any(fnmatch(task.name, pattern.strip()) for pattern in given.only.split(","))
    ]
    if given.list:
        print("\n".join(task.name for task in chosen))
        return 0
    on_gpu = torch.cuda.is_available()
    context = Context("cuda" if on_gpu else "cpu", given.miniature or not on_gpu, given.mps)
    given.out.mkdir(parents=True, exist_ok=True)
    book = Book(given.out / "gpu.json", context)
    console = Console()
    end = time.monotonic() + 60 * given.minutes
    if arguments is None:  # in a process of its own
        end_slice_after(given.minutes)
    for task in chosen:
        if time.monotonic() >= end:
            break
        if not book.is_done(task):
            console.print(f"{task.name} ...", highlight=False)
            book.run(task)
    with (given.out / "gpu.txt").open("w", encoding="utf-8") as file:
        Console(file=file, width=160).print(table(book.content))
    console.print(table(book.content))
    if any(not book.is_done(task) for task in chosen):
        console.print("tasks are left; the same line goes on")
        return UNFINISHED
    wrong = [task.name for task in chosen if not book.content["tasks"][task.name]["ok"]]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
