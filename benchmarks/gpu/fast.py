"""Measurements: how fast steps, epochs and runs are on the device."""

import itertools
import multiprocessing
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.networks import config, make_step, names, numerics
from benchmarks.gpu.tasks import Context, Task
from lightning_seg.config.compose import compose_config
from lightning_seg.planning import timing
from lightning_seg.planning.estimate import EpochsKnown, PlannedRun, subset_sizes
from lightning_seg.planning.timed import Timing
from lightning_seg.planning.timing import time_training
from lightning_seg.sweep.cells import grid_cells

PRECISIONS = {
    "fp32": ("trainer.precision=32-true",),
    "tf32": ("trainer.precision=32-true", "speed.matmul_precision=high"),
    "bf16": ("trainer.precision=bf16-mixed",),
    "fp16": ("trainer.precision=16-mixed",),
}
COMPILED = ("default", "reduce-overhead")
SECONDS, MOST_STEPS = 1.0, 50  # that steps are timed for


def tasks() -> list[Task]:
    """All measurements."""
    return [
        *(Task(f"step:{name}", lambda context, name=name: steps(context, name)) for name in names()),
        *(Task(f"epoch:{name}", lambda context, name=name: epoch(context, name)) for name in names()),
        *(
            Task(f"compile:{name}:{mode}", lambda context, name=name, mode=mode: compiled(context, name, mode))
            for mode, name in itertools.product(COMPILED, names())
        ),
        Task("peers", peers),
        *(
            Task(f"side by side:{count}", lambda context, count=count: side_by_side(context, count))
            for count in (1, 2, 3, 4)
        ),
        *(
            Task(f"side by side with MPS:{count}", lambda context, count=count: with_mps(context, count))
            for count in (2, 3, 4)
        ),
        Task("paper", paper),
    ]


def steps(context: Context, name: str) -> dict[str, Any]:
    """A step in each precision, layout and optimizer: images a second, share of the device's peak, memory."""
    found = {}
    for precision, last, fused in _ways(context):
        label = precision + (" channels_last" if last else "") + (" fused" if fused else "")
        switches = (f"speed.channels_last={last}", f"++optimizer.fused={fused}")
        found[label] = _measure(context, name, precision, *switches)
    return {"ways": found, "fastest": max(found, key=lambda label: found[label]["images_per_second"])}


def compiled(context: Context, name: str, mode: str) -> dict[str, Any]:
    """A compiled step in float32 and bfloat16, and how long it took to compile."""
    if context.miniature:
        return {"skipped": "compilation takes too long for a miniature"}
    last = "speed.channels_last=true"
    ways = {each: _measure(context, name, each, f"speed.compile={mode}", last) for each in ("fp32", "bf16")}
    return {"ways": ways}


def _ways(context: Context) -> list[tuple[str, bool, bool]]:
    """Precision, channels last, fused optimizer."""
    if context.miniature:
        return [("fp32", False, False), ("bf16", True, True)]
    return list(itertools.product(PRECISIONS, (False, True), (False, True)))


def _measure(context: Context, name: str, precision: str, *switches: str) -> dict[str, float]:
    cfg = config(context, name, *PRECISIONS[precision], *switches)
    with numerics(precision != "fp32"):
        if context.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        step = make_step(context, cfg)
        started = time.perf_counter()
        step()
        first = time.perf_counter() - started
        flops = _flops(context, name)
        seconds = _median_seconds(step, context)
        peak = torch.cuda.max_memory_allocated() / 2**30 if context.on_gpu else float("nan")
    rate = flops / seconds / _peak_flops(context, precision)
    return {
        "seconds": seconds,
        "images_per_second": context.batch / seconds,
        "share_of_peak": rate,
        "GiB": peak,
        "first_step": first,
    }


def _median_seconds(step: Callable[[], None], context: Context) -> float:
    for _ in range(1 if context.miniature else 5):
        step()
    times = []
    end = time.perf_counter() + (0.05 if context.miniature else SECONDS)
    while not times or (time.perf_counter() < end and len(times) < MOST_STEPS):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


_counted: dict[tuple[str, bool], float] = {}


def _flops(context: Context, name: str) -> float:
    """Floating-point operations of a step."""
    key = name, context.miniature
    if key not in _counted:
        step = make_step(context, config(context, name))
        with FlopCounterMode(display=False) as counter:
            step()
        _counted[key] = counter.get_total_flops()
    return _counted[key]


@cache
def _peak_of(device: str, precision: str, side: int) -> float:
    """Operations a second that a large matrix product reaches here, which no network can pass."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    a = torch.randn(side, side, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def _peak_flops(context: Context, precision: str) -> float:
    return _peak_of(context.device, precision, 256 if context.miniature else 8192)


def epoch(context: Context, name: str) -> dict[str, Any]:
    """A run's own steps and evaluation, as ``lightning-seg plan`` times them."""
    cfg = config(context, name, "trainer.max_epochs=1000")
    if not context.miniature:
        return vars(time_training(cfg))
    with patch.object(timing, "TIMED_SECONDS", 0.0):  # an epoch after the one that warms up
        return vars(time_training(cfg))


def peers(context: Context) -> dict[str, Any]:
    """An epoch of one network by this package, by a plain loop and by MONAI's trainer: on the same images, in turn."""
    if find_spec("segmentation_models_pytorch") is None:
        return {"skipped": "segmentation-models-pytorch is not installed"}
    images = 8 if context.miniature else 320
    rounds = 1 if context.miniature else 5
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randn((images, 3, context.size, context.size), generator=draw)
    masks = (torch.rand((images, 1, *pixels.shape[2:]), generator=draw) > 0.8).float()
    loader = DataLoader(TensorDataset(pixels, masks), context.batch, shuffle=True)
    ways = {"this package": _own(context, images), "plain loop": _plain(context, loader)}
    if find_spec("monai") is not None and find_spec("ignite") is not None:
        ways["MONAI"] = _monai(context, loader)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            seconds = way()
            if number or context.miniature:  # the first round warms up
                times[name].append(seconds / images)
    medians = {name: statistics.median(each) for name, each in times.items()}
    return {"seconds_per_image": medians, "ratio_to_plain": medians["this package"] / medians["plain loop"]}


def _smp() -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet18", encoder_weights=None)


def _own(context: Context, images: int) -> Callable[[], float]:
    arch = ["model=smp", "model.arch=Unet", "model.encoder=resnet18", "loss=dice_bce", "pretrained=false"]
    small = [f"data.image_size={context.size}", f"data.batch_size={context.batch}"]
    cfg = compose_config([*arch, *small, "logger=csv", f"trainer={'gpu' if context.on_gpu else 'cpu'}"])

    def way() -> float:
        return images / context.batch * time_training(cfg).train_step

    return way


def _plain(context: Context, loader: DataLoader[tuple[Tensor, ...]]) -> Callable[[], float]:
    network = _smp().to(context.device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loss = nn.BCEWithLogitsLoss()

    def way() -> float:
        context.wait()
        started = time.perf_counter()
        for images, masks in loader:
            optimizer.zero_grad()
            logits = network(images.to(context.device))
            target = masks.to(context.device)
            chance = logits.sigmoid()
            dice = 1 - 2 * (chance * target).sum() / (chance.sum() + target.sum())
            (dice + loss(logits, target)).backward()
            optimizer.step()
        context.wait()
        return time.perf_counter() - started

    return way


def _monai(context: Context, loader: DataLoader[tuple[Tensor, ...]]) -> Callable[[], float]:
    from monai.engines import SupervisedTrainer
    from monai.losses import DiceCELoss

    network = _smp().to(context.device)

    def batch(data: Any, device: Any = None, non_blocking: bool = False, **_: Any) -> tuple[Tensor, Tensor]:
        return data[0].to(device), data[1].to(device)

    trainer = SupervisedTrainer(
        device=torch.device(context.device),
        max_epochs=1,
        train_data_loader=loader,
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-4),
        loss_function=DiceCELoss(sigmoid=True),
        prepare_batch=batch,
    )

    def way() -> float:
        context.wait()
        started = time.perf_counter()
        trainer.run()
        context.wait()
        return time.perf_counter() - started

    return way


def _work(context: Context, seconds: float, ready: Any, counts: Any) -> None:
    torch.set_num_threads(1)
    step = make_step(context, config(context, "unet", *PRECISIONS["fp32"]))
    step()
    ready.wait()
    done, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        step()
        done += 1
    counts.put(done / seconds)


def side_by_side(context: Context, count: int) -> dict[str, Any]:
    """Steps a second of U-Net, in so many processes at once, together."""
    seconds = 0.3 if context.miniature else 8.0
    if context.miniature and count > 2:
        return {"skipped": "two processes are enough for a miniature"}
    processes = multiprocessing.get_context("spawn")
    ready, counts = processes.Barrier(count), processes.Queue()
    plain = Context(context.device, context.miniature)
    workers = [processes.Process(target=_work, args=(plain, seconds, ready, counts)) for _ in range(count)]
    for worker in workers:
        worker.start()
    rates = [counts.get(timeout=240) for _ in workers]
    for worker in workers:
        worker.join()
    return {"steps_per_second": sum(rates)}


def with_mps(context: Context, count: int) -> dict[str, Any]:
    """:func:`side_by_side` under NVIDIA's multi-process service, started for it alone and ended after it."""
    control = shutil.which("nvidia-cuda-mps-control")
    if not (context.on_gpu and context.use_mps and control):
        return {"skipped": "needs --mps and nvidia-cuda-mps-control"}
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CUDA_MPS_PIPE_DIRECTORY": f"{folder}/pipe", "CUDA_MPS_LOG_DIRECTORY": f"{folder}/log"}
        for name in ("pipe", "log"):
            Path(folder, name).mkdir()
        subprocess.run([control, "-d"], check=True)
        try:
            return side_by_side(context, count)
        finally:
            subprocess.run([control], input=b"quit\n", check=False)
            os.environ.clear()
            os.environ |= before


def paper(context: Context) -> dict[str, Any]:
    """How long ``experiment=paper`` takes on one such device, from the epochs that were timed before.

    The bounds are those of the epochs that early stopping allows: no run can end earlier or later.
    """
    timed = {name: context.results.get(f"epoch:{name}", {}) for name in names()}
    if missing := [name for name, result in timed.items() if result.get("state") != "done"]:
        return {"skipped": f"needs epoch:{missing[0]} first"}
    keys = Timing.__dataclass_fields__
    timings = {name: Timing(**{key: result[key] for key in keys if key in result}) for name, result in timed.items()}
    cells = grid_cells(["experiment=paper", "study=paper"])
    epochs = EpochsKnown([])
    sizes = {name: subset_sizes(cell) for name, cell in {cell.config["dataset.name"]: cell for cell in cells}.items()}
    runs = [
        PlannedRun(cell, sizes[cell.config["dataset.name"]], timings[cell.config["model.name"]], epochs.of(cell))
        for cell in cells
    ]
    hours = {
        "least": sum(run.seconds(run.epochs.least) for run in runs) / 3600,
        "expected": sum(run.seconds() for run in runs) / 3600,
        "most": sum(run.seconds(run.epochs.most) for run in runs) / 3600,
    }
    return {"runs": len(runs), "hours": hours, "of_miniatures": context.miniature}
