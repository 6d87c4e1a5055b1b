"""The example test images that runs keep with their logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from scipy.ndimage import binary_erosion

from lightning_seg.report.records import Study

TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = (217, 217, 217), (213, 94, 0), (0, 114, 178)


@dataclass
class Case:
    """One test image with every loss's output.

    Attributes:
        image: uint8, (3, H, W).
        mask: uint8, (H, W), lesion > 0.
        logits: loss -> float, (H, W).
    """

    dataset: str
    model: str
    repeat: int
    id: str
    image: np.ndarray
    mask: np.ndarray
    logits: dict[str, np.ndarray]

    def predictions(self, threshold: str) -> dict[str, np.ndarray]:
        """Binary predictions, bool (H, W): "sigmoid" for sigmoid > 0.5, "mean" for logit > the image's mean logit."""
        return {
            loss: logit > (0.0 if threshold == "sigmoid" else float(np.mean(logit, dtype=np.float64)))
            for loss, logit in self.logits.items()
        }

    @property
    def disagreement(self) -> float:
        """Standard deviation over losses of the Dice on this image."""
        return float(np.std(list(self.dice().values()))) if self.logits else 0.0

    def dice(self, threshold: str = "sigmoid") -> dict[str, float]:
        """Dice of every loss on this image; 1 where mask and prediction are both empty."""
        truth = self.mask > 0
        result = {}
        for loss, prediction in self.predictions(threshold).items():
            total = int(prediction.sum() + truth.sum())
            result[loss] = 2 * int((prediction & truth).sum()) / total if total else 1.0
        return result


def load_cases(study: Study, losses: Sequence[str]) -> tuple[list[Case], list[str]]:
    """Example images of one model and repeat per dataset: the one with most losses, then the best mean Dice.

    Returns:
        the cases, and sentences on files that could not be read.
    """
    usable = study.runs[study.runs["test_dice"].notna() & study.runs["loss"].isin(losses)]
    cases: list[Case] = []
    problems: list[str] = []
    for _, rows in usable.groupby("dataset", sort=True):
        rows = rows[[(study.directory / path / "cases.npz").is_file() for path in rows["path"]]]
        if rows.empty:
            continue
        groups = rows.groupby(["model", "repeat"])["test_dice"].agg(["size", "mean"])
        model, repeat = groups.sort_values(["size", "mean"], ascending=False, kind="stable").index[0]
        chosen = rows[(rows["model"] == model) & (rows["repeat"] == repeat)]
        cases += _join(study.directory, chosen, problems)
    return cases, problems


def error_map(prediction: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Colours by kind of pixel, uint8 (H, W, 3): hit grey, false positive orange, false negative blue, rest black."""
    truth = mask > 0
    colours = np.zeros((*mask.shape, 3), dtype=np.uint8)
    colours[prediction & truth] = TRUE_POSITIVE
    colours[prediction & ~truth] = FALSE_POSITIVE
    colours[~prediction & truth] = FALSE_NEGATIVE
    return colours


def outlines(prediction: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lines to lay over the image, uint8 (H, W, 4), else clear: the mask's white, the prediction's orange on top."""
    pixels = np.zeros((*mask.shape, 4), dtype=np.uint8)
    pixels[_outline(mask > 0)] = (255, 255, 255, 255)
    pixels[_outline(prediction)] = (*FALSE_POSITIVE, 255)
    return pixels


def _outline(region: np.ndarray) -> np.ndarray:
    """A region's edge, two pixels wide where a small picture of the image would lose a thinner one.

    The image's border is an edge too.
    """
    width = max(1, round(min(region.shape) / 112))
    return region & ~binary_erosion(region, iterations=width)


def _join(directory: Path, rows: pd.DataFrame, problems: list[str]) -> list[Case]:
    found: dict[str, Case] = {}
    for row in rows.itertuples():
        path = directory / str(row.path) / "cases.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                ids, logits, images, masks = (file[name] for name in ("ids", "logits", "images", "masks"))
            if not len(ids) == len(logits) == len(images) == len(masks) or logits.shape != masks.shape:
                raise ValueError("its arrays do not fit one another")
        except (OSError, ValueError, KeyError, BadZipFile, EOFError) as error:
            problems.append(f"{row.path}/cases.npz cannot be read ({str(error).splitlines()[0].rstrip('.')}).")
            continue
        for n, name in enumerate(ids.astype(str)):
            case = found.setdefault(
                str(name),
                Case(str(row.dataset), str(row.model), int(row.repeat), str(name), images[n], masks[n], {}),  # type: ignore[call-overload]
            )
            if case.mask.shape == masks[n].shape:
                case.logits[str(row.loss)] = logits[n]
    return sorted(found.values(), key=lambda case: -case.disagreement)
