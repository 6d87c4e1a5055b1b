"""Is this the published dataset, image by image and file by file?"""

import csv
import hashlib
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from lightning_seg.data.dataset import FileDataset
from lightning_seg.wording import agreeing, counted

_PUBLISHED = files("lightning_seg.data").joinpath("published")
_DIGITS = 32  # of a file's SHA-256 in hexadecimal, 128 bits: enough to tell files apart


@dataclass(frozen=True)
class Verification:
    """How a dataset compares with the published one.

    Attributes:
        images: its images.
        published: images of the published dataset.
        strange: ids that are not in the published dataset.
        changed: files that are not byte for byte the published ones; ``None`` if their checksums are not known.
    """

    images: int
    published: int
    strange: list[str]
    changed: list[Path] | None

    @property
    def genuine(self) -> bool:
        return self.images == self.published and not self.strange and not self.changed

    def __str__(self) -> str:
        words = [counted(self.images, "image", of=None if self.images == self.published else self.published)]
        if self.strange:
            words.append(
                f"{len(self.strange):,} {agreeing(len(self.strange), 'are')} not in the published dataset, "
                f"such as {self.strange[0]}"
            )
        if self.changed is None:
            words.append("the files' checksums are not known, only their names were checked")
        elif self.changed:
            words.append(
                f"{counted(len(self.changed), 'file', 'differ')} from the "
                f"published ones (re-encoded or converted?), such as {self.changed[0].name}"
            )
        elif not self.strange:
            words.append("every file is the published one")
        return "; ".join(words)


def verify(dataset: FileDataset, manifest: str) -> Verification:
    """Compare a dataset's ids and files with the published ones.

    Args:
        dataset: one of the published datasets, under its usual name.
        manifest: name of the list of checksums in ``published/manifests``; for ISIC-2017 there is none.
    """
    with _PUBLISHED.joinpath(f"{dataset.name}.csv").open(encoding="utf-8") as file:
        published = {row["id"] for row in csv.DictReader(file)}
    ids = dataset.ids()
    return Verification(
        len(ids), len(published), [name for name in ids if name not in published], _changed(dataset, manifest)
    )


def _changed(dataset: FileDataset, manifest: str) -> list[Path] | None:
    """The files whose digest is not among those of the published files of that name.

    An image and its mask may share a name, as may the files of an official archive and its common copy.
    """
    resource = _PUBLISHED.joinpath(f"manifests/{manifest}.txt")
    if not resource.is_file():
        return None
    known: dict[str, set[str]] = defaultdict(set)
    for line in resource.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition(" ")
        known[name].add(digest)
    paths = [path for sample in dataset.samples for path in (sample.image, *sample.masks)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing releases the GIL
        return [
            path for path, digest in zip(paths, pool.map(_digest, paths), strict=True) if digest not in known[path.name]
        ]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]
