"""The cache is whole, right and built once, whatever happens meanwhile."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lightning_seg.data import Folder, LesionDataset, Synthetic
from lightning_seg.data.cache import cache_folder, open_cache, open_distances
from lightning_seg.distances import boundary_distances
from lightning_seg.errors import UserError
from tests.conftest import PATIENCE_SECONDS, PROCESSES

SIZE = 16


class Watched(Synthetic):
    """Notes each reading in a file that processes share, and can stop in the middle."""

    def __init__(self, notes: Path, stop_at: int | None = None) -> None:
        super().__init__(count=12)
        self.notes = notes
        self.stop_at = stop_at

    def read(self, index: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        with self.notes.open("a") as file:
            file.write(f"{index}\n")
        while index == self.stop_at:
            time.sleep(0.01)
        return super().read(index, size)


def folder_dataset(root: Path, count: int = 4) -> Folder:
    """Images whose first pixel's red is their number."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number in range(count):
        pixels = np.full((20, 20, 3), 100, dtype=np.uint8)
        pixels[..., 0] = number
        Image.fromarray(pixels).save(root / f"images/{number}.png")
        mask = np.zeros((20, 20), dtype=np.uint8)
        mask[:10] = 255
        Image.fromarray(mask).save(root / f"masks/{number}.png")
    return Folder(root, "mine")


def entries(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".lock")


def test_holds_what_the_dataset_reads(tmp_path: Path) -> None:
    dataset = Synthetic(count=5)
    cache = open_cache(dataset, SIZE, tmp_path)
    assert cache.ids == dataset.ids()
    assert cache.images.shape == (5, 3, SIZE, SIZE) and cache.images.dtype == np.uint8
    assert cache.masks.shape == (5, 1, SIZE, SIZE) and cache.masks.dtype == np.bool_
    for index in range(5):
        image, mask = dataset.read(index, SIZE)
        assert np.array_equal(cache.images[index], image.transpose(2, 0, 1))
        assert np.array_equal(cache.masks[index, 0], mask)


def test_is_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    cache = open_cache(Synthetic(count=2), SIZE, tmp_path)
    for array in (cache.images, cache.masks):
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_is_read_once_and_again_for_another_size(tmp_path: Path) -> None:
    dataset = Watched(tmp_path / "notes")
    for size, reads in ((SIZE, 12), (SIZE, 12), (SIZE + 1, 24)):
        open_cache(dataset, size, tmp_path / "cache")
        assert len(dataset.notes.read_text().splitlines()) == reads


def test_a_changed_source_file_is_read_again(tmp_path: Path) -> None:
    dataset = folder_dataset(tmp_path / "mine")
    assert open_cache(dataset, SIZE, tmp_path / "cache").images[2, 0, 0, 0] == 2
    pixels = np.full((20, 20, 3), 77, dtype=np.uint8)
    path = tmp_path / "mine/images/2.png"
    Image.fromarray(pixels).save(path)
    os.utime(path, ns=(0, 0))
    changed = open_cache(Folder(tmp_path / "mine", "mine"), SIZE, tmp_path / "cache")
    assert changed.images[:, 0, 0, 0].tolist() == [0, 1, 77, 3]


@pytest.mark.slow
def test_two_processes_at_once_build_it_once(tmp_path: Path) -> None:
    dataset = Watched(tmp_path / "notes")
    builders = [PROCESSES.Process(target=open_cache, args=(dataset, SIZE, tmp_path / "cache")) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(PATIENCE_SECONDS)
        assert builder.exitcode == 0
    assert sorted(map(int, dataset.notes.read_text().split())) == list(range(12))
    assert np.array_equal(
        open_cache(dataset, SIZE, tmp_path / "cache").images, open_cache(Synthetic(count=12), SIZE, tmp_path).images
    )


@pytest.mark.slow
def test_a_killed_build_does_not_count(tmp_path: Path) -> None:
    dataset = Watched(tmp_path / "notes", stop_at=7)
    builder = PROCESSES.Process(target=open_cache, args=(dataset, SIZE, tmp_path / "cache"))
    builder.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not dataset.notes.exists() or "7" not in dataset.notes.read_text().split():
        assert builder.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    builder.kill()
    builder.join()
    assert [name.endswith(".partial") for name in entries(tmp_path / "cache")] == [True]

    dataset.stop_at = None
    rebuilt = open_cache(dataset, SIZE, tmp_path / "cache")
    assert np.array_equal(rebuilt.images, open_cache(Synthetic(count=12), SIZE, tmp_path).images)
    assert [name.endswith(".partial") for name in entries(tmp_path / "cache")] == [False]


def test_all_bad_files_are_in_one_error_and_nothing_is_left(tmp_path: Path) -> None:
    dataset = folder_dataset(tmp_path / "mine", count=6)
    whole = (tmp_path / "mine/images/1.png").read_bytes()
    (tmp_path / "mine/images/1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "mine/masks/3.png").write_text("no picture")
    Image.new("L", (30, 20)).save(tmp_path / "mine/masks/4.png")
    with pytest.raises(UserError, match=r"3 bad files") as caught:
        open_cache(dataset, SIZE, tmp_path / "cache")
    for name in ("images/1.png", "masks/3.png", "masks/4.png: the mask is 30x20 but its image 4.png is 20x20"):
        assert name in str(caught.value)
    assert entries(tmp_path / "cache") == []


def test_a_full_disk_is_one_sentence_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_open = Path.open

    def open_full(path: Path, *args: Any, **kwargs: Any) -> Any:
        file = really_open(path, *args, **kwargs)
        if path.suffix != ".npy":
            return file

        class Full:
            def __enter__(self) -> "Full":
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(self, data: Any) -> int:
                if file.tell() + len(bytes(data)) > 4000:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return file.write(data)

        return Full()

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(UserError, match=r"cannot be written to .* \(No space left on device\); free some space"):
        open_cache(Synthetic(count=12), SIZE, tmp_path)
    assert entries(tmp_path) == []


def test_a_place_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"set data\.cache_dir"):
        open_cache(Synthetic(count=2), SIZE, tmp_path / "file")


def test_a_dot_in_the_name_keeps_datasets_apart(tmp_path: Path) -> None:
    names = ("my.first", "my.second")
    datasets: list[LesionDataset] = [Synthetic(count=2, seed=seed, name=name) for seed, name in enumerate(names)]
    for dataset in datasets:
        open_cache(dataset, SIZE, tmp_path)
    assert sorted(path.name.split("-")[0] for path in tmp_path.glob("*.lock")) == sorted(names)


def test_distances_are_measured_once_beside_the_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Synthetic(count=5)
    masks = open_cache(dataset, SIZE, tmp_path).masks
    folder = cache_folder(dataset, SIZE, tmp_path)
    assert not (folder / "distances.npy").exists(), "only losses that need them have them measured"
    found = open_distances(dataset, SIZE, tmp_path, masks)
    assert found.dtype == np.float16 and found.shape == masks.shape
    for mask, distances in zip(masks[:, 0], found[:, 0], strict=True):
        np.testing.assert_allclose(distances, boundary_distances(mask), rtol=5e-4)

    def refuse(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        raise AssertionError("measured again")

    monkeypatch.setattr("lightning_seg.distances.boundary_distances", refuse)
    np.testing.assert_array_equal(open_distances(dataset, SIZE, tmp_path, masks), found)
    assert [path.name for path in folder.glob("*.tmp")] == []


def test_a_measuring_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Synthetic(count=5)
    masks = open_cache(dataset, SIZE, tmp_path).masks

    def full(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lightning_seg.distances.boundary_distances", full)
        with pytest.raises(UserError, match=r"No space left on device.*data\.cache_dir"):
            open_distances(dataset, SIZE, tmp_path, masks)
    assert not list(cache_folder(dataset, SIZE, tmp_path).glob("distances*"))
    assert open_distances(dataset, SIZE, tmp_path, masks).shape == masks.shape
