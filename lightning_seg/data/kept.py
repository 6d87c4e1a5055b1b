"""What is made once of a dataset and kept beside it: where it lies."""

import hashlib
import json
import logging
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lightning_seg.data.dataset import LesionDataset
from lightning_seg.files import open_plain

log = logging.getLogger(__name__)
_MOST_HEADER = 65536  # bytes


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
        with open_plain(path, _MOST_HEADER + math.prod(shape) * np.dtype(dtype).itemsize) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            if read(file)[::2] != (shape, dtype):  # before room is made for whatever it says
                return None
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        log.warning("%s is damaged (%s), and is made again.", path, error)
        return None
