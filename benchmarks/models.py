"""What a training step of each network costs: time beside the best public implementation there is, and memory.

    python benchmarks/models.py                           # every network, batches of 8 at 224 x 224
    python benchmarks/models.py unet fcn_resnet50         # some of them
    python benchmarks/models.py --size 96 --batch 2       # where a full step would take too long
    python benchmarks/models.py --only memory             # or --only time; by default both
    python benchmarks/models.py unet --profile            # where the time of a step goes, by operation
    python benchmarks/models.py --device cuda

A step is forward pass, cross-entropy on every map that training sees, and backward pass. Ours and the public one take
turns in one process. Memory is the peak of a process of its own that also takes Adam's steps: on a CPU what it holds
beyond what it held before the network was built, on CUDA what torch has allocated. Public implementations come
from `pip install segmentation-models-pytorch monai` and torchvision.
"""

import argparse
import multiprocessing
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import monai
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
import torchvision
from measure import alternate, ratio, spread
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_seg import models
from lightning_seg.catalogue import NETWORKS
from lightning_seg.machine.speed import keep_freed_memory

MONAI = {"spatial_dims": 2, "in_channels": 3, "out_channels": 1, "act": "relu", "norm": "batch"}


@dataclass(frozen=True)
class Contest:
    """One of our networks, the public one nearest to it, and in what that differs."""

    ours: Callable[..., nn.Module]
    options: dict[str, Any] = field(default_factory=dict)
    public: Callable[[], nn.Module] | None = None
    name: str = ""
    differs: str = ""


CONTESTS = {
    "fcn": Contest(models.FCN),
    "fcn_resnet50": Contest(
        models.FCN,
        {"variant": "resnet50"},
        lambda: torchvision.models.segmentation.fcn_resnet50(
            weights=None, weights_backbone=None, num_classes=1, aux_loss=True
        ),
        "torchvision fcn_resnet50",
        "nothing",
    ),
    "deeplabv3plus": Contest(
        models.DeepLabV3Plus,
        {},
        lambda: smp.DeepLabV3Plus("tu-xception65", encoder_weights=None, encoder_output_stride=16),
        "smp DeepLabV3Plus, tu-xception65",
        "one separable convolution in the decoder for the authors' two; no norm and ReLU inside separable ones",
    ),
    "deeplabv3plus_resnet50": Contest(
        models.DeepLabV3Plus,
        {"encoder": "resnet50"},
        lambda: smp.DeepLabV3Plus(
            "resnet50", encoder_weights=None, encoder_output_stride=16, decoder_aspp_separable=False
        ),
        "smp DeepLabV3Plus, resnet50",
        "a separable convolution in the decoder for a full one; two resizings by 4",
    ),
    "unet": Contest(
        models.UNet,
        {},
        lambda: monai.networks.nets.BasicUNet(features=(64, 128, 256, 512, 1024, 64), **MONAI),
        "MONAI BasicUNet",
        "128 channels, not 64, come up to full resolution",
    ),
    "unetplusplus": Contest(
        models.UNetPlusPlus,
        {},
        lambda: monai.networks.nets.BasicUNetPlusPlus(features=(32, 64, 128, 256, 512, 32), **MONAI),
        "MONAI BasicUNetPlusPlus",
        "learned upsampling to half the channels for interpolation of all",
    ),
    "colonsegnet": Contest(models.ColonSegNet),
    "fatnet": Contest(models.FATNet),
    "fcbformer": Contest(models.FCBFormer),
    "colonformer": Contest(
        models.ColonFormer,
        {},
        lambda: smp.UPerNet("mit_b3", encoder_weights=None, decoder_channels=128),
        "smp UPerNet, mit_b3",
        "no reverse attention, one map",
    ),
    "caranet": Contest(
        models.CaraNet,
        {},
        lambda: smp.Unet("tu-res2net101d", encoder_weights=None),
        "smp Unet, tu-res2net101d",
        "the encoder alone is the same",
    ),
    "esfpnet": Contest(
        models.ESFPNet,
        {},
        lambda: smp.Segformer("mit_b2", encoder_weights=None),
        "smp Segformer, mit_b2",
        "another decoder of 1x1 convolutions, of 256 channels",
    ),
    "ducknet": Contest(models.DUCKNet),
    "emcadnet": Contest(
        models.EMCADNet,
        {},
        lambda: smp.Unet("tu-pvt_v2_b2", encoder_weights=None),
        "smp Unet, tu-pvt_v2_b2",
        "the encoder alone is the same",
    ),
}


@dataclass(frozen=True)
class Shape:
    """What a step is fed, and where."""

    batch: int
    size: int
    device: str

    def data(self) -> tuple[Tensor, Tensor]:
        """Images ``(batch, 3, size, size)`` and masks ``(batch, 1, size, size)``."""
        images = torch.randn(self.batch, 3, self.size, self.size, device=self.device)
        return images, (images[:, :1] > 0).float()


def logit_maps(outputs: Any) -> tuple[Tensor, ...]:
    """All maps of a network of whatever library."""
    if isinstance(outputs, Tensor):
        return (outputs,)
    return tuple(outputs.values() if isinstance(outputs, dict) else outputs)


def make_step(network: nn.Module, shape: Shape) -> Callable[[], None]:
    """Forward pass, loss and backward pass of a network in training mode, on data of its own."""
    network.to(shape.device).train()
    images, masks = shape.data()

    def step() -> None:
        network.zero_grad()
        sum(F.binary_cross_entropy_with_logits(logits, masks) for logits in logit_maps(network(images))).backward()
        if shape.device == "cuda":
            torch.cuda.synchronize()

    return step


def count(network: nn.Module) -> tuple[str, str]:
    """Millions of parameters, and GMACs of a forward pass in training mode for one image of 224 x 224."""
    network.to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(2, 3, 224, 224, device="meta"))  # two, as some normalise one value an image
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f}", f"{counter.get_total_flops() / 4e9:.2f}"


def resident(kind: str) -> float:
    """GiB of this process in memory: ``VmRSS`` now, ``VmHWM`` at its peak."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{kind}:\s+(\d+)", status)[1]) / 2**20


def train(make: Callable[[], nn.Module], shape: Shape) -> float:
    """Peak GiB of a step with Adam, after one on small images that made the gradients and Adam's state."""
    before = resident("VmRSS")
    network = make().to(shape.device).train()
    optimizer = torch.optim.Adam(network.parameters())
    for size in (32, shape.size):
        make_step(network, replace(shape, size=size))()
        optimizer.step()
    return torch.cuda.max_memory_allocated() / 2**30 if shape.device == "cuda" else resident("VmHWM") - before


def peak(name: str, public: bool, shape: Shape) -> float:
    """Peak GiB of training, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (name, public, shape, torch.get_num_threads()))


def _peak(name: str, public: bool, shape: Shape, threads: int) -> float:
    torch.set_num_threads(threads)
    keep_freed_memory()
    contest = CONTESTS[name]
    return train(contest.public if public else lambda: contest.ours(**contest.options), shape)


def report_memory(names: list[str], shape: Shape) -> None:
    """Peak memory of every network and of the public ones."""
    table = Table(title=f"Training with Adam, batch {shape.batch} at {shape.size}: peak GiB", box=box.SIMPLE_HEAD)
    for heading in ("network", "ours", "public"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for name in names:
        public = f"{peak(name, True, shape):.2f}" if CONTESTS[name].public else ""
        table.add_row(name, f"{peak(name, False, shape):.2f}", public)
    Console(width=120).print(table)


def report_time(names: list[str], shape: Shape, rounds: int) -> None:
    """A training step of every network, and its ratio to that of the public one."""
    keep_freed_memory()  # as a run does; the public networks gain as much from it
    table = Table(title=f"A training step, batch {shape.batch} at {shape.size}", box=box.SIMPLE_HEAD)
    for heading in ("network", "M", "GMACs", "s", "ratio", "(range)", "cpu ratio", "M", "GMACs", "public one"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in names:
        contest = CONTESTS[name]
        networks = {"ours": contest.ours(**contest.options)}
        if contest.public is not None:
            networks["public"] = contest.public()
        times = alternate({which: make_step(network, shape) for which, network in networks.items()}, rounds)
        ours, public = times["ours"], times.get("public")
        row = [name, *count(networks["ours"]), f"{statistics.median(ours.wall):.3g}"]
        if public is not None:
            low, high = spread(ours.wall, public.wall)
            row += [f"{ratio(ours.wall, public.wall):.2f}", f"{low:.2f} to {high:.2f}"]
            row += [f"{ratio(ours.cpu, public.cpu):.2f}", *count(networks["public"]), contest.name]
        table.add_row(*row)
    Console(width=150).print(table)
    for name in names:
        if CONTESTS[name].public:
            print(f"{name}: in the public one differs {CONTESTS[name].differs}")


def report_profile(names: list[str], shape: Shape) -> None:
    """The operations that a step spends its time in."""
    from torch.profiler import ProfilerActivity, profile

    for name in names:
        contest = CONTESTS[name]
        step = make_step(contest.ours(**contest.options), shape)
        step()
        activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if shape.device == "cuda" else [])
        with profile(activities=activities) as recorded:
            step()
        print(name)
        print(recorded.key_averages().table(sort_by=f"self_{shape.device}_time_total", row_limit=20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", choices=[[], *CONTESTS], help="all unless some are named")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--only", choices=["time", "memory"])
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = arguments.networks or list(CONTESTS)
    shape = Shape(arguments.batch, arguments.size, arguments.device)
    if arguments.profile:
        report_profile(names, shape)
        return
    if arguments.only != "memory":
        report_time(names, shape, arguments.rounds)
    if arguments.only != "time":
        report_memory(names, shape)


if __name__ == "__main__":
    assert NETWORKS.keys() <= CONTESTS.keys()
    main()
