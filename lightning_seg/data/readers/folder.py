"""The user's own images and masks, in any pair of folders."""

import re
from pathlib import Path

from lightning_seg.data.dataset import IMAGE_SUFFIXES, FileDataset, Sample
from lightning_seg.errors import UserError

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = (
    "masks",
    "mask",
    "labels",
    "label",
    "segmentations",
    "segmentation",
    "annotations",
    "gt",
    "ground truth",
)
MASK_SUFFIX = re.compile(r"[_\- ](mask|masks|segmentation|seg|label|labels|gt|groundtruth)(_\d+)?$", re.IGNORECASE)


class Folder(FileDataset):
    """Images and masks matched by stem, in two folders or side by side in one.

    A mask carries its image's stem, with or without a suffix such as ``_mask``, ``_segmentation`` or ``_label``;
    several masks of one image (``_mask``, ``_mask_1``) are united.

    Args:
        root: the folder that holds both.
        name: the dataset's name in results and caches.
        images: the images' folder inside ``root``; by default ``images`` or a common variant, else ``root`` itself.
        masks: the masks' folder likewise.
    """

    def __init__(self, root: str | Path, name: str, images: str | None = None, masks: str | None = None) -> None:
        self.folders = (images, masks)
        super().__init__(root, name)

    def find(self) -> list[Sample]:
        image_folder = self._folder("images", self.folders[0], IMAGE_FOLDERS)
        mask_folder = self._folder("masks", self.folders[1], MASK_FOLDERS)
        images = [path for path in _pictures(image_folder) if image_folder != mask_folder or not _is_mask(path)]
        masks: dict[str, list[Path]] = {path.stem: [] for path in images}
        orphans = []
        for path in _pictures(mask_folder):
            if image_folder == mask_folder and not _is_mask(path):
                continue
            # An image may itself be called "x_label": the full stem counts first.
            stem = path.stem if path.stem in masks else MASK_SUFFIX.sub("", path.stem)
            if stem in masks:
                masks[stem].append(path)
            else:
                orphans.append(path)
        self.problems += [
            f"{path}: one of {len(orphans)} mask(s) that have no image of the same name in {image_folder}"
            for path in orphans
        ]
        return [Sample(path.stem, path, tuple(masks[path.stem])) for path in images]

    def _folder(self, kind: str, named: str | None, usual: tuple[str, ...]) -> Path:
        if named is not None:
            folder = self.root / named
            if not folder.is_dir():
                raise UserError(f"Dataset {self.name!r}: dataset.{kind}={named} is not a folder in {self.root}.")
            return folder
        present = {path.name.lower(): path for path in self.root.iterdir() if path.is_dir()}
        return next((present[name] for name in usual if name in present), self.root)


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def _is_mask(path: Path) -> bool:
    return MASK_SUFFIX.search(path.stem) is not None
