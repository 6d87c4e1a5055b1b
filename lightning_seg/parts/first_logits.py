"""How networks start: what they predict before the first step, and how each loss pulls at it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from rich.box import SIMPLE
from rich.table import Table
from torch import Tensor, nn

from lightning_seg.catalogue import BASIC_LOSSES
from lightning_seg.config.build import build_nameless, without_weights
from lightning_seg.config.compose import compose_config
from lightning_seg.config.named import build_loss
from lightning_seg.data.batch import Batch
from lightning_seg.errors import UserError
from lightning_seg.seed import derive_seed
from lightning_seg.training.factory import make_data

REPEATS = 5  # of the study: five initialisations, each with its own first batch
WEAK = 0.1  # a pull below this share of the usual one is marked
CAPTION = (
    f"Over the first training batches of {REPEATS} repeats, in training mode and before any step. Lesion: pixels "
    "predicted as such; truly: those that are; range: of the repeats' mean sigmoids. Under each loss, its pull: the "
    "mean size of its gradient at the pixels that the network gets wrong, over that at the same pixels if every logit "
    f"were 0. Below {WEAK:g} (*) a network starts so sure that the loss hardly corrects it."
)
_TITLES = ("name", "encoder", "lesion", "truly", "mean sigmoid", "range")


@dataclass(frozen=True)
class Start:
    """What one network does at step 0.

    Attributes:
        name: of its file in ``conf/model``.
        encoder: "pretrained", "random" where its weights were not within reach or not asked for, or "none".
        lesion: share of the pixels that it predicts as lesion, in [0, 1].
        truly: share of the pixels that are lesion.
        sigmoids: the mean probability of lesion in each repeat.
        pulls: for each basic loss, the mean absolute gradient at wrong pixels, over that at logits of 0; NaN where no
            pixel is wrong.
    """

    name: str
    encoder: str
    lesion: float
    truly: float
    sigmoids: tuple[float, ...]
    pulls: dict[str, float]


def measure_start(name: str, overrides: Iterable[str] = ()) -> Start:
    """Build a network as training does, once for each repeat, and run it on that repeat's first batch.

    Pretrained weights are used if they are cached or can be downloaded.

    Raises:
        UserError: there is no such model, an override is wrong, or the dataset is not there.
    """
    overrides = list(overrides)
    losses = {loss: build_loss(loss) for loss in BASIC_LOSSES}
    logits, masks, encoder = [], [], ""
    for repeat in range(REPEATS):
        cfg = compose_config([f"model={name}", *overrides, f"repeat={repeat}"])
        data = make_data(cfg)
        torch.manual_seed(derive_seed(cfg.seed, repeat))
        network, encoder = _build(cfg.model)
        data.setup()
        batch = data.on_after_batch_transfer(Batch(*next(iter(data.train_dataloader()))), 0)
        torch.manual_seed(derive_seed(cfg.seed, repeat, 0))
        logits.append(_first_logits(network, batch.images))
        masks.append(batch.masks)
    return summarise(name, encoder, logits, masks, losses)


def summarise(
    name: str, encoder: str, logits: Sequence[Tensor], masks: Sequence[Tensor], losses: dict[str, nn.Module]
) -> Start:
    """A network's start from its first logits and the true masks, both ``(N, 1, H, W)`` for each repeat."""
    predicted = [values.sigmoid() > 0.5 for values in logits]
    wrong = [guess != mask.bool() for guess, mask in zip(predicted, masks, strict=True)]
    pulls = {}
    for key, loss in losses.items():
        found, usual = (
            sum(_pull(loss, start, mask, where) for start, mask, where in zip(starts, masks, wrong, strict=True))
            for starts in (logits, [torch.zeros_like(values) for values in logits])
        )
        pulls[key] = found / usual if usual else float("nan")
    return Start(
        name,
        encoder,
        lesion=torch.cat(predicted).float().mean().item(),
        truly=torch.cat(list(masks)).float().mean().item(),
        sigmoids=tuple(values.sigmoid().mean().item() for values in logits),
        pulls=pulls,
    )


def _build(model: DictConfig) -> tuple[nn.Module, str]:
    if "pretrained" not in model:
        return build_nameless(model, "model"), "none"
    if model.pretrained:
        state = torch.get_rng_state()
        try:
            return build_nameless(model, "model"), "pretrained"
        except UserError:  # offline; what else may be wrong is wrong without weights too
            torch.set_rng_state(state)
    return build_nameless(without_weights(model), "model"), "random"


@torch.no_grad()
def _first_logits(network: nn.Module, images: Tensor) -> Tensor:
    outputs = network.train()(images)
    return (outputs if isinstance(outputs, Tensor) else outputs[0]).float()


def _pull(loss: nn.Module, logits: Tensor, masks: Tensor, where: Tensor) -> float:
    logits = logits.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, masks), logits)
    return gradient[where].abs().sum().item()


def as_table(starts: Sequence[Start]) -> Table:
    """A table for the terminal."""
    table = Table(box=SIMPLE, pad_edge=False, caption=CAPTION)
    for title in ("name", "encoder"):
        table.add_column(title)
    for title in (*_TITLES[2:], *BASIC_LOSSES.values()):
        table.add_column(title, justify="right")
    for start in starts:
        table.add_row(start.name, *_cells(start))
    return table


def as_markdown(starts: Sequence[Start]) -> str:
    """A Markdown table for the documentation."""
    lines = [[*_TITLES, *BASIC_LOSSES.values()], ["---"] * 2 + ["---:"] * (len(_TITLES) - 2 + len(BASIC_LOSSES))]
    lines += [[f"`{start.name}`", *_cells(start)] for start in starts]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{CAPTION}\n"


def _cells(start: Start) -> list[str]:
    low, high = min(start.sigmoids), max(start.sigmoids)
    mean = sum(start.sigmoids) / len(start.sigmoids)
    pulls = [f"{start.pulls[loss]:.2f}{'*' if start.pulls[loss] < WEAK else ''}" for loss in BASIC_LOSSES]
    shares = [f"{start.lesion:.0%}", f"{start.truly:.0%}", f"{mean:.2f}", f"{low:.2f}-{high:.2f}"]
    return [start.encoder, *shares, *pulls]
