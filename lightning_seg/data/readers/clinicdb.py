"""Colonoscopy polyps: CVC-ClinicDB (Bernal et al. 2015, doi:10.1016/j.compmedimag.2015.02.007)."""

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from lightning_seg.data.dataset import FileDataset, Sample
from lightning_seg.data.readers.layout import by_stem, find_folder, image_files, pair

# The first frame of each of the 29 video sequences, as published with the Dataset Ninja copy. They cover 1 to 612, and
# the images' colour histograms jump there; they are neither patients nor examinations.
SEQUENCE_STARTS = (
    1, 26, 51, 68, 79, 104, 127, 152, 178, 200, 206, 228, 253, 278, 298, 318, 343, 364, 384, 409, 429, 448, 467, 479,
    504, 529, 547, 572, 592,
)  # fmt: skip
IMAGE_FOLDERS = ("original", "images")
MASK_FOLDERS = ("ground truth", "groundtruth", "masks")


class ClinicDb(FileDataset):
    """612 frames of 384 x 288 from 29 sequences.

    The official archive's ``Original/N.tif`` declare their three channels as grey; Pillow refuses them and OpenCV drops
    their colour, so they are read with tifffile, to the same pixels as the common PNG copy. Masks hold 114 grey values
    and are thresholded.

    Args:
        root: any folder above ``Original`` and ``Ground Truth``, or above ``PNG`` (then used) and ``TIF`` with these in
            each; or ``images`` and ``masks``.
    """

    full_count = 612

    def __init__(self, root: str | Path, name: str = "clinicdb", exclude: str | Sequence[str] | None = None) -> None:
        super().__init__(root, name, exclude)

    def find(self) -> list[Sample]:
        wanted = "'Original' folder with its 'Ground Truth'"
        base = find_folder(self.root, lambda folder: _holds_frames(folder) or _holds_frames(folder / "PNG"), wanted)
        if _holds_frames(base / "PNG"):  # a copy with PNG and TIF: PNG is read faster
            base = base / "PNG"
        images, masks = _child(base, IMAGE_FOLDERS), _child(base, MASK_FOLDERS)
        return pair(by_stem(image_files(images)), by_stem(image_files(masks)), self.problems)

    def groups(self) -> list[str] | None:
        """The sequence of each frame; ``None`` if the frames do not carry their official numbers."""
        if not all(name.isdecimal() for name in self.ids()):
            return None
        return [f"sequence {bisect_right(SEQUENCE_STARTS, int(name))}" for name in self.ids()]


def _holds_frames(folder: Path) -> bool:
    return folder.is_dir() and all(_child(folder, names).is_dir() for names in (IMAGE_FOLDERS, MASK_FOLDERS))


def _child(folder: Path, names: tuple[str, ...]) -> Path:
    """The entry that has one of these names, in any case; the first name if there is none."""
    return next((path for path in sorted(folder.iterdir()) if path.name.lower() in names), folder / names[0])
