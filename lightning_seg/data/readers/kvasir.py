"""Colonoscopy polyps: Kvasir-SEG (Jha et al. 2020, doi:10.1007/978-3-030-37734-2_37)."""

import csv
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from lightning_seg.data.dataset import FileDataset, Sample
from lightning_seg.data.readers.layout import by_stem, image_files, pair


class Kvasir(FileDataset):
    """1,000 images from 332 x 487 to 1,920 x 1,072 pixels.

    The masks are JPEGs with noise of up to 8 levels around 0 and 255: any threshold from 9 to 239 gives the same mask,
    "> 0" inflates the polyps by 4.6 % on average. Kvasir-Sessile (196 of these images) is another dataset.

    Args:
        root: any folder above ``images`` and ``masks``; copies that are divided into ``train``, ``val`` and ``test``
            with these two in each are read as one.
    """

    full_count = 1000

    def __init__(self, root: str | Path, name: str = "kvasir", exclude: str | Sequence[str] | None = None) -> None:
        super().__init__(root, name, exclude)

    def find(self) -> list[Sample]:
        files = image_files(self.root)
        images = [path for path in files if path.parent.name.lower() in ("images", "image")]
        masks = [path for path in files if path.parent.name.lower() in ("masks", "mask")]
        return pair(by_stem(images), by_stem(masks), self.problems)

    def official(self) -> dict[str, list[str]]:
        """The authors' 880 / 120 (github.com/DebeshJha/ColonSegNet); their validation set is the test set here."""
        with files("lightning_seg.data").joinpath("published/kvasir.csv").open(encoding="utf-8") as file:
            subset_of = {row["id"]: row["official"] for row in csv.DictReader(file)}
        subsets: dict[str, list[str]] = {"train": [], "test": []}
        for name in self.ids():
            if name in subset_of:
                subsets[subset_of[name]].append(name)
        return subsets
