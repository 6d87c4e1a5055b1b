"""How many copies of images are found, and how many unrelated images are taken for copies.

``python scripts/measure_copies.py FOLDER`` wants the six published datasets, or parts of them, in the folders ``isic``,
``wound``, ``clinicdb``, ``kvasir`` and ``busi`` of FOLDER. It prints the share of each kind of copy that is found, and
the curve of false pairs over the threshold of the third step.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from lightning_seg.data import Busi, ClinicDb, FileDataset, Isic, Kvasir, Wound
from lightning_seg.data import copies as finder
from lightning_seg.data.copies import copies_among, image_print, together
from lightning_seg.data.duplicates import difference_hash

EVERY = 3  # of which image copies are made
LEAST = finder.LEAST
RELATED_BITS = 40  # of 256: images whose difference hashes are as near show the same lesion, and are left out


def encoded(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop(
        (round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom)))
    )


def boxed(image: Image.Image, colour: str, size: tuple[int, int] | None = None) -> Image.Image:
    size = size or (max(image.size), max(image.size))
    canvas = Image.new("RGB", size, colour)
    canvas.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return canvas


TURNS = Image.Transpose
KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned by 90": lambda image: image.transpose(TURNS.ROTATE_90),
    "turned by 180": lambda image: image.transpose(TURNS.ROTATE_180),
    "turned by 270": lambda image: image.transpose(TURNS.ROTATE_270),
    "transposed": lambda image: image.transpose(TURNS.TRANSPOSE),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "224 x 224": lambda image: image.resize((224, 224)),
    "1.5 times the size": lambda image: image.resize((image.width * 3 // 2, image.height * 3 // 2)),
    "JPEG 30": lambda image: encoded(image, 30),
    "JPEG 70": lambda image: encoded(image, 70),
    "mirrored, JPEG 50": lambda image: encoded(ImageOps.mirror(image), 50),
    "brighter by 1.4": lambda image: ImageEnhance.Brightness(image).enhance(1.4),
    "darker by 0.6": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "contrast 1.4": lambda image: ImageEnhance.Contrast(image).enhance(1.4),
    "gamma 0.7": lambda image: image.point([int(255 * (value / 255) ** 0.7) for value in range(256)] * 3),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "cropped by 5 % a side": lambda image: cropped(image, 0.05, 0.05, 0.05, 0.05),
    "cropped by 10 % on one side": lambda image: cropped(image, 0.1, 0, 0, 0),
    "cropped by 3, 0, 2, 4 %": lambda image: cropped(image, 0.03, 0, 0.02, 0.04),
    "cropped by 5 % and turned": lambda image: cropped(image, 0.05, 0.05, 0.05, 0.05).transpose(TURNS.ROTATE_90),
    "letter-boxed, black": lambda image: boxed(image, "black"),
    "letter-boxed, white": lambda image: boxed(image, "white"),
    "bars of an eighth": lambda image: boxed(image, "black", (image.width, image.height * 5 // 4)),
    "cropped by 10 % a side": lambda image: cropped(image, 0.1, 0.1, 0.1, 0.1),
    "cropped by 10 %, mirrored, JPEG 50": lambda image: encoded(ImageOps.mirror(cropped(image, *4 * [0.1])), 50),
    "cropped by 12 % a side": lambda image: cropped(image, 0.12, 0.12, 0.12, 0.12),
    "cropped by 15 % a side": lambda image: cropped(image, 0.15, 0.15, 0.15, 0.15),
}


def main(folder: Path) -> None:
    datasets: list[FileDataset] = [
        Isic(folder / "isic"),
        Wound(folder / "wound"),
        ClinicDb(folder / "clinicdb"),
        Kvasir(folder / "kvasir"),
        Busi(folder / "busi", "benign"),
        Busi(folder / "busi", "malignant"),
    ]
    names, images = [], []
    for dataset in datasets:
        owners = dataset.groups() or dataset.ids()
        for index, owner in enumerate(owners):
            image = dataset.picture(index)
            image.thumbnail((640, 640))
            names.append(f"{dataset.name} {owner}")
            images.append(image)
    originals = [image_print(image) for image in images]
    print(f"{len(images)} images, {len(images[::EVERY])} of which are copied")
    for kind, change in KINDS.items():
        found = 0
        for original, image in zip(originals[::EVERY], images[::EVERY], strict=True):
            found += bool(copies_among(together([original, image_print(change(image))]), ["a", "b"]))
        print(f"{100 * found / len(images[::EVERY]):6.1f} % found: {kind}")
    hashes = np.stack([difference_hash(image) for image in images])
    unrelated = (hashes[:, None] != hashes[None]).sum(axis=2) > RELATED_BITS
    unrelated &= np.array(names)[:, None] != np.array(names)
    total = int(np.triu(unrelated, 1).sum())
    finder.LEAST = (LEAST[0], 0.8, 0.6)
    found = copies_among(together(originals), [str(index) for index in range(len(images))])
    pairs = [copy for copy in found if unrelated[copy.first, copy.second]]
    print(
        f"{total} pairs that should be unrelated; look at those above {LEAST[2]}, which may be siblings all the same:"
    )
    for copy in sorted(pairs, key=lambda copy: -copy.likeness):
        if copy.likeness > LEAST[2]:
            print(f"  {copy.likeness:.3f} {names[copy.first]} and {names[copy.second]}")
    likeness = [copy.likeness for copy in pairs]
    for threshold in (0.6, 0.65, 0.7, 0.75, 0.8, 0.82, 0.85, 0.9):
        false = sum(each > threshold for each in likeness)
        print(f"{threshold:.2f}: {false} false pairs, {1e4 * false / total:.2f} in 10,000")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
