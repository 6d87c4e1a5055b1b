"""What is made once of a dataset and kept beside it: where it lies."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lightning_seg.data.dataset import LesionDataset

log = logging.getLogger(__name__)


def kept_path(dataset: LesionDataset, directory: str | Path, facts: list[Any], ending: str = "") -> Path:
    """Where something lies that is made of a dataset: its name changes with all that it follows from.

    Args:
        dataset: what it is made of.
        directory: of all that is kept.
        facts: what it follows from, as JSON can hold it.
        ending: of the name.
    """
    fingerprint = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    return Path(directory).expanduser() / f"{dataset.name}-{fingerprint}{ending}"


def kept_array(
    path: Path, shape: tuple[int, ...], dtype: type[np.generic], mmap_mode: Literal["r"] | None = None
) -> NDArray[Any] | None:
    """An array that is kept; ``None`` without, where the file is damaged, and where it is of another shape or dtype."""
    try:
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        log.warning("%s is damaged (%s), and is made again.", path, error)
        return None
    return array if array.shape == shape and array.dtype == dtype else None
