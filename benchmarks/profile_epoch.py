"""Where the time of an epoch goes: shares of a run's fit, by torch.profiler.

    python benchmarks/profile_epoch.py                              # U-Net at 224 x 224, batches of 8
    python benchmarks/profile_epoch.py --models unet,colonsegnet --size 128 --width 16

Shares are of the wall time of one training epoch, from its start to its validation; the aim is 95 % in forward,
backward and optimizer for U-Net at 224. Each model is built at random, without pretrained weights.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from lightning import Callback
from rich import box
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile, record_function

from lightning_seg.config.compose import compose_config
from lightning_seg.training.callbacks import BestWeights
from lightning_seg.training.factory import make_data, make_module, make_trainer
from lightning_seg.training.history import History

PARTS = ("forward", "backward", "optimizer")


class Epoch(Callback):
    """Profiles the training batches of the second epoch."""

    def __init__(self) -> None:
        on_gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
        self.profiler = profile(activities=[ProfilerActivity.CPU, *on_gpu])

    def on_train_epoch_start(self, trainer, module) -> None:
        if trainer.current_epoch == 1:
            self.profiler.start()
            self.seconds = -time.perf_counter()

    def on_validation_start(self, trainer, module) -> None:
        if trainer.current_epoch == 1:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds += time.perf_counter()
            self.profiler.stop()


def shares(cfg, folder: Path) -> dict[str, float]:
    """The share of each part in the epoch's time."""
    module, epoch = make_module(cfg), Epoch()
    step, backward = module.training_step, module.backward

    def training_step(*arguments):
        with record_function("forward"):
            return step(*arguments)

    def timed_backward(*arguments, **options):
        with record_function("backward"):
            return backward(*arguments, **options)

    module.training_step, module.backward = training_step, timed_backward
    trainer = make_trainer(cfg, folder, [BestWeights(), History(folder / "metrics.csv"), epoch])
    trainer.fit(module, datamodule=make_data(cfg))
    seconds: Counter[str] = Counter()
    for event in epoch.profiler.events():
        # An optimizer's step encloses Lightning's closure, that is forward and backward: those are taken out below.
        name = "optimizer" if event.name.startswith("Optimizer.step") else event.name
        if name in PARTS and event.cpu_time_total:
            seconds[name] += event.time_range.elapsed_us() / 1e6
    seconds["optimizer"] -= seconds["forward"] + seconds["backward"]
    return {name: seconds[name] / epoch.seconds for name in PARTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="unet")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--width", type=int, help="of the models that have one")
    parser.add_argument("--images", type=int, default=40)
    arguments = parser.parse_args()
    accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    table = Table("model", *PARTS, "together", title="Shares of a training epoch", box=box.SIMPLE_HEAD)
    with tempfile.TemporaryDirectory() as name:
        for model in arguments.models.split(","):
            cfg = compose_config(
                [
                    *(f"trainer={accelerator}", f"model={model}", "trainer.max_epochs=2", "logger=csv"),
                    *(f"data.image_size={arguments.size}", f"dataset.count={arguments.images}"),
                    f"data.cache_dir={name}",
                ]
            )
            if "pretrained" in cfg.model:
                cfg.model.pretrained = False
            if arguments.width and "width" in cfg.model:
                cfg.model.width = arguments.width
            parts = shares(cfg, Path(name))
            table.add_row(model, *(f"{parts[part]:.1%}" for part in PARTS), f"{sum(parts.values()):.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
