"""Finding images that show the same thing, by a perceptual hash."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lightning_seg.data.dataset import LesionDataset
from lightning_seg.data.kept import kept_array, kept_path
from lightning_seg.files import write_atomic
from lightning_seg.terminal import tracked

HASH_SIDE = 16  # the hash has 16 x 16 bits
_BLOCK = 2048  # images compared at a time


class Pairs(NamedTuple):
    """Pairs of similar images, by position; ``first[k] < second[k]``, all int64 ``(K,)``."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    bits: NDArray[np.int64]


def difference_hash(image: Image.Image) -> NDArray[np.bool_]:
    """The horizontal difference hash (dHash) of an image, bool ``(256,)``: where does it get brighter to the right?"""
    small = image.convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.LANCZOS)
    grey = np.asarray(small)
    return (grey[:, 1:] > grey[:, :-1]).ravel()


def dataset_hashes(dataset: LesionDataset, cache_dir: str | Path | None = None) -> NDArray[np.bool_]:
    """The hash of every image, bool ``(N, 256)``, in the order of ``dataset.ids()``.

    Args:
        dataset: whose images are hashed.
        cache_dir: where the hashes are kept for the next call, as long as the dataset's signature stays the same.
    """
    if cache_dir is None:
        return _hash_all(dataset)
    facts = [type(dataset).__qualname__, dataset.ids(), dataset.signature()]
    path = kept_path(dataset, cache_dir, facts, ".dhash.npy")
    if (known := kept_array(path, (len(dataset.ids()), HASH_SIDE**2), np.bool_)) is not None:
        return known
    hashes = _hash_all(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, partial(_save, hashes=hashes))
    return hashes


def _hash_all(dataset: LesionDataset) -> NDArray[np.bool_]:
    def hashed(index: int) -> NDArray[np.bool_]:
        with dataset.alone(index):
            return difference_hash(dataset.picture(index))

    count = len(dataset.ids())
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes and resizes without the GIL
        hashes = pool.map(hashed, range(count))
        return np.stack(list(tracked(hashes, f"Looking for duplicates in {dataset.name}", count)))


def _save(path: Path, hashes: NDArray[np.bool_]) -> None:
    with path.open("wb") as file:
        np.save(file, hashes)


def similar_pairs(hashes: NDArray[np.bool_], bits: int) -> Pairs:
    """All pairs whose hashes (bool ``(N, 256)``) differ in at most ``bits`` bits."""
    signs = np.where(hashes, 1, -1).astype(np.float32)
    found = []
    for start in range(0, len(signs), _BLOCK):
        differing = (hashes.shape[1] - signs[start : start + _BLOCK] @ signs.T) / 2
        first, second = np.nonzero(np.triu(differing <= bits, k=1 + start))
        found.append((first + start, second, differing[first, second].astype(np.int64)))
    return Pairs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def joined(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """For each of ``count`` images, the smallest position among those linked to it by pairs, int64 ``(count,)``."""
    links = coo_array((np.ones(len(pairs.first)), (pairs.first, pairs.second)), shape=(count, count))
    _, labels = connected_components(links, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)
