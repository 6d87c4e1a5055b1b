"""What `grid_start.py` has done in a process of its own, by the checkout that is on its path; each prints one number.

python benchmarks/grid_parts.py plan FOLDER 3600        # seconds of processor time
python benchmarks/grid_parts.py finish FOLDER 3600      # the number of cells
python benchmarks/grid_parts.py own-cost FOLDER         # seconds of processor time
"""

import json
import statistics
import sys
import time
from pathlib import Path
from unittest.mock import patch

from lightning_seg.catalogue import LOSSES
from lightning_seg.cli.train import train_with
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.record import Record
from lightning_seg.sweep.cells import grid_cells

SMALL = (
    *("trainer=cpu", "logger=csv", "trainer.max_epochs=1", "data.image_size=32", "dataset.count=12"),
    *("model=colonsegnet", "model.width=32"),
)


def grid(folder: Path, cells: int = 3600) -> list[str]:
    """The command line's overrides for so many cells, in whole repeats of 720."""
    return [
        *SMALL,
        f"dataset.name={','.join(f'dataset{i}' for i in range(6))}",
        f"model.name={','.join(f'model{i}' for i in range(12))}",
        f"loss={','.join(LOSSES)}",
        f"repeat={','.join(map(str, range(cells // 720)))}",
        f"output_dir={folder}",
        f"data.cache_dir={folder / 'cache'}",
    ]


def plan(folder: Path, cells: int) -> float:
    """Processor time of composing all cells."""
    started = time.process_time()
    grid_cells(grid(folder, cells))
    return time.process_time() - started


def finish(folder: Path, number: int) -> int:
    """Give every cell a record, as if it had been trained."""
    cells = grid_cells(grid(folder, number))
    for cell in cells:
        cell.folder.path.mkdir(parents=True, exist_ok=True)
        names = ("study", "dataset.name", "model.name", "loss.name", "repeat")
        record = {name.split(".")[0]: cell.config[name] for name in names}
        record |= {"status": "finished", "config": cell.config, "epochs": 100, "best_val_dice": 0.8}
        record |= {"test": {"dice": 0.8}, "seconds": {"data": 1.0, "fit": 600.0, "test": 1.0}}
        (cell.folder.path / "result.json").write_text(json.dumps(record))
    return len(cells)


def own_cost(folder: Path) -> float:
    """Processor time that a run takes besides its data, fit and test: the mean of 20, in a grid of tiny ones."""
    ends: list[float] = []
    write = RunFolder.write

    def noted(self: RunFolder, record: Record) -> None:
        write(self, record)
        ends.append(time.process_time())

    small = ["-m", *SMALL, f"loss={','.join(list(LOSSES)[:5])}", f"output_dir={folder}"]
    # By this clock runs record what their parts take.
    with patch("time.perf_counter", time.process_time), patch.object(RunFolder, "write", noted):
        train_with([*small, f"data.cache_dir={folder / 'cache'}", "repeat=0"])  # which loads what is loaded once
        ends.clear()
        train_with([*small, f"data.cache_dir={folder / 'cache'}", "repeat=1,2,3,4"])
    parts = [json.loads(path.read_text())["seconds"] for path in folder.rglob("repeat_[1-4]/result.json")]
    return (ends[-1] - ends[0]) / (len(ends) - 1) - statistics.mean(sum(part.values()) for part in parts)


if __name__ == "__main__":
    part, where, *count = sys.argv[1:]
    found = {"plan": plan, "finish": finish, "own-cost": own_cost}[part](Path(where), *map(int, count))
    print(found)
