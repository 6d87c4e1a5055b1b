"""The example test images that runs keep with their logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lightning_seg.arrays import Arrays, read_arrays
from lightning_seg.errors import UnreadableError
from lightning_seg.report.records import Study
from lightning_seg.runs.folder import RunFolder
from lightning_seg.wording import byte_count

ARRAYS = ("ids", "logits", "images", "masks")
_MOST_FILE_BYTES = 256 * 2**20  # of a run's examples, packed and unpacked
MOST_BYTES = 2 * 2**30  # of a study's
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
    budget = MOST_BYTES
    for _, rows in usable.groupby("dataset", sort=True):
        rows = rows[[RunFolder(study.directory / path).cases.is_file() for path in rows["path"]]]
        if rows.empty:
            continue
        groups = rows.groupby(["model", "repeat"])["test_dice"].agg(["size", "mean"])
        model, repeat = groups.sort_values(["size", "mean"], ascending=False, kind="stable").index[0]
        chosen = rows[(rows["model"] == model) & (rows["repeat"] == repeat)]
        joined, budget = _join(study.directory, chosen, problems, budget)
        cases += joined
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
    from scipy.ndimage import binary_erosion  # here: only pages with pictures need it

    width = max(1, round(min(region.shape) / 112))
    return region & ~binary_erosion(region, iterations=width)


def _join(directory: Path, rows: pd.DataFrame, problems: list[str], budget: int) -> tuple[list[Case], int]:
    found: dict[str, Case] = {}
    for row in rows.itertuples():
        path = RunFolder(directory / str(row.path)).cases
        try:
            if budget <= 0:
                raise UnreadableError(f"the examples of the study take more than {byte_count(MOST_BYTES)}")
            arrays = read_cases(path)
        except (FileNotFoundError, UnreadableError) as error:
            problems.append(f"{row.path}/{path.name} cannot be read ({str(error).splitlines()[0].rstrip('.')}).")
            continue
        ids, logits, images, masks = (arrays[name] for name in ARRAYS)
        budget -= sum(array.nbytes for array in arrays.values())
        for n, name in enumerate(ids.astype(str)):
            case = found.setdefault(
                str(name),
                Case(str(row.dataset), str(row.model), int(row.repeat), str(name), images[n], masks[n], {}),  # type: ignore[call-overload]
            )
            if case.mask.shape == masks[n].shape:
                case.logits[str(row.loss)] = logits[n]
    return sorted(found.values(), key=lambda case: -case.disagreement), budget


def read_cases(path: Path) -> Arrays:
    """The arrays in a run's ``cases.npz``, which may come from anywhere: their sizes are known before they are read.

    Returns:
        ``ids`` text ``(N,)``, ``logits`` floating ``(N, H, W)``, ``images`` uint8 ``(N, 3, H, W)`` and ``masks``
        ``(N, H, W)``.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableError: it is none such, or its arrays are too large or do not fit one another.
    """
    arrays = read_arrays(path, ARRAYS, _MOST_FILE_BYTES)
    ids, logits, images, masks = (arrays[name] for name in ARRAYS)
    fit = logits.ndim == 3 and images.shape == (len(logits), 3, *logits.shape[1:]) and masks.shape == logits.shape
    kinds = (ids.dtype.kind, logits.dtype.kind, images.dtype, masks.dtype.kind)
    if not (fit and ids.shape == logits.shape[:1] and logits.size and kinds[::2] == ("U", np.uint8)):
        raise UnreadableError("its arrays do not fit one another")
    if kinds[1] != "f" or kinds[3] not in "bu" or not np.isfinite(logits).all():
        raise UnreadableError("its logits are no numbers")
    return arrays
