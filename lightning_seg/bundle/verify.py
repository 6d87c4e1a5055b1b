"""Verifies a bundle that may come from anywhere: digests, agreement of the data, and all that follows from them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib

from lightning_seg import __version__
from lightning_seg.bundle.archive import MANIFEST, unpack_bundle
from lightning_seg.bundle.compare import differences
from lightning_seg.bundle.consistency import contradictions
from lightning_seg.bundle.contents import Options, digest, read_options
from lightning_seg.bundle.write import derive, is_data
from lightning_seg.errors import UserError

_DRAWN = ("figures/", "index.html")  # what depends on the version of matplotlib


@dataclass
class Verified:
    """What was found.

    Attributes:
        files: how many there are.
        answer: the verdict's first sentence, worked out anew; "" where the data cannot be read.
        digest: SHA-256 of the data.
        faults: sentences on what is not as it should be.
        remarks: sentences on what could not be looked at.
    """

    files: int
    answer: str = ""
    digest: str = ""
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def verify_bundle(bundle: Path) -> Verified:
    """Look whether a bundle is whole, agrees with itself, and says what follows from its data.

    Raises:
        UserError: it is no bundle, damaged, or too large.
    """
    with TemporaryDirectory() as place:
        folder, again = Path(place) / "bundle", Path(place) / "again"
        folder.mkdir()
        again.mkdir()
        manifest = unpack_bundle(bundle, folder)
        found = Verified(len(manifest) + 1)
        found.faults += _digests(folder, manifest)
        options = read_options(folder)
        try:
            derived = derive(folder, again)
            found.answer, found.digest = derived.answer[0], derived.digest
            found.faults += contradictions(folder)
        except UserError as error:
            found.faults.append(str(error))
            return found
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            found.faults.append(f"The data are not of the form that a bundle has ({type(error).__name__}: {error}).")
            return found
        found.remarks += _remarks(options)
        found.faults += _compare(folder, again, options)
    return found


def _digests(folder: Path, manifest: dict[str, str]) -> Iterator[str]:
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    yield from (f"{name} is in the bundle and not in {MANIFEST}." for name in sorted(there - manifest.keys()))
    yield from (f"{name} is in {MANIFEST} and not in the bundle." for name in sorted(manifest.keys() - there))
    for name in sorted(there & manifest.keys()):
        if digest(folder / name) != manifest[name]:
            yield f"{name} has another SHA-256 than {MANIFEST} says."


def _compare(folder: Path, again: Path, options: Options) -> Iterator[str]:
    same_drawing = options.drawing == matplotlib.__version__ and options.program == __version__
    pairs = [{path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()} for top in (folder, again)]
    for name in sorted(pairs[1] - pairs[0]):
        yield f"{name} follows from the data and is not in the bundle."
    for name in sorted(pairs[0] - pairs[1] - {MANIFEST}):
        if not is_data(name):
            yield f"{name} does not follow from the data."
    for name in sorted(pairs[0] & pairs[1]):
        if same_drawing or not name.startswith(_DRAWN):
            yield from differences(name, folder / name, again / name)


def _remarks(options: Options) -> Iterator[str]:
    if options.program != __version__:
        yield f"The bundle is by lightning-seg {options.program} and this is {__version__}: words may differ."
    if options.drawing != matplotlib.__version__ or options.program != __version__:
        yield (
            f"Page and figures were drawn with matplotlib {options.drawing}, here is {matplotlib.__version__}: they "
            "are held against their digests alone."
        )
