"""What each switch for speed does to a training step of each model: times as ratios to the paper's numerics.

    python benchmarks/switches.py                                        # all models, 224 x 224, batches of 8
    python benchmarks/switches.py --models unet,fcn --size 64 --batch 2  # a quick look on a CPU
    python benchmarks/switches.py --switches compile                     # takes minutes a model to compile

A ratio below 1 is faster. Steps of the plain and the switched network alternate; figures are medians of the ratios over
the rounds. Networks start at random. What only a GPU has (TF32, CUDA graphs) is left out without one.
"""

import argparse
from collections.abc import Callable

import torch
from measure import alternate, ratio
from rich import box
from rich.console import Console
from rich.table import Table

from lightning_seg.config.compose import compose_config
from lightning_seg.training.factory import make_module

MODELS = (
    *("fcn", "deeplabv3plus", "unet", "unetplusplus", "colonsegnet", "fatnet"),
    *("fcbformer", "colonformer", "caranet", "esfpnet", "ducknet", "emcadnet"),
)
SWITCHES = {
    "channels_last": ["speed.channels_last=true"],
    "bf16": ["trainer.precision=bf16-mixed"],
    "bf16 + channels_last": ["trainer.precision=bf16-mixed", "speed.channels_last=true"],
    "fused": ["optimizer.fused=true"],
    "TF32": ["speed.matmul_precision=high"],
    "compile": ["speed.compile=default"],
    "reduce-overhead": ["speed.compile=reduce-overhead"],
}
COMPILING = ("compile", "reduce-overhead")
ON_GPU = ("TF32", "reduce-overhead")


def make_step(model: str, switches: list[str], size: int, batch: int, device: str) -> Callable[[], None]:
    """A training step as a run with these overrides computes it."""
    cfg = compose_config([f"model={model}", "loss=dice_bce", *switches])
    if "pretrained" in cfg.model:
        cfg.model.pretrained = False
    torch.manual_seed(0)
    module = make_module(cfg).to(device).train()
    optimizer = module.make_optimizer(module.model.parameters())
    images = torch.randn(batch, 3, size, size, device=device)
    masks = (torch.rand(batch, 1, size, size, device=device) > 0.8).float()
    weights = getattr(module.model, "output_weights", (1.0,))

    def step() -> None:
        torch.set_float32_matmul_precision(cfg.speed.matmul_precision)
        with torch.autocast(device, torch.bfloat16, enabled=cfg.trainer.precision == "bf16-mixed"):
            outputs = module.model(images)
            maps = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
            loss = sum(weight * module.loss(logits, masks) for weight, logits in zip(weights, maps, strict=True))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--switches", default=",".join(name for name in SWITCHES if name not in COMPILING))
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    names = [name for name in arguments.switches.split(",") if device == "cuda" or name not in ON_GPU]
    switches = {name: SWITCHES[name] for name in names}
    what = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    table = Table(title=f"Step time relative to the paper's numerics: {what}", box=box.SIMPLE_HEAD)
    for name in ("model", "plain, ms", *switches):
        table.add_column(name, justify="right")
    shape = (arguments.size, arguments.batch, device)
    for model in arguments.models.split(","):
        cells = []
        for overrides in switches.values():
            pair = {"plain": make_step(model, [], *shape), "switched": make_step(model, overrides, *shape)}
            times = alternate(pair, arguments.rounds)
            plain, switched = times["plain"], times["switched"]
            # Processor time is the steadier of the two where one thread does all the work.
            one_thread = device == "cpu" and torch.get_num_threads() == 1
            own = (switched.cpu, plain.cpu) if one_thread else (switched.wall, plain.wall)
            cells.append((f"{ratio(*own):.2f}", min(own[1])))
        table.add_row(model, f"{min(seconds for _, seconds in cells) * 1e3:.1f}", *(text for text, _ in cells))
    Console().print(table)


if __name__ == "__main__":
    main()
