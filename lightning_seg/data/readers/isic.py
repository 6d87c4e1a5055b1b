"""Skin lesions: ISIC-2017, task 1 (Codella et al. 2018, doi:10.1109/ISBI.2018.8363547)."""

import re
from collections.abc import Sequence
from pathlib import Path

from lightning_seg.data.dataset import FileDataset, Sample
from lightning_seg.data.readers.layout import by_pattern, image_files, pair

IMAGE = re.compile(r"(ISIC_\d{7})\.(?:jpg|jpeg|png)", re.IGNORECASE)
MASK = re.compile(r"(ISIC_\d{7})(?:_segmentation)?\.png", re.IGNORECASE)
MASK_FOLDER = re.compile(r"groundtruth|mask|label|annotation", re.IGNORECASE)
SUBSETS = ("train", "val", "test")


class Isic(FileDataset):
    """The 2,000 + 150 + 600 labelled dermoscopic images, all in one: 2,750.

    Images ``ISIC_NNNNNNN.jpg`` up to 6,688 x 4,439 pixels, masks ``ISIC_NNNNNNN_segmentation.png`` of 0 and 255 (the
    suffix is written in either case). ``_superpixels.png`` beside the images are no masks, nor are the CSV files read.
    JPEGs are decoded at a reduced size: see :func:`lightning_seg.data.images.open_image` for the error.

    Args:
        root: any folder above ``ISIC-2017_Training_Data``, ``ISIC-2017_Training_Part1_GroundTruth`` and their
            ``Validation`` and ``Test_v2`` counterparts; or the common copies' ``train/images``, ``train/masks`` ...
    """

    full_count = 2750
    published_as = "isic"
    reduce_jpeg = True

    def __init__(self, root: str | Path, name: str = "isic", exclude: str | Sequence[str] | None = None) -> None:
        super().__init__(root, name, exclude)

    def find(self) -> list[Sample]:
        files = image_files(self.root)
        # In copies with train/images and train/masks, image and mask may have the very same name.
        masks = [path for path in files if MASK_FOLDER.search(path.parent.name)]
        images = [path for path in files if not MASK_FOLDER.search(path.parent.name)]
        masks += [path for path in images if path.stem.lower().endswith("_segmentation")]
        return pair(by_pattern(images, IMAGE), by_pattern(masks, MASK), self.problems)

    def official(self) -> dict[str, list[str]] | None:
        """The challenge's split, told from the folders' names."""
        subsets: dict[str, list[str]] = {}
        for sample in self.samples:
            folders = sample.image.relative_to(self.root.parent).parts[:-1]
            known = [subset for folder in folders for subset in SUBSETS if subset in folder.lower()]
            if not known:
                return None
            subsets.setdefault(known[-1], []).append(sample.id)
        return subsets
