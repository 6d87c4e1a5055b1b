"""What `lightning-seg plan` estimates of a small sweep against what the sweep then takes; the aim is 25 %.

python benchmarks/plan_accuracy.py
"""

import argparse
import json
import tempfile
from pathlib import Path

from grids import run_grid
from rich import box
from rich.console import Console
from rich.table import Table

from lightning_seg.planning.estimate import make_plan
from lightning_seg.sweep.cells import grid_cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    overrides = [
        *("trainer=cpu", "logger=csv", "model=unet,colonsegnet", "model.width=32", "loss=dice,bce", "repeat=0"),
        *(f"data.image_size={arguments.size}", f"dataset.count={arguments.images}"),
        f"trainer.max_epochs={arguments.epochs}",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = make_plan(grid_cells([*overrides, f"output_dir={folder}"]))
        run_grid(folder, *overrides)
        table = Table("run", "estimate, s", "taken, s", "ratio", title="Plan and truth", box=box.SIMPLE_HEAD)
        rows = []
        for run in plan.left:
            record = json.loads((folder / run.cell.folder.path / "result.json").read_text())
            rows.append((f"{record['model']} {record['loss']}", run.seconds(), sum(record["seconds"].values())))
        rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
        for what, estimate, taken in rows:
            table.add_row(what, f"{estimate:.1f}", f"{taken:.1f}", f"{estimate / taken:.2f}")
        Console().print(table)


if __name__ == "__main__":
    main()
