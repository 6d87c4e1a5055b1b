"""A run's ``predictions.npz``: what is kept of its predictions for its validation and test images."""

import errno
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightning_seg.arrays import Arrays, read_arrays, save_arrays
from lightning_seg.catalogue import COUNTS
from lightning_seg.errors import UnreadableError
from lightning_seg.files import write_atomic
from lightning_seg.predicted import BINS, THRESHOLDS, Predicted
from lightning_seg.runs.folder import RunFolder

_SUBSETS = ("val", "test")
_ARRAYS = ("ids", "counts", "pixels", "probability", "squared_error", "shape")
_MOST_BYTES = 2**30  # of the file, and of what is read of it
_MOST_PIXELS = 2**31 - 1  # of an image, whose counts are int32


@dataclass(frozen=True)
class Predictions:
    """What is kept of a run's predictions, all by the weights that were tested.

    Attributes:
        val: of its validation images.
        test: of its test images.
    """

    val: Predicted
    test: Predicted


def write(folder: RunFolder, predictions: Predictions) -> None:
    """Write them, atomically, as arrays ``<subset>_<name>`` of the names of :class:`Predicted`.

    ``<subset>_shape`` is (H, W) of the masks that ``<subset>_masks`` packs. ``thresholds`` tells those of the counts.
    """
    write_file(folder.predictions, predictions)


def write_file(path: Path, predictions: Predictions) -> None:
    """:func:`write`, to a file."""
    arrays: Arrays = {"thresholds": np.array(THRESHOLDS)}
    for subset, found in (("val", predictions.val), ("test", predictions.test)):
        arrays |= {
            f"{subset}_ids": np.array(found.ids),
            f"{subset}_counts": found.counts,
            f"{subset}_pixels": found.pixels,
            f"{subset}_probability": found.probability,
            f"{subset}_squared_error": found.squared_error,
            f"{subset}_masks": found.packed,
            f"{subset}_shape": np.array([found.packed.shape[1], found.width]),
        }
    write_atomic(path, lambda temporary: save_arrays(temporary, arrays))


def read(folder: RunFolder, masks: bool = True) -> Predictions:
    """Read what may come from anywhere.

    Args:
        folder: of the run.
        masks: whether to read the masks too, which take the most room; without them ``packed`` has no images.

    Raises:
        FileNotFoundError: the run has none: it left its test images unread, or an older version made it; or it has no
            masks, which bundles leave out, and they are asked for.
        UnreadableError: the file is damaged, or its arrays do not fit one another.
    """
    return read_file(folder.predictions, masks)


def read_file(path: Path, masks: bool = True) -> Predictions:
    """:func:`read`, of a file."""
    kinds = (*_ARRAYS, "masks") if masks else _ARRAYS
    names = [f"{subset}_{name}" for subset in _SUBSETS for name in kinds]
    arrays = read_arrays(path, ["thresholds", *names], _MOST_BYTES)
    if arrays["thresholds"].shape != (len(THRESHOLDS),) or not np.array_equal(arrays["thresholds"], THRESHOLDS):
        raise UnreadableError("its thresholds are others")
    if masks and arrays["test_ids"].size and not arrays["test_masks"].size:
        raise FileNotFoundError(errno.ENOENT, "it holds no masks", str(path))
    return Predictions(*(_predicted({name: arrays.get(f"{subset}_{name}") for name in kinds}) for subset in _SUBSETS))


def _predicted(arrays: dict[str, np.ndarray | None]) -> Predicted:
    """Check the arrays of one subset."""
    ids, counts, shape = arrays["ids"], arrays["counts"], arrays["shape"]
    sums = [arrays[name] for name in ("pixels", "probability", "squared_error")]
    assert ids is not None and counts is not None and shape is not None
    if ids.dtype.kind != "U" or ids.ndim != 1 or not len(ids) or shape.dtype.kind != "i" or shape.shape != (2,):
        raise UnreadableError("its arrays are of other kinds")
    height, width = shape.tolist()
    if not (height > 0 and width > 0 and height * width <= _MOST_PIXELS):
        raise UnreadableError(f"its masks are of {height} x {width} pixels")
    if counts.dtype != np.int32 or counts.shape != (len(ids), len(THRESHOLDS), len(COUNTS)):
        raise UnreadableError("its counts do not fit its images")
    if (counts < 0).any() or (counts.astype(np.int64).sum(axis=-1) != height * width).any():
        raise UnreadableError("its counts do not add up")
    for each, kind in zip(sums, (np.int64, np.float64, np.float64), strict=True):
        if each is None or each.dtype != kind or each.shape != (2, BINS + 1):
            raise UnreadableError("its sums of probabilities are of other kinds")
        if not (np.isfinite(each) & (each >= 0)).all():
            raise UnreadableError("its sums of probabilities are no such")
    pixels, probability, squared_error = (each for each in sums if each is not None)
    if pixels.sum() != len(ids) * height * width or (probability > pixels).any() or (squared_error > pixels).any():
        raise UnreadableError("its sums of probabilities do not fit its pixels")
    packed = arrays.get("masks")
    if packed is None:
        packed = np.zeros((0, height, -(-width // 8)), dtype=np.uint8)
    elif packed.dtype != np.uint8 or packed.shape != (len(ids), height, -(-width // 8)):
        raise UnreadableError("its masks do not fit its images")
    return Predicted(ids.tolist(), counts, pixels, probability, squared_error, packed, width)
