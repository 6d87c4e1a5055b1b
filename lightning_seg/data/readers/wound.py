"""Foot-ulcer wounds: FUSeg 2021 (Wang et al. 2024, doi:10.3390/info15030140)."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lightning_seg.data.dataset import FileDataset, Sample
from lightning_seg.data.images import MASK_THRESHOLD, open_mask
from lightning_seg.data.readers.layout import by_stem, find_folder, image_files, pair
from lightning_seg.errors import UserError

SUBSETS = ("train", "validation")


class Wound(FileDataset):
    """The labelled part of FUSeg, 810 + 200 images of 512 x 512.

    Masks are white on black in three equal channels, with one stray value of 32; 24 are empty and count unless
    ``drop_empty``. The challenge's ``test`` folder has no masks and is not read.

    Args:
        root: the folder that holds ``train`` and ``validation``, each with ``images`` and ``labels``, or one above it.
        drop_empty: leave out images without any wound.
        exclude: other images that are left out, see :mod:`lightning_seg.data.exclude`.
    """

    full_count = 1010
    published_as = "wound"
    near_duplicate_bits = 40  # all 31 pairs up to it are the same foot

    def __init__(
        self,
        root: str | Path,
        name: str = "wound",
        drop_empty: bool = False,
        exclude: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(root, name, exclude)
        if drop_empty:
            with ThreadPoolExecutor() as pool:
                lesions = list(pool.map(_has_lesion, self.samples))
            self.samples = [sample for sample, lesion in zip(self.samples, lesions, strict=True) if lesion]

    def find(self) -> list[Sample]:
        def holds_subsets(folder: Path) -> bool:
            # The same repository holds Medetec_foot_ulcer_224 with a train folder, too, but without "validation".
            return all((folder / subset / "labels").is_dir() for subset in SUBSETS)

        base = find_folder(self.root, holds_subsets, "'train' and 'validation' with 'images' and 'labels' in each")
        samples = []
        for subset in SUBSETS:
            images, labels = image_files(base / subset / "images"), image_files(base / subset / "labels")
            samples += pair(by_stem(images), by_stem(labels), self.problems)
        return samples

    def official(self) -> dict[str, list[str]]:
        """The challenge's training set, and its validation set as the test set: its own test has no public masks."""
        subsets: dict[str, list[str]] = {"train": [], "test": []}
        for sample in self.samples:
            subsets["test" if sample.image.parts[-3] == "validation" else "train"].append(sample.id)
        return subsets


def _has_lesion(sample: Sample) -> bool:
    try:
        return any(bool((np.asarray(open_mask(path).image) >= MASK_THRESHOLD).any()) for path in sample.masks)
    except UserError:
        return True  # who reads it is told, together with all other bad files
