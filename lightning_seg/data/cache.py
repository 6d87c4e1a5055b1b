"""A dataset decoded once: arrays on disk, memory-mapped by every run that uses it."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from lightning_seg.data.caches import note_origin, tell_outdated, write_origin
from lightning_seg.data.contrast import lesion_contrast
from lightning_seg.data.dataset import LesionDataset, Problem, problems_of, raise_problems
from lightning_seg.data.kept import kept_array, kept_path
from lightning_seg.errors import UserError
from lightning_seg.files import read_bytes, read_json, sync, write_atomic, write_json
from lightning_seg.terminal import errors, tracked
from lightning_seg.wording import counted

log = logging.getLogger(__name__)

_FILES = ("ids.json", "images.npy", "masks.npy", "contrasts.npy")
_DIGESTS = "digests.json"
_sound: set[tuple[object, ...]] = set()  # caches that this process has looked at, and when their files were written
FORMAT = 3  # raise it when the arrays' layout or the reading of pixels changes
_MOST_WORDS = 2**16  # bytes of the sentence on how pixels were read
_READING = "reading.txt"


class Cache(NamedTuple):
    """A decoded dataset; the arrays are read-only and memory-mapped.

    Attributes:
        ids: the ids of the N pairs, sorted.
        images: RGB, uint8 ``(N, 3, size, size)``.
        masks: true on the lesion, bool ``(N, 1, size, size)``.
        contrasts: of each lesion with its surroundings, float32 ``(N,)``, see :func:`lesion_contrast`.
        reading: how pixels were read, in words, see :meth:`LesionDataset.reading`; ``None`` where that is no question.
    """

    ids: list[str]
    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    contrasts: NDArray[np.float32]
    reading: str | None = None


class _Pair(NamedTuple):
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    contrast: float


def cache_folder(dataset: LesionDataset, size: int, directory: str | Path) -> Path:
    """Where :func:`open_cache` keeps a dataset: its name changes with the size and with any source file."""
    return kept_path(dataset, directory, [FORMAT, type(dataset).__qualname__, size, dataset.signature()])


def open_cache(dataset: LesionDataset, size: int, directory: str | Path) -> Cache:
    """Open the decoded form of ``dataset`` at ``size`` x ``size``, building it first where it is missing.

    It lies in :func:`cache_folder`. One process builds it while others wait, and a build that is killed leaves nothing
    that counts. One whose files have changed since is set aside, and built again.

    Raises:
        UserError: source files are bad (all are listed), or the cache cannot be written.
    """
    folder = cache_folder(dataset, size, directory)
    if not folder.is_dir() or _problem(dataset, size, folder):
        with _alone(dataset, folder, 4 * size * size):
            if folder.is_dir():
                _heal(dataset, size, folder)
            else:
                _build(dataset, size, folder)
                tell_outdated(folder.parent)
    note_origin(dataset, folder)
    return _load(dataset, size, folder)


def _heal(dataset: LesionDataset, size: int, folder: Path) -> None:
    """Build a cache again that is not as it was written, and set the old one aside."""
    if problem := _problem(dataset, size, folder):
        aside = folder.with_name(folder.name + ".damaged")
        log.warning("The cache %s is damaged (%s): it is set aside as %s and built again.", folder, problem, aside.name)
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        _build(dataset, size, folder)


def _problem(dataset: LesionDataset, size: int, folder: Path) -> str:
    """What is wrong with a cache, or nothing; looked at once a process.

    Its files are hashed: half a second for the 2,750 images of ISIC-2017 at 224 pixels. One that an older version has
    written has no digests yet, and gets them where its arrays are of the right shapes.
    """
    state = (folder, *((folder / name).stat().st_mtime_ns for name in _FILES if (folder / name).exists()))
    if state in _sound:
        return ""
    try:
        _load(dataset, size, folder)
        found = {name: _digest(folder / name) for name in _FILES}
        try:
            known = read_json(folder / _DIGESTS)
        except FileNotFoundError:
            with suppress(OSError):  # of a cache that is only there to be read
                write_json(folder / _DIGESTS, found)
            known = found
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    if wrong := [name for name in _FILES if not isinstance(known, dict) or known.get(name) != found[name]]:
        return f"{wrong[0]} is not as it was written"
    _sound.add(state)
    return ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load(dataset: LesionDataset, size: int, folder: Path) -> Cache:
    """The arrays, memory-mapped.

    Raises:
        OSError, ValueError: they are not this dataset's.
    """
    ids = read_json(folder / "ids.json")
    if ids != dataset.ids():
        raise ValueError("ids.json does not hold the ids of the dataset")
    images, masks, contrasts = (
        np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("images", "masks", "contrasts")
    )
    count = len(ids)
    expected = [((count, 3, size, size), np.uint8), ((count, 1, size, size), np.bool_), ((count,), np.float32)]
    for name, array, (shape, dtype) in zip(Cache._fields[1:], (images, masks, contrasts), expected, strict=False):
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"{name}.npy is of the shape {array.shape}, not {shape}")
    reading = folder / _READING
    words = read_bytes(reading, _MOST_WORDS).decode("utf-8") if reading.is_file() else None
    return Cache(ids, images, masks, contrasts, words)


def open_distances(
    dataset: LesionDataset, size: int, directory: str | Path, masks: NDArray[np.bool_]
) -> NDArray[np.float16]:
    """Open the distances of a cached dataset's masks, computing them first where they are missing.

    They lie in :func:`cache_folder` with the arrays of :func:`open_cache`, made once and for all runs.

    Args:
        dataset: the dataset.
        size: of its cached form.
        directory: where caches are kept.
        masks: bool ``(N, 1, size, size)``, of the cache.

    Returns:
        float16 ``(N, 1, size, size)``, memory-mapped: see :func:`boundary_distances`.

    Raises:
        UserError: they cannot be written.
    """
    folder = cache_folder(dataset, size, directory)
    path = folder / "distances.npy"
    if (known := kept_array(path, masks.shape, np.float16, "r")) is not None:
        return known
    with _alone(dataset, folder, 2 * size * size):
        if kept_array(path, masks.shape, np.float16, "r") is None:
            write_atomic(path, lambda temporary: _write_distances(dataset, masks, temporary))
    return np.load(path, mmap_mode="r", allow_pickle=False)


@contextmanager
def _alone(dataset: LesionDataset, folder: Path, bytes_an_image: int) -> Iterator[None]:
    """Write to a cache while all other processes wait."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
            yield
    except OSError as error:
        needed = len(dataset.ids()) * bytes_an_image / 2**20
        raise UserError(
            f"The cache of dataset {dataset.name!r} ({needed:.0f} MiB) cannot be written to {folder.parent} "
            f"({error.strerror or error}); free some space or set data.cache_dir to another disk."
        ) from error


def _write_distances(dataset: LesionDataset, masks: NDArray[np.bool_], path: Path) -> None:
    from lightning_seg.distances import boundary_distances  # here: who only opens a cache would wait for SciPy's module

    with path.open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        _write_header(file, np.float16, masks.shape)
        maps = pool.map(boundary_distances, masks[:, 0])
        for distances in tracked(maps, f"Measuring distances in {dataset.name}", len(masks)):
            file.write(distances.astype(np.float16).data)


def _build(dataset: LesionDataset, size: int, folder: Path) -> None:
    drawn = {"drawn": errors().is_terminal}
    number = counted(len(dataset.ids()), "image")
    log.info("decoding %s, %s, once for all runs", dataset.name, number, extra=drawn)
    reading = dataset.reading()
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a build that was killed
    partial.mkdir()
    ids = dataset.ids()
    problems: list[Problem | str] = []
    contrasts = np.empty(len(ids), dtype=np.float32)
    try:
        with (partial / "images.npy").open("wb") as images, (partial / "masks.npy").open("wb") as masks:
            _write_header(images, np.uint8, (len(ids), 3, size, size))
            _write_header(masks, np.bool_, (len(ids), 1, size, size))
            pairs = tracked(_read_all(dataset, size), f"Caching {dataset.name}", len(ids))
            for index, pair in enumerate(pairs):
                if isinstance(pair, UserError):
                    problems += problems_of(pair)
                else:
                    images.write(np.ascontiguousarray(pair.image.transpose(2, 0, 1)).data)
                    masks.write(np.ascontiguousarray(pair.mask).data)
                    contrasts[index] = pair.contrast
        raise_problems(dataset, problems)
        np.save(partial / "contrasts.npy", contrasts)
        (partial / "ids.json").write_text(json.dumps(ids))
        if reading is not None:
            (partial / _READING).write_text(reading, encoding="utf-8")
        write_origin(dataset, partial)
        write_json(partial / _DIGESTS, {name: _digest(partial / name) for name in _FILES})
        for file in partial.iterdir():
            sync(file)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read_all(dataset: LesionDataset, size: int) -> Iterator[_Pair | UserError]:
    """Every pair in order, or the reason why it cannot be read."""

    def read(index: int) -> _Pair | UserError:
        try:
            image, mask = dataset.read(index, size)
            return _Pair(image, mask, lesion_contrast(image, mask))
        except UserError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes and resizes without the GIL
        yield from pool.map(read, range(len(dataset.ids())))


def _write_header(file, dtype: type[np.generic], shape: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
