"""Grids of this package and of plain scripts, run as a user would run them: in processes of their own."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent


def run_grid(folder: Path, *overrides: str, checkout: Path = HERE.parent) -> list[float]:
    """One ``train.py -m`` with results and cache in ``folder``; resident MiB after each of its runs.

    It runs in this folder, so that ``model=small`` is the plain script's, by this checkout or an older one.
    """
    usual = {"trainer": "cpu", "logger": "csv", "output_dir": folder, "data.cache_dir": folder / "cache"}
    given = {override.partition("=")[0] for override in overrides}
    added = [f"{key}={value}" for key, value in usual.items() if key not in given]
    command = [sys.executable, str(checkout / "train.py"), "-m", *added, *overrides]
    with (folder / "grid.log").open("w+") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=HERE, env=os.environ | {"PYTHONPATH": str(checkout)}
        )
        memory = _watch_memory(process, folder)
        if process.wait():
            log.seek(0)
            raise SystemExit(log.read())
    return memory()


def run_scripts(script: str, root: Path, runs: list[dict[str, object]], folder: Path) -> None:
    """One invocation of ``script`` for each run's options, one after the other."""
    for number, options in enumerate(runs):
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, str(HERE / script), str(root), *arguments, f"--out={folder / f'{number}.json'}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _watch_memory(process: subprocess.Popen, folder: Path) -> Callable[[], list[float]]:
    """Read the process's resident memory whenever a run has ended; the result waits and gives the values."""
    values: list[float] = []

    def watch() -> None:
        while process.poll() is None:
            if sum(1 for _ in folder.rglob("result.json")) > len(values):
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                values.append(pages * 4096 / 2**20)
            time.sleep(0.05)

    thread = threading.Thread(target=watch)
    thread.start()

    def result() -> list[float]:
        thread.join()
        return values

    return result
