"""The table of networks: what each is, and what it costs."""

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from rich.box import SIMPLE
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_seg.catalogue import NETWORKS
from lightning_seg.config.build import build_nameless, without_weights
from lightning_seg.config.compose import compose_config
from lightning_seg.config.plugins import choices
from lightning_seg.errors import UserError

SIDE = 224  # pixels
CAPTION = (
    f"GMACs: billions of multiply-accumulates, of convolutions and matrix products, for one image of {SIDE} x {SIDE}."
)
_COSTS = ("parameters", "GMACs", "ms on CPU")
_LICENCE = "licence of the weights"
_TIMED_PASSES = 5


@dataclass(frozen=True)
class Entry:
    """One network as its configuration builds it.

    Attributes:
        name: of its file in ``conf/model``.
        parameters: their number.
        macs: multiply-accumulates of convolutions and matrix products for one image of 224 x 224, in evaluation mode.
        cpu_ms: median milliseconds for that image on this CPU; ``None`` if not timed.
    """

    name: str
    parameters: int
    macs: int
    cpu_ms: float | None


def model_names() -> list[str]:
    """Every choice of ``model=`` but ``smp``, which is many: the study's twelve, then the user's own."""
    names = choices("model")
    known = [name for name in NETWORKS if name in names]
    return known + sorted(set(names) - {*known, "smp"})


def measure(name: str, overrides: Iterable[str] = (), timed: bool = False) -> Entry:
    """Build a network by its configuration, without downloading weights, and count what it costs.

    Raises:
        UserError: there is no such model, or an override is wrong.
    """
    cfg = without_weights(compose_config([f"model={name}", *overrides]).model)
    try:
        parameters, macs = _count(cfg, "meta")  # shapes alone: no memory, no arithmetic
    except (RuntimeError, UserError):  # a network that looks at values while it is built or run
        parameters, macs = _count(cfg, "cpu")
    return Entry(name, parameters, macs, _time(build_nameless(cfg, "model").eval()) if timed else None)


def _count(cfg: DictConfig, device: str) -> tuple[int, int]:
    with torch.device(device):
        model = build_nameless(cfg, "model").eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.empty(1, 3, SIDE, SIDE))
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops() // 2


@torch.inference_mode()
def _time(model: nn.Module) -> float:
    image = torch.zeros(1, 3, SIDE, SIDE)
    model(image)
    times = []
    for _ in range(_TIMED_PASSES):
        start = time.perf_counter()
        model(image)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def as_table(entries: Sequence[Entry]) -> Table:
    """A table for the terminal."""
    table = Table(box=SIMPLE, pad_edge=False, caption=CAPTION)
    for title in ("name", "paper", "encoder"):
        table.add_column(title)
    for title in _cost_titles(entries):
        table.add_column(title, justify="right")
    table.add_column(_LICENCE, overflow="fold")
    for entry in entries:
        facts = NETWORKS.get(entry.name)
        origin = (f"{facts.authors} {facts.year}", facts.encoder) if facts else ("", "")
        table.add_row(entry.name, *origin, *_costs(entry), facts.licences if facts else "")
    return table


def as_markdown(entries: Sequence[Entry]) -> str:
    """A Markdown table for the documentation."""
    titles = _cost_titles(entries)
    lines = [["name", "", "paper", "year", "encoder", *titles, _LICENCE]]
    lines.append(["---", "---", "---", "---", "---", *["---:"] * len(titles), "---"])
    for entry in entries:
        facts = NETWORKS.get(entry.name)
        origin = (
            [facts.title, f"{facts.authors}, {facts.source}", str(facts.year), facts.encoder] if facts else [""] * 4
        )
        lines.append([f"`{entry.name}`", *origin, *_costs(entry), facts.licences if facts else ""])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{CAPTION}\n"


def _cost_titles(entries: Sequence[Entry]) -> tuple[str, ...]:
    return _COSTS if any(entry.cpu_ms is not None for entry in entries) else _COSTS[:2]


def _costs(entry: Entry) -> list[str]:
    millions = f"{entry.parameters / 1e6:.2f} M"
    costs = [millions if entry.parameters >= 1e5 else f"{entry.parameters:,}", f"{entry.macs / 1e9:.2f}"]
    return costs if entry.cpu_ms is None else [*costs, f"{entry.cpu_ms:.0f}"]
