"""One run as a careful user would write it with PyTorch and segmentation_models_pytorch: a yardstick.

python benchmarks/plain_script.py path/to/wound --network resnet18 --loss dice_bce --repeat 0 --out run.json
"""

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lightning_seg.models import UNet

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class Images(Dataset):
    """Opens, converts and resizes with Pillow, for each image of each epoch."""

    def __init__(self, pairs: list[tuple[Path, Path]], size: int) -> None:
        self.pairs, self.size = pairs, size

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, mask = (Image.open(path) for path in self.pairs[index])
        size = (self.size, self.size)
        pixels = np.array(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))
        lesion = np.array(mask.convert("L").resize(size, Image.Resampling.NEAREST)) > 127
        tensor = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
        return (tensor - MEAN) / STD, torch.from_numpy(lesion).float()[None]


class SmallNet(nn.Sequential):
    """So small that loading images takes longer than training on them."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 4, stride=4),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 1, 3, padding=1),
            nn.Upsample(scale_factor=4, mode="bilinear"),
        )


class PlainUNet(UNet):
    """This package's U-Net with one map out, in training too."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.outputs(images)[0]


def make_network(name: str) -> nn.Module:
    """``small``, ``unet`` (of this package), or smp's U-Net on the encoder of that name."""
    if name == "small":
        return SmallNet()
    if name == "unet":
        return PlainUNet()
    import segmentation_models_pytorch as smp

    return smp.Unet(name, encoder_weights=None)


def make_loss(name: str):
    """The sum of the losses in ``name``, such as ``dice_bce``."""
    import segmentation_models_pytorch as smp

    terms = {
        "iou": smp.losses.JaccardLoss("binary"),
        "dice": smp.losses.DiceLoss("binary"),
        "bce": F.binary_cross_entropy_with_logits,
        "focal": smp.losses.FocalLoss("binary", alpha=0.8, gamma=0.2),
    }
    chosen = [terms[term] for term in name.split("_")]
    return lambda logits, masks: sum(term(logits, masks) for term in chosen)


def find_pairs(root: Path) -> list[tuple[Path, Path]]:
    """Image and mask files of the foot-ulcer data set."""
    images = sorted(path for path in root.rglob("images/*.png") if (path.parents[1] / "labels" / path.name).is_file())
    return [(path, path.parents[1] / "labels" / path.name) for path in images]


@torch.no_grad()
def dice(network: nn.Module, loader: DataLoader) -> float:
    """Mean Dice over images."""
    network.eval()
    values = []
    for images, masks in loader:
        predicted = network(images) > 0
        both = (predicted & (masks > 0)).sum((1, 2, 3))
        total = predicted.sum((1, 2, 3)) + masks.sum((1, 2, 3))
        values.append(torch.where(total > 0, 2 * both / total.clamp(min=1), 1.0))
    return torch.cat(values).mean().item()


def parse_arguments(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--network", default="small")
    parser.add_argument("--loss", default="dice_bce")
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments(__doc__)
    torch.manual_seed(arguments.repeat)
    pairs = find_pairs(arguments.root)
    order = np.random.default_rng(arguments.repeat).permutation(len(pairs))
    cuts = round(0.6 * len(pairs)), round(0.8 * len(pairs))
    train, val, test = (
        DataLoader(
            Images([pairs[i] for i in part], arguments.size),
            batch_size=8,
            shuffle=number == 0,
            num_workers=2,
            persistent_workers=number < 2,
        )
        for number, part in enumerate(np.split(order, cuts))
    )
    network, loss = make_network(arguments.network), make_loss(arguments.loss)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    best, best_weights = -1.0, network.state_dict()
    for epoch in range(arguments.epochs):
        network.train()
        for images, masks in train:
            optimizer.zero_grad()
            value = loss(network(images), masks)
            value.backward()
            optimizer.step()
        score = dice(network, val)
        print(f"epoch {epoch}: loss {value.item():.4f}, val Dice {score:.4f}")
        if score > best:
            best, best_weights = score, copy.deepcopy(network.state_dict())
    network.load_state_dict(best_weights)
    arguments.out.write_text(json.dumps({"val": best, "test": dice(network, test)}))


if __name__ == "__main__":
    main()
