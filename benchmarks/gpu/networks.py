"""The networks that tasks use: in full, or in the smallest form that is built of all its parts."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from benchmarks.gpu.tasks import Context
from lightning_seg.catalogue import NETWORKS
from lightning_seg.config.compose import compose_config
from lightning_seg.training.factory import make_module
from tests.models.configs import SMALL, build
from tests.models.recorded import RECORD, logits, sample
from tests.models.recorded import SIZE as RECORDED_SIZE
from tests.models.shape_seeded import calibrate, fill, probe

MODES = ("fp32", "tf32", "bf16", "channels_last")
LIMIT_FP32 = 1e-3  # of a map's standard deviation
ROUNDINGS = 3  # times the distance of float32 from float64 that are allowed where that is more


def names() -> list[str]:
    """The twelve, as they are typed."""
    return list(NETWORKS)


def config(context: Context, name: str, *overrides: str) -> DictConfig:
    """A run's configuration with a network from scratch, at the context's size."""
    small = [f"++model.{key}={value}" for key, value in SMALL[name].items()] if context.miniature else []
    return compose_config(
        [
            *(f"model={name}", "loss=dice_bce", f"data.image_size={context.size}", f"data.batch_size={context.batch}"),
            *(f"trainer={'gpu' if context.on_gpu else 'cpu'}", "logger=csv", "pretrained=false", *small, *overrides),
        ]
    )


def make_step(context: Context, cfg: DictConfig) -> Callable[[], None]:
    """A training step as a run with this configuration computes it, without what surrounds it."""
    torch.manual_seed(0)
    module = make_module(cfg).to(context.device).train()
    optimizer = module.make_optimizer(module.model.parameters())
    draw = torch.Generator().manual_seed(0)
    shape = (context.batch, 3, context.size, context.size)
    images = torch.randn(shape, generator=draw).to(context.device)
    masks = (torch.rand((shape[0], 1, *shape[2:]), generator=draw) > 0.8).float().to(context.device)
    weights = getattr(module.model, "output_weights", (1.0,))
    precision = str(cfg.trainer.precision)
    dtype = torch.float16 if precision == "16-mixed" else torch.bfloat16
    scaler = torch.amp.GradScaler(context.device, enabled=precision == "16-mixed")

    def step() -> None:
        with torch.autocast(context.device, dtype, enabled=precision.endswith("mixed")):
            outputs = module.model(images)
            maps = (outputs,) if isinstance(outputs, Tensor) else outputs
            parts = [weight * module.loss(logits, masks) for weight, logits in zip(weights, maps, strict=True)]
        scaler.scale(torch.stack(parts).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        context.wait()

    return step


@torch.no_grad()
def compare_with_recorded(context: Context, name: str) -> dict[str, Any]:
    """How far a network's maps are from the recorded ones and from this machine's CPU, in their standard deviation.

    The recording is of float32, and so is a device's computation: each is about as far from the exact maps as this
    machine's CPU is in float32 from itself in float64. Where that is more than a third of the limit, three times that
    distance is allowed: the two parts, and as much again for where they were not the same.
    """
    expected = json.loads(RECORD.read_text())["logits"][name]
    on_cpu, exact = logits(name), logits(name, torch.float64)
    network = calibrate(fill(build(name, **SMALL[name])), RECORDED_SIZE)
    image = probe(1, RECORDED_SIZE)
    found: dict[str, Any] = {}
    for mode in MODES:
        if mode == "tf32" and not context.on_gpu:
            continue
        layout = torch.channels_last if mode == "channels_last" else torch.contiguous_format
        network.to(context.device, memory_format=layout)
        with numerics(mode == "tf32"), torch.autocast(context.device, torch.bfloat16, enabled=mode == "bf16"):
            maps = [each.float().cpu() for each in network.outputs(image.to(context.device, memory_format=layout))]
        found[mode] = {"to_recorded": _to_recorded(maps, expected), "to_cpu": _apart(maps, on_cpu)}
    rounding = _apart(on_cpu, exact)
    limit = max(LIMIT_FP32, ROUNDINGS * rounding)
    exact_to_recorded = _to_recorded(exact, expected)
    return {
        "deviations": found,
        "cpu_to_float64": rounding,
        "float64_to_recorded": exact_to_recorded,
        "limit": limit,
        "ok": max(found["fp32"]["to_recorded"], exact_to_recorded) <= limit,
    }


def _apart(maps: list[Tensor], others: list[Tensor]) -> float:
    """The greatest difference of a value, in the standard deviation of its map."""
    return max(float((a - b).abs().max() / b.std()) for a, b in zip(maps, others, strict=True))


def _to_recorded(maps: list[Tensor], expected: list[dict[str, Any]]) -> float:
    return max(
        float((torch.tensor(sample(each)) - torch.tensor(known["values"])).abs().max() / known["deviation"])
        for each, known in zip(maps, expected, strict=True)
    )


@contextmanager
def numerics(tf32: bool) -> Iterator[None]:
    """float32 with TF32 or without; as it was afterwards."""
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])
