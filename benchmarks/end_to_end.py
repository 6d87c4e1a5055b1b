"""A grid end to end against the same runs as processes of a plain PyTorch + smp script, and of MONAI's engines.

    python benchmarks/end_to_end.py path/to/wound                      # a small network: loading images dominates
    python benchmarks/end_to_end.py path/to/wound --network unet       # U-Net: training dominates
    python benchmarks/end_to_end.py path/to/wound --network resnet18   # smp's U-Net: likewise

All train the same network on the same real images at 224 x 224 for the same epochs, validate every epoch, and test.
The grid starts without a cache. "with switches" is the grid in bfloat16 and channels last.
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
    parser.add_argument("--network", default="small", help="small, unet, or an encoder of smp's U-Net")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", default="plain scripts,MONAI scripts,grid,grid with switches")
    arguments = parser.parse_args()
    root, losses = arguments.root.resolve(), LOSSES[: arguments.runs]
    model = [f"model={arguments.network}"]
    if arguments.network not in ("small", "unet"):
        model = ["model=smp", f"model.encoder={arguments.network}", "model.pretrained=false"]
    overrides = [
        *(*model, "dataset=wound", f"dataset.root={root}", f"loss={','.join(losses)}", "repeat=0"),
        *(f"trainer.max_epochs={arguments.epochs}", f"data.image_size={arguments.size}"),
    ]
    options = [
        {"network": arguments.network, "loss": loss, "epochs": arguments.epochs, "size": arguments.size}
        for loss in losses
    ]

    def grid(*switches: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run_grid(Path(folder), *overrides, *switches)

    def scripts(script: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run_scripts(script, root, options, Path(folder))

    ways = {
        "plain scripts": lambda: scripts("plain_script.py"),
        "MONAI scripts": lambda: scripts("monai_script.py"),
        "grid": grid,
        "grid with switches": lambda: grid("trainer.precision=bf16-mixed", "speed.channels_last=true"),
    }
    chosen = {name: ways[name] for name in arguments.ways.split(",")}
    times = alternate(chosen, arguments.rounds, warm_up=0)
    report(f"{len(losses)} runs of {arguments.epochs} epochs, {arguments.network}", times, "plain scripts")


if __name__ == "__main__":
    main()
