"""How far faster numerics move results: paired trainings, with the noise between seeds as the yardstick.

    python benchmarks/numerics.py

Each run is trained twice, from the same split, weights and order: with the paper's numerics, and with the switches of a
trainer. The table shows the mean of the differences of test Dice with its 95 % interval, their standard deviation, and
how that compares with the standard deviation of the difference of two seeds.
"""

import argparse
import json
import statistics
import tempfile
from math import sqrt
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from scipy import stats

from lightning_seg.cli.train import train_with

NETWORKS = {
    "unet": ("model=unet", "model.width=8"),
    "colonsegnet": ("model=colonsegnet", "model.width=32"),
    "esfpnet": ("model=esfpnet", "model.variant=b0", "pretrained=false"),
}


def dice_of(folder: Path, *overrides: str) -> dict[int, float]:
    """Test Dice of each repeat."""
    train_with(["-m", "logger=csv", *overrides, f"output_dir={folder}"])
    records = (json.loads(path.read_text()) for path in folder.rglob("result.json"))
    return {record["repeat"]: record["test"]["dice"] for record in records}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="cpu_fast")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=80)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate, at which so few steps teach something")
    arguments = parser.parse_args()
    table = Table(
        *("network", "Dice", "sd of seeds", "difference", "95 %", "sd of differences", "over two seeds'"),
        title=f"trainer={arguments.trainer} less the paper's numerics, points of test Dice",
        box=box.SIMPLE_HEAD,
    )
    common = (
        *("loss=dice_bce", f"data.image_size={arguments.size}", f"dataset.count={arguments.images}", "threads=1"),
        *(f"trainer.max_epochs={arguments.epochs}", "early_stopping.patience=200", f"optimizer.lr={arguments.rate}"),
        f"repeat={','.join(map(str, range(arguments.repeats)))}",
    )
    for name in arguments.networks.split(","):
        with tempfile.TemporaryDirectory() as folder:
            own = (*common, f"data.cache_dir={folder}/cache", *NETWORKS[name])
            plain = dice_of(Path(folder, "plain"), *own, "trainer=cpu")
            fast = dice_of(Path(folder, "fast"), *own, f"trainer={arguments.trainer}")
        differences = [100 * (fast[repeat] - plain[repeat]) for repeat in plain]
        seeds = 100 * statistics.stdev(plain.values())
        spread = statistics.stdev(differences)
        half = stats.t.ppf(0.975, len(plain) - 1) * spread / sqrt(len(plain))
        mean = statistics.mean(differences)
        table.add_row(
            *(name, f"{100 * statistics.mean(plain.values()):.2f}", f"{seeds:.2f}", f"{mean:+.2f}"),
            *(f"{mean - half:+.2f} to {mean + half:+.2f}", f"{spread:.2f}", f"{spread / (sqrt(2) * seeds):.2f}"),
        )
        Console(width=140).print(table)  # as far as it is: a network takes minutes


if __name__ == "__main__":
    main()
