"""Checks: that runs on the device are right."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from benchmarks.gpu.networks import compare_with_recorded, config, names
from benchmarks.gpu.tasks import Context, Task
from lightning_seg.catalogue import LOSSES
from lightning_seg.config.build import build_nameless
from lightning_seg.config.compose import compose_config
from lightning_seg.errors import OutOfMemoryError
from lightning_seg.metrics import confusion_counts, image_scores
from lightning_seg.runs.run import run
from lightning_seg.training.factory import make_data, make_module, make_trainer

ROOT = Path(__file__).resolve().parents[2]
LOSS_LIMIT = 1e-4  # relative, of a value or of a gradient's norm
GROWTH_LIMIT = 1.05  # of memory, from the run after the first fifth to the last


def tasks() -> list[Task]:
    """All checks."""
    return [
        *(Task(f"network:{name}", lambda context, name=name: compare_with_recorded(context, name)) for name in names()),
        Task("losses", losses),
        Task("metrics", metrics),
        Task("resident", resident),
        Task("kill and resume", kill_and_resume),
        Task("out of memory", out_of_memory),
        Task("two runs at once", two_runs),
        Task("a hundred runs", many_runs),
    ]


def losses(context: Context) -> dict[str, Any]:
    """Each loss's value and gradient on the device against the CPU's."""
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn((4, 1, context.size, context.size), generator=draw)
    masks = (torch.rand(logits.shape, generator=draw) > 0.7).float()
    masks[0], masks[1] = 0, 1  # empty and full
    worst: dict[str, float] = {}
    for name in LOSSES:
        value, gradient = _with_gradient(name, logits, masks)
        own, own_gradient = (each.cpu() for each in _with_gradient(name, logits, masks, context.device))
        parts = ((own - value).abs() / value.abs(), (own_gradient - gradient).norm() / gradient.norm())
        worst[name] = float(max(parts))
    return {"relative": worst, "ok": max(worst.values()) <= LOSS_LIMIT}


def _with_gradient(name: str, logits: Tensor, masks: Tensor, device: str = "cpu") -> tuple[Tensor, Tensor]:
    loss = build_nameless(compose_config([f"loss={name}"]).loss, "loss").to(device)
    own = logits.to(device).requires_grad_()
    value = loss(own, masks.to(device))
    [gradient] = torch.autograd.grad(value, own)
    return value.detach(), gradient


def metrics(context: Context) -> dict[str, Any]:
    """The counts of each image are exact, whatever the dtype, and so are the scores."""
    draw = torch.Generator().manual_seed(1)
    masks = torch.rand((6, 1, context.size, context.size), generator=draw) > 0.5
    masks[0], masks[1] = False, True
    same = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        logits = torch.randn(masks.shape, generator=draw).to(dtype)
        logits[2] = 2.0**-14  # whose sigmoid rounds to a half in half precision
        on_cpu = confusion_counts(logits, masks)
        on_device = confusion_counts(logits.to(context.device), masks.to(context.device))
        scores = image_scores(on_device)
        equal = all(torch.equal(scores[name].cpu(), each) for name, each in image_scores(on_cpu).items())
        same[str(dtype)] = equal and torch.equal(on_device.cpu(), on_cpu)
    return {"exact": same, "ok": all(same.values())}


class _Devices(Callback):
    """Notes where the images of batches lie before they are moved, and how often a copy to the device is made."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        self.found |= {data._images.device.type, data._masks.device.type}


def resident(context: Context) -> dict[str, Any]:
    """With ``data.resident`` all images lie on the device."""
    with tempfile.TemporaryDirectory() as folder:
        small = ("data.resident=true", "dataset.count=20", "data.image_size=32", "trainer.max_epochs=1")
        cfg = config(context, "unet", *small, f"data.cache_dir={folder}", "model.width=4")
        seen = _Devices()
        make_trainer(cfg, Path(folder), [seen]).fit(make_module(cfg), datamodule=make_data(cfg))
    return {"devices": sorted(seen.found), "ok": seen.found == {context.device}}


def _command(context: Context, folder: Path, *overrides: str) -> list[str]:
    grid = ("data.image_size=32", "dataset.count=40", "model.width=4", "trainer.max_epochs=6", "logger=csv")
    where = (f"output_dir={folder}", f"data.cache_dir={folder}/cache", "checkpoint.every_minutes=0", "threads=1")
    device = ("trainer=gpu",) if context.on_gpu else ("trainer=cpu",)
    exact = ("trainer.deterministic=true", "loss=dice", "keep_weights=true")
    return [sys.executable, str(ROOT / "train.py"), *device, *grid, *exact, *where, *overrides]


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    environment = os.environ | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # without which cuBLAS is not deterministic
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, cwd=ROOT)


def _finish(process: subprocess.Popen[bytes]) -> None:
    _, told = process.communicate()
    if process.returncode:
        raise RuntimeError(told.decode(errors="replace")[-400:])


def _outcome(folder: Path, repeat: int = 0) -> tuple[Any, ...]:
    """What a run has computed: scores, the table of test images, weights."""
    [record] = folder.glob(f"*/*/*/*/repeat_{repeat}/result.json")
    read = json.loads(record.read_text())
    files = [(record.parent / name).read_bytes() for name in ("test_images.csv", "weights.safetensors")]
    return (read["best_val_dice"], read["best_epoch"], read["test"], *files)


def kill_and_resume(context: Context) -> dict[str, Any]:
    """A run that is killed after a checkpoint and given again ends with the numbers of an undisturbed one."""
    with tempfile.TemporaryDirectory() as name:
        whole, killed = Path(name, "whole"), Path(name, "killed")
        for folder in (whole, killed):
            folder.mkdir()
        _finish(_start(_command(context, whole)))
        process = _start(_command(context, killed))
        while process.poll() is None and not list(killed.rglob("resume-*.ckpt")):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        was_killed = not list(killed.rglob("result.json"))
        _finish(_start(_command(context, killed)))
        same = _outcome(whole) == _outcome(killed)
    return {"killed_in_training": was_killed, "same": same, "ok": same and was_killed}


class Starved(nn.Conv2d):
    """One convolution that finds no memory, where no device can be filled."""

    def __init__(self) -> None:
        super().__init__(3, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def out_of_memory(context: Context) -> dict[str, Any]:
    """A run that the device has no memory for says so in one sentence, and the next is as if it had not been."""
    with tempfile.TemporaryDirectory() as folder:
        small = ("dataset.count=20", "data.image_size=32", "trainer.max_epochs=1", "model.width=4", "logger=csv")
        where = (f"output_dir={folder}", f"data.cache_dir={folder}/cache")
        before = run(config(context, "unet", *small, *where, "study=before"))
        if context.on_gpu:
            torch.cuda.empty_cache()
            held = torch.cuda.memory_reserved() / torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, held + 0.01))
            hungry = config(context, "unet", *small, *where, "study=hungry", "data.image_size=512", "model.width=64")
        else:
            hungry = config(context, "unet", *small, *where, "study=hungry")
            hungry.model = {"name": "unet", "_target_": "benchmarks.gpu.right.Starved"}
        try:
            run(hungry)
            sentence = ""
        except OutOfMemoryError as error:
            sentence = str(error)
        finally:
            if context.on_gpu:
                torch.cuda.set_per_process_memory_fraction(1.0)
                torch.cuda.empty_cache()
        after = run(config(context, "unet", *small, *where, "study=after"))
    return {"sentence": sentence, "same": before == after, "ok": "\n" not in sentence and bool(sentence)}


def two_runs(context: Context) -> dict[str, Any]:
    """Two runs that share the device have the numbers that they have alone."""
    with tempfile.TemporaryDirectory() as name:
        alone, together = Path(name, "alone"), Path(name, "together")
        for folder in (alone, together):
            folder.mkdir()
        for repeat in (0, 1):
            _finish(_start(_command(context, alone, f"repeat={repeat}")))
        for process in [_start(_command(context, together, f"repeat={repeat}")) for repeat in (0, 1)]:
            _finish(process)
        same = all(_outcome(alone, repeat) == _outcome(together, repeat) for repeat in (0, 1))
    return {"same": same, "ok": same}


def many_runs(context: Context) -> dict[str, Any]:
    """What runs of one process leave in memory: the device's must not grow, the process's hardly."""
    runs = 10 if context.miniature else 100
    held: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        small = ("dataset.count=20", "data.image_size=32", "trainer.max_epochs=1", "model.width=4", "logger=csv")
        for number in range(runs):
            where = (f"output_dir={folder}", f"data.cache_dir={folder}/cache", f"repeat={number}")
            run(config(context, "unet", *small, *where))
            with suppress(RuntimeError):
                torch.cuda.empty_cache()
            on_device = torch.cuda.memory_allocated() if context.on_gpu else 0
            held.append((psutil.Process().memory_info().rss, on_device))
    start = held[runs // 5]
    growth = [last / first if first else 1.0 for first, last in zip(start, held[-1], strict=True)]
    return {"runs": runs, "rss": growth[0], "device": growth[1], "ok": max(growth) <= GROWTH_LIMIT}
