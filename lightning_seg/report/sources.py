"""The images and true masks behind a study's records, where the data are still there and decoded."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from lightning_seg.config.allowed import refuse_foreign
from lightning_seg.config.build import build
from lightning_seg.data import LesionDataset
from lightning_seg.data.cache import Cache, cache_folder, open_cache
from lightning_seg.errors import UserError
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.record import Record


@dataclass(frozen=True)
class Source:
    """A dataset with its decoded form.

    Attributes:
        dataset: the files.
        cache: what runs were trained and tested on.
        place: position of each id.
    """

    dataset: LesionDataset
    cache: Cache
    place: dict[str, int]

    def mask(self, name: str) -> NDArray[np.bool_]:
        """The true mask of an id, at the runs' size, (H, W)."""
        return self.cache.masks[self.place[name], 0]

    def image(self, name: str) -> NDArray[np.uint8]:
        """The image of an id, (H, W, 3), in the proportions of its file; of one that is gone, as runs have seen it."""
        try:
            return np.asarray(self.dataset.picture(self.place[name]).convert("RGB"))
        except (OSError, UserError):
            return np.moveaxis(self.cache.images[self.place[name]], 0, -1)


def open_source(record: Record, folder: RunFolder) -> Source:
    """The dataset that a record names.

    Raises:
        UserError: the record does not tell, or the dataset is not there, or not decoded any longer.
    """
    dataset, data = record.config.get("dataset"), _group(record.config.get("data"))
    size, directory = data.get("image_size"), data.get("cache_dir")
    if not isinstance(dataset, dict) or not isinstance(size, int) or not isinstance(directory, str):
        raise UserError(f"the records of {record.dataset} do not tell where it lies")
    refuse_foreign(dataset, "dataset", str(folder.result))
    found = build(OmegaConf.create(dataset), "dataset")
    if not isinstance(found, LesionDataset):
        raise UserError(f"what the records name as dataset {record.dataset} is none")
    if not cache_folder(found, size, directory).is_dir():
        raise UserError(f"{found.name} is not decoded any longer at {size} pixels below {directory}")
    cache = open_cache(found, size, directory)
    return Source(found, cache, {name: n for n, name in enumerate(cache.ids)})


def _group(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
