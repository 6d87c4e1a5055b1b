"""Made-up studies with a known truth, in the layout of the run records."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import lightning_seg
from lightning_seg.metrics.measures import MEASURES

LOSSES = ["iou", "dice", "bce", "focal", "iou_dice", "iou_bce", "iou_focal", "dice_bce", "dice_focal", "bce_focal"]
DATASETS = ["isic", "wound", "clinicdb", "kvasir", "breast_benign", "breast_malignant"]
MODELS = [
    *["fcn", "deeplabv3plus", "unet", "unetplusplus", "colonsegnet", "fatnet"],
    *["fcbformer", "colonformer", "caranet", "esfpnet", "ducknet", "emcadnet"],
]


@dataclass
class Truth:
    """How a made-up study's Dice come about: sums of normal effects, in Dice (0-1)."""

    effects: dict[str, float] = field(default_factory=dict)  # of a loss, 0 where absent
    dataset_sd: float = 0.05
    model_sd: float = 0.03
    interaction_sd: float = 0.004  # loss x block
    split_sd: float = 0.01  # what all runs of a split share
    run_sd: float = 0.008  # one run
    image_sd: float = 0.12  # one image, shared by all losses
    image_loss_sd: float = 0.05  # one image under one run
    loss_dataset_sd: float = 0.0  # loss x dataset
    resplit_sd: float = 0.0  # loss x block, of the images that all its repeats re-split: no part of the true means


def simulate(
    rng: np.random.Generator,
    datasets: list[str],
    models: list[str],
    losses: list[str],
    repeats: int,
    images: int,
    truth: Truth,
) -> tuple[np.ndarray, np.ndarray]:
    """Dice of every image, (dataset, model, repeat, loss, image), and true block means, (dataset, model, loss)."""
    n_d, n_m, n_l = len(datasets), len(models), len(losses)
    effects = np.array([truth.effects.get(loss, 0.0) for loss in losses])
    level = 0.8 + rng.normal(0, truth.dataset_sd, (n_d, 1)) + rng.normal(0, truth.model_sd, (1, n_m))
    cell = level[:, :, None] + effects + rng.normal(0, truth.interaction_sd, (n_d, n_m, n_l))
    if truth.loss_dataset_sd:
        cell = cell + rng.normal(0, truth.loss_dataset_sd, (n_d, 1, n_l))
    run = cell[:, :, None, :] + rng.normal(0, truth.run_sd, (n_d, n_m, repeats, n_l))
    if truth.resplit_sd:
        run = run + rng.normal(0, truth.resplit_sd, (n_d, n_m, 1, n_l))
    run = run + rng.normal(0, truth.split_sd, (n_d, 1, repeats, 1))
    dice = run[..., None] + rng.normal(0, truth.image_sd, (n_d, 1, repeats, 1, images))
    dice = dice + rng.normal(0, truth.image_loss_sd, dice.shape)
    return dice, cell


def make_study(
    directory: Path,
    datasets: list[str] = DATASETS[:2],
    models: list[str] = MODELS[:2],
    losses: list[str] = LOSSES,
    repeats: int = 3,
    images: int = 12,
    epochs: int = 6,
    seed: int = 0,
    truth: Truth | None = None,
    cases: int = 2,
    case_size: int = 32,
    config: dict[str, Any] | None = None,
    measures: dict[str, float] | None = None,
) -> Path:
    """Write a study of finished runs and return its folder.

    Args:
        cases: example images for which the first repeat keeps logits; 0 for none.
        config: more settings of every run.
        measures: loss -> by how much its measures of masks are better than others'; None for studies without them.
    """
    rng = np.random.default_rng(seed)
    truth = truth or Truth()
    dice, _ = simulate(rng, datasets, models, losses, repeats, images, truth)
    dice = np.clip(dice, 0.0, 1.0)
    pixels = 224 * 224
    for d, dataset in enumerate(datasets):
        for r in range(repeats):
            size = np.exp(rng.normal(-2.5, 0.8, images)).clip(0.002, 0.6)
            lesion = np.maximum((size * pixels).astype(int), 1)
            contrast = rng.uniform(0.02, 0.5, images)
            ids = [f"{dataset}_{k:04d}" for k in rng.permutation(5 * images)[:images]]
            examples = _examples(rng, cases, case_size) if r == 0 and cases else None
            for m, model in enumerate(models):
                for k, loss in enumerate(losses):
                    folder = directory / dataset / model / loss / f"repeat_{r}"
                    rows = _image_rows(rng, ids, lesion, dice[d, m, r, k], pixels, contrast)
                    write_run(folder, dataset, model, loss, r, rows, epochs=epochs, config=config)
                    if measures is not None:
                        write_measures(folder, np.random.default_rng([d, m, r, k]), ids, measures.get(loss, 0.0))
                    if examples is not None:
                        write_cases(folder, rng, ids[:cases], *examples)
    return directory


def write_run(
    folder: Path,
    dataset: str,
    model: str,
    loss: str,
    repeat: int,
    rows: list[tuple[Any, ...]],
    status: str = "finished",
    epochs: int = 6,
    config: dict[str, Any] | None = None,
    version: str = lightning_seg.__version__,
    overrides: Sequence[str] = (),
) -> None:
    """Write one run's records from rows of (id, tp, fp, fn, tn, dice, iou, precision, recall, contrast)."""
    folder.mkdir(parents=True, exist_ok=True)
    values = np.array([row[5:9] for row in rows], dtype=float)
    test = dict(zip(("dice", "iou", "precision", "recall"), values.mean(axis=0).tolist(), strict=True))
    settings = {
        "dataset": {"name": dataset, "size": 224},
        "model": {"name": model},
        "loss": {"name": loss},
        "repeat": repeat,
        "seed": 42,
        "trainer": {"max_epochs": 200, "batch_size": 8},
        **(config or {}),
    }
    result = {
        "status": status,
        "dataset": dataset,
        "model": model,
        "loss": loss,
        "repeat": repeat,
        "fingerprint": f"{hash((dataset, model, loss, repeat)) & 0xFFFFFFFF:08x}",
        "overrides": list(overrides),
        "config": settings,
        "seed": 42,
        "versions": {"lightning_seg": version, "torch": "2.6.0"},
        "device": "cpu",
        "parameters": 1_000_000 * (1 + len(model)),
        "epochs": epochs,
        "best_epoch": max(epochs - 2, 0),
        "best_val_dice": test["dice"],
        "test": test,
        "siblings_in_training": repeat + 1,
        "images": {"train": 3 * len(rows), "val": len(rows), "test": len(rows)},
        "seconds": {"data": 1.0, "fit": 10.0 * (1 + len(model)) + len(loss), "test": 0.5},
    }
    (folder / "result.json").write_text(json.dumps(result))
    lines = ["id,tp,fp,fn,tn,dice,iou,precision,recall,contrast"]
    lines += [
        f"{i},{tp},{fp},{fn},{tn},{dice:.6f},{iou:.6f},{precision:.6f},{recall:.6f},{contrast:.4f}"
        for i, tp, fp, fn, tn, dice, iou, precision, recall, contrast in rows
    ]
    (folder / "test_images.csv").write_text("\n".join(lines) + "\n")
    curve = [
        f"{e},{1 / (e + 1.5):.4f},{1 / (e + 1.2):.4f},{test['dice'] * (1 - np.exp(-e - 1)):.4f}" for e in range(epochs)
    ]
    (folder / "metrics.csv").write_text("\n".join(["epoch,train_loss,val_loss,val_dice", *curve]) + "\n")
    (folder / "split.json").write_text(json.dumps({"train": [], "val": [], "test": [row[0] for row in rows]}))


def write_measures(folder: Path, rng: np.random.Generator, ids: Sequence[str], better: float) -> None:
    """Write ``test_measures.csv``; of two lesions of every image one is missed in some."""
    level = (0.7 + better + rng.normal(0, 0.005) + rng.normal(0, 0.05, len(ids))).clip(0, 1)
    columns = {name: 1 - level if name == "hd95" else level for name in MEASURES}
    columns |= {"lesions": np.full(len(ids), 2), "lesions_missed": (level < 0.7).astype(int)}
    lines = [
        ",".join(["id", *columns]),
        *(",".join([i, *(f"{v:.6g}" for v in row)]) for i, *row in zip(ids, *columns.values(), strict=True)),
    ]
    (folder / "test_measures.csv").write_text("\n".join(lines) + "\n")


def collapse_run(folder: Path, images: int = 12, pixels: int = 224 * 224) -> None:
    """Overwrite a run's records with one that predicts background everywhere."""
    dataset, model, loss = folder.parts[-4:-1]
    rows = [(f"{dataset}_{k:04d}", 0, 0, 500, pixels - 500, 0.0, 0.0, 0.0, 0.0, 0.1) for k in range(images)]
    write_run(folder, dataset, model, loss, int(folder.name.split("_")[1]), rows)


def write_cases(folder: Path, rng: np.random.Generator, ids: list[str], images: np.ndarray, masks: np.ndarray) -> None:
    """Write ``cases.npz`` with logits that follow the masks."""
    noise = rng.normal(0, 1.5, masks.shape)
    logits = (6.0 * masks - 3.0 + noise).astype(np.float16)
    np.savez_compressed(folder / "cases.npz", ids=np.array(ids), logits=logits, images=images, masks=masks)


def _examples(rng: np.random.Generator, cases: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of a disc on noise: uint8 (n, 3, H, W), and masks: uint8 (n, H, W)."""
    y, x = np.mgrid[:size, :size]
    masks = np.zeros((cases, size, size), dtype=np.uint8)
    for n in range(cases):
        cy, cx, radius = rng.uniform(0.3, 0.7, 3) * [size, size, 0.4 * size]
        masks[n] = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
    base = np.array([190, 140, 120])[:, None, None] + rng.normal(0, 12, (cases, 3, size, size))
    return np.clip(base - 60 * masks[:, None], 0, 255).astype(np.uint8), masks


def _image_rows(
    rng: np.random.Generator,
    ids: list[str],
    lesion: np.ndarray,
    dice: np.ndarray,
    pixels: int,
    contrast: np.ndarray,
) -> list[tuple[Any, ...]]:
    recall = np.clip(dice + rng.normal(0, 0.02, len(ids)), 0.001, 1.0)
    tp = np.round(recall * lesion * (dice > 0)).astype(int)
    predicted = np.where(dice > 0, np.maximum(2 * tp / np.maximum(dice, 1e-6) - lesion, tp), 0).astype(int)
    fp = np.minimum(predicted - tp, pixels - lesion).clip(0)
    fn = lesion - tp
    iou = dice / (2 - dice)
    precision = np.where(predicted > 0, tp / np.maximum(tp + fp, 1), 0.0)
    columns = (tp, fp, fn, pixels - tp - fp - fn, dice, iou, precision, tp / lesion, contrast)
    return list(zip(ids, *(column.tolist() for column in columns), strict=True))
