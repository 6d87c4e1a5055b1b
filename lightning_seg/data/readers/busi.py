"""Breast ultrasound: BUSI (Al-Dhabyani et al. 2020, doi:10.1016/j.dib.2019.104863)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from lightning_seg.data.dataset import FileDataset, Sample
from lightning_seg.data.readers.layout import by_pattern, image_files, pair
from lightning_seg.errors import UserError

Kind = Literal["benign", "malignant"]


class Busi(FileDataset):
    """437 benign or 210 malignant lesions; BUSI's 133 normal images show none and stay out.

    An image's mask is the union of its ``_mask.png``, ``_mask_1.png``, ...: 17 images have more than one, and in some
    the first is the smallest part. Masks are 1-bit, two are RGBA (their alpha, 255 everywhere, is dropped).

    Args:
        root: any folder above ``benign/benign (1).png`` and ``malignant/malignant (1).png``; masks lie beside the
            images or in a folder of their own.
        kind: ``benign`` or ``malignant``.
        exclude: images that are left out, see :mod:`lightning_seg.data.exclude`.
    """

    # Scans of one lesion are shifted or cropped copies; all pairs looked at up to 42 bits are such.
    near_duplicate_bits = 40

    def __init__(
        self, root: str | Path, kind: Kind, name: str | None = None, exclude: str | Sequence[str] | None = None
    ) -> None:
        if kind not in get_args(Kind):
            raise UserError(f"dataset.kind={kind!r} is not one of {', '.join(get_args(Kind))}.")
        self.kind = kind
        self.full_count = {"benign": 437, "malignant": 210}[kind]
        self.published_as = f"breast_{kind}"
        super().__init__(root, name or f"breast_{kind}", exclude)

    def find(self) -> list[Sample]:
        image = re.compile(rf"({self.kind} \(\d+\))\.png")
        mask = re.compile(rf"({self.kind} \(\d+\))_mask(?:_\d+)?\.png")
        files = image_files(self.root)
        return pair(by_pattern(files, image), by_pattern(files, mask), self.problems)
