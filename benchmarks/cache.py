"""Building the decoded cache against one plain single-process pass of Pillow, and how soon a second start is ready.

    python benchmarks/cache.py FOLDER [--dataset wound] [--rounds 5]

FOLDER is the dataset's folder. The plain pass opens, converts and resizes each image and mask and keeps the arrays. The
page cache is warm for both.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from measure import Times, alternate, ratio, report
from PIL import Image

from lightning_seg.data.cache import open_cache
from lightning_seg.data.dataset import FileDataset
from lightning_seg.data.prepare import source_of

SIZE = 224


def plain_pass(dataset: FileDataset) -> None:
    """What a user would write: one process, one file after the other."""
    square = (SIZE, SIZE)
    images, masks = [], []
    for sample in dataset.samples:
        images.append(np.asarray(Image.open(sample.image).convert("RGB").resize(square, Image.Resampling.BILINEAR)))
        for path in sample.masks:
            masks.append(np.asarray(Image.open(path).convert("L").resize(square, Image.Resampling.NEAREST)) > 127)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dataset", default="wound")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    reader = source_of(arguments.dataset).readers[arguments.dataset]
    dataset = reader(arguments.folder)
    folder = Path(tempfile.mkdtemp())

    def build() -> None:
        shutil.rmtree(folder)
        open_cache(dataset, SIZE, folder)

    def second_start() -> None:
        cache = open_cache(reader(arguments.folder), SIZE, folder)
        cache.images[0].sum()

    try:
        times: dict[str, Times] = alternate(
            {"plain pass": lambda: plain_pass(dataset), "cache built": build, "second start": second_start},
            arguments.rounds,
        )
    finally:
        shutil.rmtree(folder)
    report(f"{len(dataset.ids())} pairs of {dataset.name} at {SIZE}", times, "plain pass")
    print(f"cache / plain pass, wall: {ratio(times['cache built'].wall, times['plain pass'].wall):.2f} (at most 1)")
    print(f"second start: {min(times['second start'].wall):.3f} s at best (at most 0.3)")


if __name__ == "__main__":
    main()
