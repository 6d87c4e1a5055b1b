"""Is the verdict calibrated on real trainings, whose truth is known? Trains, judges, and prints the table.

    python benchmarks/calibration.py FOLDER [datasets]

``synthetic`` draws any number of images, so that the truth can be had. Each of many independent datasets is divided and
trained on as a study would be: 4 losses, 2 small networks, 5 repeats, once with random splits and once with 5 folds. A
second Dice, from other initial weights, is a loss that is equal to the first by construction, with all noise real. The
truth is that of further trainings, each on a dataset of its own and tested on 5,000 images that none has seen.

Trainings are a plain loop of the paper's protocol (Adam, the best epoch by validation Dice, the same split, weights and
order for all losses of a repeat) at a size at which a run takes a second. What is finished is not run again, so that the
command can be stopped and started as one likes; it prints the table of what there is.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from lightning_seg.data import Synthetic
from lightning_seg.data.split import Fractions, make_split
from lightning_seg.losses import BCELoss, DiceLoss, FocalLoss, IoULoss
from lightning_seg.metrics import confusion_counts, image_scores
from lightning_seg.seed import derive_seed

DATASETS, TRUTHS = 40, 60
IMAGES, FRESH, SIZE = 160, 5_000, 24
REPEATS, EPOCHS, BATCH, RATE = 5, 16, 16, 1e-2
FRACTIONS = Fractions(train=0.6, val=0.2, test=0.2)
AGAIN = "dice again"  # Dice under another name, from other initial weights
LOSSES = {
    "bce": BCELoss(),
    "dice": DiceLoss(),
    "focal": FocalLoss(alpha=0.8, gamma=0.2),
    "iou": IoULoss(),
    AGAIN: DiceLoss(),
}
SPLITS = ("random", "kfold")
# Seeds of datasets: those of studies, of the truth's trainings, and of the images that it is tested on.
_OF_TRUTH, _OF_FRESH = 100_000, 999_999


class Hourglass(nn.Module):
    """Three levels of convolutions down and up again, with or without the finest level's skip connection."""

    def __init__(self, width: int = 8, skip: bool = True) -> None:
        super().__init__()
        self.skip = skip
        self.down = nn.ModuleList(_block(a, b) for a, b in ((3, width), (width, 2 * width), (2 * width, 2 * width)))
        self.up = nn.ModuleList([_block(4 * width, width), _block(2 * width if skip else width, width)])
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.down[0](images)
        middle = self.down[1](F.max_pool2d(fine, 2))
        coarse = self.down[2](F.max_pool2d(middle, 2))
        x = self.up[0](torch.cat([middle, F.interpolate(coarse, scale_factor=2)], 1))
        x = F.interpolate(x, scale_factor=2)
        return self.head(self.up[1](torch.cat([fine, x], 1) if self.skip else x))


def _block(channels: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())


MODELS = {"skipping": Hourglass, "hourglass": lambda: Hourglass(skip=False)}


def pictures(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Images, float (N, 3, H, W) about 0, and masks, float (N, 1, H, W), of a synthetic dataset."""
    dataset = Synthetic(count, seed)
    pairs = [dataset.read(index, SIZE) for index in range(count)]
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images, torch.from_numpy(np.stack([mask for _, mask in pairs]))[:, None].float()


def dice_of(model: nn.Module, images: Tensor, masks: Tensor) -> NDArray[np.float64]:
    """Dice of every image, (N,)."""
    model.eval()
    with torch.no_grad():
        counts = [confusion_counts(model(x), y) for x, y in zip(images.split(256), masks.split(256), strict=True)]
    return image_scores(torch.cat(counts))["dice"].numpy()


def train(model: nn.Module, loss: nn.Module, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> nn.Module:
    """Train, and put back the weights of the best epoch by validation Dice."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    best, weights = -1.0, model.state_dict()
    for _ in range(EPOCHS):
        model.train()
        for chosen in torch.randperm(len(train[0])).split(BATCH):
            optimizer.zero_grad()
            loss(model(train[0][chosen]), train[1][chosen]).backward()
            optimizer.step()
        score = dice_of(model, *val).mean()
        if score > best:
            best, weights = score, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    return model


def trained(seed: int, split: str, repeat: int, tested: tuple[Tensor, Tensor] | None) -> Mapping[str, NDArray]:
    """Dice of the test images of one repeat: (models, losses, images), and the positions of the images.

    Args:
        seed: of the dataset and of all that is random.
        tested: other images to test on than the split's.
    """
    images, masks = pictures(seed, IMAGES)
    parts = make_split(split, Synthetic(IMAGES, seed), FRACTIONS, seed, repeat)
    subset = {name: (images[part], masks[part]) for name, part in parts._asdict().items()}
    dice = []
    for name, build in MODELS.items():
        for loss_name, loss in LOSSES.items():
            torch.manual_seed(derive_seed(seed, repeat, list(MODELS).index(name), loss_name == AGAIN))
            model = train(build(), loss, subset["train"], subset["val"])
            dice.append(dice_of(model, *(tested or subset["test"])))
    table = np.stack(dice).reshape(len(MODELS), len(LOSSES), -1)
    return {"dice": table.mean(axis=-1) if tested else table, "images": parts.test}


def finish(folder: Path, datasets: int) -> None:
    """Train what is not there yet."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    fresh: tuple[Tensor, Tensor] | None = None
    jobs = [("random", n, r) for n in range(datasets) for r in range(REPEATS)]
    further = [("truth", _OF_TRUTH + n, 0) for n in range(TRUTHS)]
    folds = [("kfold", n, r) for n in range(datasets) for r in range(REPEATS)]
    for kind, seed, repeat in [*further[: TRUTHS // 2], *jobs, *further[TRUTHS // 2 :], *folds]:
        path = folder / f"{kind}-{seed}-{repeat}.npz"
        if path.exists():
            continue
        if kind == "truth" and fresh is None:
            fresh = pictures(_OF_FRESH, FRESH)
        found = trained(seed, "random" if kind == "truth" else kind, repeat, fresh if kind == "truth" else None)
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, **found)
        unfinished.rename(path)
        print(path.name, found["dice"].reshape(len(MODELS), len(LOSSES), -1).mean(-1).round(3).tolist(), flush=True)


if __name__ == "__main__":
    finish(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else DATASETS)
