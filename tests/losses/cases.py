"""Every loss that can be chosen by name, and batches to try it on."""

from functools import cache
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "loss").glob("*.yaml") if path.stem != "monai")


def loss_config(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(overrides=list(overrides)).loss


@cache
def named(name: str) -> nn.Module:
    """The loss that ``loss=<name>`` chooses."""
    config = loss_config(f"+loss={name}")
    return instantiate({key: value for key, value in config.items() if key != "name"})


def batch(images: int = 3, side: int = 12, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Random logits, and masks whose lesions grow from image to image."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(images, 1, side, side, generator=generator, dtype=dtype)
    share = torch.linspace(0.05, 0.7, images).view(-1, 1, 1, 1)
    return logits, (torch.rand(logits.shape, generator=generator) < share).to(dtype)


def discs(side: int = 16, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Random logits, and round lesions of 1, 3 and 5 pixels' radius off the centre."""
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    masks = torch.stack([torch.hypot(rows - 6.0, columns - 7.0) <= radius for radius in (1, 3, 5)])[:, None]
    return 3 * torch.randn(masks.shape, generator=generator, dtype=dtype), masks.to(dtype)
