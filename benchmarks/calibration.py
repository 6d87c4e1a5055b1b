"""Is the verdict calibrated on real trainings, whose truth is known? Trains, judges, and prints the table.

    python benchmarks/calibration.py FOLDER [datasets]

``synthetic`` draws any number of images, so that the truth can be had. Each of many independent datasets is divided and
trained on as a study would be: 4 losses, 2 small networks, 5 repeats, once with random splits and once with 5 folds. A
second Dice, from other initial weights, is a loss that is equal to the first by construction, with all noise real. The
truth is that of further trainings, each on a dataset of its own and tested on 5,000 images that none has seen.

Trainings are a plain loop of the paper's protocol (Adam, the best epoch by validation Dice, the same split, weights
and order for all losses of a repeat) at a size at which a run takes a second. What is finished is not run again, so
that the command can be stopped and started as one likes; it prints the table of what there is.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from lightning_seg.data import Synthetic
from lightning_seg.data.split import Fractions, make_split
from lightning_seg.losses import BCELoss, DiceLoss, FocalLoss, IoULoss
from lightning_seg.metrics import confusion_counts, image_scores
from lightning_seg.report.contrasts import TEST_TO_TRAIN, Scope, components
from lightning_seg.report.studentized import critical_range
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


Study = tuple[NDArray[np.float64], list[NDArray[np.int64]], list[NDArray[np.float64]]]
Method = Callable[[pd.DataFrame, Study], tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]


def studies(folder: Path, kind: str) -> dict[int, Study]:
    """Every dataset whose repeats are all there: Dice of runs, (repeats, models, losses); positions and Dice of the
    test images, (models, losses, images), of every repeat."""
    found: dict[int, dict[int, Mapping[str, NDArray]]] = {}
    for path in folder.glob(f"{kind}-*-?.npz"):
        _, seed, repeat = path.stem.split("-")
        with np.load(path) as kept:
            found.setdefault(int(seed), {})[int(repeat)] = dict(kept)
    return {
        seed: (
            np.stack([repeats[n]["dice"].mean(axis=-1) for n in range(REPEATS)]),
            [repeats[n]["images"] for n in range(REPEATS)],
            [repeats[n]["dice"] for n in range(REPEATS)],
        )
        for seed, repeats in sorted(found.items())
        if len(repeats) == REPEATS
    }


def truth(folder: Path) -> tuple[NDArray[np.float64], int]:
    """Mean Dice over models on fresh images, (losses,), and of how many trainings of each it is."""
    dice = [np.load(path)["dice"] for path in sorted(folder.glob("truth-*-0.npz"))]
    return np.mean(dice, axis=(0, 1)), len(dice)


def table_of(chosen: Mapping[int, Study]) -> pd.DataFrame:
    """Pairs table, (dataset, model, repeat) x losses."""
    index = pd.MultiIndex.from_product([chosen, MODELS, range(REPEATS)], names=["dataset", "model", "repeat"])
    dice = np.stack([study[0].swapaxes(0, 1) for study in chosen.values()])
    return pd.DataFrame(dice.reshape(-1, len(LOSSES)), index, list(LOSSES))


def corrected(pairs: pd.DataFrame, study: Study) -> tuple[NDArray, NDArray, NDArray]:
    """The corrected resampled t-test over all blocks as independent, pooled, Bonferroni over pairs."""
    groups = pairs.groupby(level=["dataset", "model"])
    inside = (pairs - groups.transform("mean")).to_numpy()
    df = len(pairs) - groups.ngroups
    own = _differences(inside.T @ inside / df)
    upper = np.triu_indices(len(LOSSES), 1)
    variance = np.maximum(own, own[upper].mean()) * (1 / REPEATS + TEST_TO_TRAIN) / groups.ngroups
    df *= len(LOSSES) - 1
    return np.sqrt(variance), stats.t.isf(0.025, df), stats.t.isf(0.025 / len(upper[0]), df)


def analysis(pairs: pd.DataFrame, study: Study, ratio: float = TEST_TO_TRAIN) -> tuple[NDArray, NDArray, NDArray]:
    """The report's, for these datasets and models."""
    found = components(pairs, ratio).here()
    wide = critical_range(0.05, len(LOSSES), found.pair_df) / np.sqrt(2)
    return np.sqrt(found.variances), stats.t.isf(0.025, found.pair_df), wide


def crossed(pairs: pd.DataFrame, study: Study) -> tuple[NDArray, NDArray, NDArray]:
    """Images crossed with runs: runs as in :func:`analysis`, and what tests of the same images share, as measured.

    An image that favours a loss in one run favours it in the next. The mean product of an image's scores in two runs
    is that part of the variance; two repeats share it by as many images as they both test.
    """
    found = components(pairs, 0.0).here()
    count, losses = IMAGES, len(LOSSES)
    sums, squares = np.zeros((count, losses)), np.zeros((count, losses, losses))
    tested, pairs_of_runs = np.zeros(count), np.zeros(count)
    for images, dice in zip(study[1], study[2], strict=True):
        centred = dice - dice.mean(axis=1, keepdims=True)
        centred = centred - centred.mean(axis=-1, keepdims=True)
        for scores in centred:
            sums[images] += scores.T
            squares[images] += np.einsum("in,jn->nij", scores, scores)
            tested[images] += 1
    pairs_of_runs = tested * (tested - 1)
    shared = (np.einsum("ni,nj->ij", sums, sums) - squares.sum(axis=0)) / pairs_of_runs.sum()
    times = np.bincount(np.concatenate(study[1]), minlength=count)
    overlap = float((times * (times - 1)).sum()) / times.sum() ** 2
    variances = np.maximum(found.variances + np.maximum(_differences(shared), 0.0) * overlap, 0.0)
    wide = critical_range(0.05, losses, found.pair_df) / np.sqrt(2)
    return np.sqrt(variances), stats.t.isf(0.025, found.pair_df), wide


def of_images(pairs: pd.DataFrame, study: Study) -> tuple[NDArray, NDArray, NDArray]:
    """Images alone, after Bayle et al. (2020): the variance of per-image differences, pooled within folds."""
    total, count = np.zeros((len(LOSSES), len(LOSSES))), 0
    for dice in study[2]:
        scores = dice.mean(axis=0)
        centred = scores - scores.mean(axis=-1, keepdims=True)
        total, count = total + centred @ centred.T / (scores.shape[-1] - 1), count + scores.shape[-1]
    variances = _differences(total / REPEATS) / count
    df = float(count - REPEATS)
    return np.sqrt(variances), stats.t.isf(0.025, df), critical_range(0.05, len(LOSSES), df) / np.sqrt(2)


METHODS: dict[str, Method] = {
    "corrected t, blocks independent (before)": corrected,
    "this analysis": analysis,
    "images crossed with runs": crossed,
    "images alone (Bayle)": of_images,
}


def _differences(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    variance = np.diag(covariance)
    return np.maximum(variance[:, None] + variance[None, :] - 2 * covariance, 0.0)


def show(folder: Path) -> None:
    """Print what there is, as Markdown."""
    true, trainings = truth(folder)
    upper = np.triu_indices(len(LOSSES), 1)
    same = (list(LOSSES).index("dice"), list(LOSSES).index(AGAIN))
    print(f"truth of {trainings} trainings: {dict(zip(LOSSES, true.round(4).tolist(), strict=True))}")
    for kind in SPLITS:
        chosen = studies(folder, kind)
        if not chosen:
            continue
        print(f"\n{kind}: {len(chosen)} datasets x {len(MODELS)} models x {REPEATS} repeats, each dataset a study")
        print("| method | detectable | Dice told from Dice | 0 in its interval | fresh truth in interval | wrong way |")
        print("|---|---:|---:|---:|---:|---:|")
        base = None
        for name, method in METHODS.items():
            rows = []
            for seed, study in chosen.items():
                pairs = table_of({seed: study})
                means = pairs.mean().to_numpy()
                error, single, wide = method(pairs, study)
                difference, aim = means[:, None] - means[None, :], true[:, None] - true[None, :]
                told = np.abs(difference) > wide * error + 1e-12
                covered = np.abs(difference - aim) <= single * error
                rows.append(
                    (
                        float(np.median((wide + 0.84) * error[upper])),
                        told[same],
                        np.abs(difference[same]) <= single * error[same],
                        covered[upper].mean(),
                        (told & (np.sign(difference) != np.sign(aim)))[upper].any(),
                    )
                )
            found = np.mean(np.array(rows, dtype=float), axis=0)
            base = base or found[0]
            shown = " | ".join(f"{100 * value:.0f} %" for value in found[1:])
            print(f"| {name} | {100 * found[0]:.2f} ({found[0] / base:.2f}) | {shown} |")
        _show_groups(chosen, true)


def _show_groups(chosen: Mapping[int, Study], true: NDArray[np.float64], size: int = 4) -> None:
    """Studies of several datasets, for other datasets like these: there the truth is that of fresh images."""
    seeds, upper, rows = list(chosen), np.triu_indices(len(LOSSES), 1), []
    for start in range(0, len(seeds) - size + 1, size):
        pairs = table_of({seed: chosen[seed] for seed in seeds[start : start + size]})
        parts = components(pairs, TEST_TO_TRAIN)
        aim = true[:, None] - true[None, :]
        for scope in (Scope.HERE, Scope.DATASETS):
            found = parts.contrasts(scope)
            if found is None:
                continue
            difference = found.means[:, None] - found.means[None, :]
            single = stats.t.isf(0.025, found.pair_df) * np.sqrt(found.variances)
            told = np.abs(difference) > found.margins
            wrong = (told & (np.sign(difference) != np.sign(aim)))[upper].any()
            rows.append((scope, (np.abs(difference - aim) <= single)[upper].mean(), wrong, told[upper].mean()))
    if not rows:
        return
    table = pd.DataFrame(rows, columns=["scope", "truth in interval", "wrong way", "pairs told"])
    print(f"\n{len(table) // 2} studies of {size} datasets, against the truth of fresh images")
    print("| scope | truth in interval | wrong way | pairs told |\n|---|---:|---:|---:|")
    for scope, found in table.groupby("scope", sort=False).mean(numeric_only=False).iterrows():
        print(f"| {scope} | {' | '.join(f'{100 * float(value):.0f} %' for value in found)} |")


if __name__ == "__main__":
    finish(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else DATASETS)
    show(Path(sys.argv[1]))
