"""Foot-ulcer wounds: FUSeg 2021 (Wang et al. 2024, doi:10.3390/info15030140)."""

from pathlib import Path

from lightning_seg.data.dataset import FileDataset, Sample


class Wound(FileDataset):
    """The labelled part of FUSeg: ``train`` and ``validation``, each with ``images/NNNN.png`` and ``labels/NNNN.png``.

    The unlabelled ``test`` folder is not read. Masks are white on black in three equal channels; 24 are empty.

    Args:
        root: the folder that holds ``train`` and ``validation``.
    """

    def __init__(self, root: str | Path, name: str = "wound") -> None:
        super().__init__(root, name)

    def find(self) -> list[Sample]:
        samples = []
        for part in ("train", "validation"):
            for image in (self.root / part / "images").glob("*.png"):
                label = self.root / part / "labels" / image.name
                samples.append(Sample(image.stem, image, (label,) if label.is_file() else ()))
        return samples
