"""Images, archives, caches, checkpoints and weights from anywhere: bounded, looked at, and told when they are bad."""

import json
import os
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file

from lightning_seg.advise.features import _saturation_of
from lightning_seg.cli.caches import caches
from lightning_seg.cli.convert import convert
from lightning_seg.cli.evaluate import evaluate
from lightning_seg.cli.export import export
from lightning_seg.cli.predict import predict
from lightning_seg.data import Folder, Synthetic, images, layers
from lightning_seg.data.cache import cache_folder, open_cache
from lightning_seg.data.convert import write_plain
from lightning_seg.data.copies import find_copies, prints_of
from lightning_seg.data.duplicates import dataset_hashes
from lightning_seg.data.images import great_images_alone, open_image
from lightning_seg.data.inspect.measure import _measure
from lightning_seg.data.prepare.prepare import prepare
from lightning_seg.data.prepare.sources import SOURCES
from lightning_seg.data.prepare.unpack import unpack
from lightning_seg.data.split import Fractions, count_repeats, make_split
from lightning_seg.data.window import Window
from lightning_seg.errors import UserError
from lightning_seg.inference.evaluate import native_mask
from lightning_seg.report.figures.style import new, save
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.resume import ResumeCheckpoint
from lightning_seg.wording import from_cell
from tests.conftest import Train
from tests.inference.calls import invoke, read_csv
from tests.safety.conftest import edit


def write_image(path: Path, size: int = 32) -> Path:
    Image.fromarray(np.full((size, size, 3), 90, dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def odd_images(tmp_path: Path) -> Path:
    """A good image among some that are none, or too much."""
    folder = tmp_path / "images"
    folder.mkdir()
    write_image(folder / "good.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    write_image(folder / f"{'x' * 249}.png")
    shutil.copy(folder / "good.png", os.fsencode(folder) + b"/not-utf8-\xff.png")
    shutil.copy(folder / "good.png", folder / "=cmd()\x1b[31m.png")
    return folder


def test_odd_images_are_skipped_and_the_others_predicted(run: Path, odd_images: Path, tmp_path: Path) -> None:
    paths = [os.fsdecode(path) for path in sorted(os.scandir(os.fsencode(odd_images)), key=lambda entry: entry.name)]
    code, output = invoke(predict, run, *paths, "--device", "cpu", "--output", tmp_path / "out")
    assert code == 1
    assert "3 of 6 images segmented" in output
    assert output.count("skipped:") == 3
    assert "it is no file" in output
    assert "its name is too long or no text" in output
    assert "\x1b" not in output
    names = [row["id"] for row in read_csv(tmp_path / "out" / "predictions.csv")]
    assert sorted(names) == sorted(["good", "x" * 249, "'=cmd()\x1b[31m"])
    assert from_cell(next(name for name in names if "cmd" in name)) == "=cmd()\x1b[31m"


def test_a_tiff_that_unpacks_to_gigabytes_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.zeros((16, 16, 3), np.uint8), photometric="minisblack", planarconfig="contig")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        places = {tag.name: tag.valueoffset for tag in tiff.pages[0].tags.values()}
    for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
        data[places[name] : places[name] + 2] = (60000).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot be read as an image"):
        open_image(path)


def test_an_archive_of_too_many_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(30_001):
            archive.writestr(f"{number}/", "")
    with pytest.raises(UserError, match=r"more than 30,000 files"):
        unpack(path, tmp_path, 10**6)


def test_a_device_behind_an_image_fills_no_disk(tmp_path: Path) -> None:
    source = next(source for source in SOURCES if source.name == "kvasir")
    given = tmp_path / "given"
    for folder in ("images", "masks"):
        (given / folder).mkdir(parents=True)
        (given / folder / "a.jpg").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is no file, nor a link to one"):
        prepare(source, tmp_path / "data", given, Console(quiet=True))
    assert not any((tmp_path / "data").glob("kvasir/*"))


def test_an_archives_name_is_no_markup(tmp_path: Path) -> None:
    source = next(source for source in SOURCES if source.name == "kvasir")
    (tmp_path / "pack[").mkdir()
    path = tmp_path / "pack[" / "1].zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a[/1].txt", "")
    console = Console(record=True, width=300, quiet=False, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    with pytest.raises(UserError):
        prepare(source, tmp_path / "data", path, console)
    assert "pack[/1].zip" in console.export_text()


class TestCache:
    """Decoded datasets are as they were written, or written again."""

    SIZE = 16

    @pytest.fixture
    def dataset(self) -> Synthetic:
        return Synthetic(count=6, seed=1)

    @pytest.mark.parametrize("name", ["ids.json", "images.npy", "masks.npy", "contrasts.npy", "digests.json"])
    @pytest.mark.parametrize("damage", ["zeros", "flip", "cut", "gone"])
    def test_a_damaged_cache_is_set_aside_and_built_again(
        self, name: str, damage: str, dataset: Synthetic, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = [np.array(part) for part in open_cache(dataset, self.SIZE, tmp_path)[1:]]
        path = cache_folder(dataset, self.SIZE, tmp_path) / name
        content = bytearray(path.read_bytes())
        if damage == "zeros":
            content[-200:] = bytes(min(200, len(content)))
        elif damage == "flip":
            content[-3] ^= 1
        path.write_bytes(content[:-5] if damage == "cut" else content)
        os.utime(path, (1, 1))
        if damage == "gone":
            path.unlink()
        found = open_cache(dataset, self.SIZE, tmp_path)
        assert found.ids == dataset.ids()
        for part, each in zip(before, found[1:], strict=True):
            np.testing.assert_array_equal(part, each)
        if (name, damage) != ("digests.json", "gone"):  # as an older version has left it
            assert "is damaged (" in caplog.text
            assert (path.parent.with_name(path.parent.name + ".damaged")).is_dir()

    def test_ids_in_another_order_are_not_believed(self, dataset: Synthetic, tmp_path: Path) -> None:
        open_cache(dataset, self.SIZE, tmp_path)
        folder = cache_folder(dataset, self.SIZE, tmp_path)
        (folder / "digests.json").unlink()
        (folder / "ids.json").write_text(json.dumps(dataset.ids()[::-1]))
        assert open_cache(dataset, self.SIZE, tmp_path).ids == dataset.ids()

    def test_a_sound_cache_is_hashed_once(
        self, dataset: Synthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        open_cache(dataset, self.SIZE, tmp_path)
        open_cache(dataset, self.SIZE, tmp_path)
        monkeypatch.setattr("lightning_seg.data.cache._digest", lambda path: pytest.fail("hashed again"))
        open_cache(dataset, self.SIZE, tmp_path)


FOREIGN: tuple[dict[str, object], ...] = (
    *({"loops": {}}, {"loops": [1]}, {"state_dict": {}}, {"state_dict": {"model.0.weight": torch.zeros(1)}}),
    *({"optimizer_states": [{"state": {}, "param_groups": []}]}, {"pytorch-lightning_version": "\x1b[31m9.9"}),
)


class TestCheckpoint:
    """A training goes on from a checkpoint that is as it was written, or begins anew."""

    CHECKPOINT = "resume-0123456789abcdef.ckpt"

    @pytest.fixture
    def checkpoint(self, tmp_path: Path) -> ResumeCheckpoint:
        names = ("state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers", "epoch", "global_step")
        torch.save(dict.fromkeys(names) | {"state_dict": {"w": torch.arange(2000.0)}}, tmp_path / self.CHECKPOINT)
        return ResumeCheckpoint(RunFolder(tmp_path), "0123456789abcdef", 1)

    def test_a_whole_one_is_taken(self, checkpoint: ResumeCheckpoint) -> None:
        assert checkpoint.usable() == checkpoint.path

    @pytest.mark.parametrize("damage", ["flip", "cut", "empty", "pickle", "other"])
    def test_a_damaged_one_is_set_aside(
        self, damage: str, checkpoint: ResumeCheckpoint, payload: Path, ran: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        content = bytearray(checkpoint.path.read_bytes())
        content[len(content) // 2] ^= 16
        bad = {"flip": content, "cut": content[:-100], "empty": b"", "pickle": payload.read_bytes()}
        checkpoint.path.write_bytes(bad.get(damage, b""))
        if damage == "other":
            torch.save({"w": 1}, checkpoint.path)
        assert checkpoint.usable() is None
        assert f"{checkpoint.path} is damaged (" in caplog.text
        assert [path.name for path in checkpoint.path.parent.glob("resume-*")] == [f"{self.CHECKPOINT}.damaged"]
        assert not ran.exists()

    @pytest.mark.parametrize(("kind", "said"), [("array", "makes a __builtin__ bytearray"), ("zip", "are compressed")])
    def test_a_few_bytes_do_not_become_gigabytes(
        self, kind: str, said: str, checkpoint: ResumeCheckpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        with zipfile.ZipFile(checkpoint.path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        if kind == "array":  # which torch takes for harmless
            size = (3 * 2**30).to_bytes(5, "little")
            pickled = b"\x80\x02c__builtin__\nbytearray\n\x8a\x05" + size + b"\x85R."
            parts = {name: pickled if name.endswith("data.pkl") else content for name, content in parts.items()}
        method = zipfile.ZIP_STORED if kind == "array" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(checkpoint.path, "w", method) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        assert checkpoint.usable() is None
        assert said in caplog.text

    def test_training_begins_anew(self, train: Train) -> None:
        arguments = ("loss=bce", "checkpoint.every_minutes=0", "trainer.max_epochs=3")
        train(*arguments)
        run = train.directory / "multirun/default/synthetic/tiny/bce/repeat_0"
        before = (run / "test_images.csv").read_bytes()
        fingerprint = json.loads((run / "result.json").read_text())["fingerprint"]
        (run / "result.json").unlink()
        (run / f"resume-{fingerprint}.ckpt").write_bytes(b"PK damaged")
        code, _, _ = train.here(*arguments)
        assert code == 0
        assert (run / "test_images.csv").read_bytes() == before
        assert "training begins anew" in (run / "train.log").read_text()
        assert not list(run.glob("resume-*"))

    def test_one_of_another_training_is_set_aside(self, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
        arguments = ("loss=bce", "checkpoint.every_minutes=0", "trainer.max_epochs=3")
        monkeypatch.setattr(RunFolder, "checkpoint", lambda *_: train.directory / "kept.ckpt")
        train.here(*arguments)
        run = train.directory / "multirun/default/synthetic/tiny/bce/repeat_0"
        sound = torch.load(train.directory / "kept.ckpt", weights_only=True)
        weights = (run / "weights.safetensors").read_bytes()
        for change in FOREIGN:
            (run / "result.json").unlink()
            torch.save(sound | change, train.directory / "kept.ckpt")
            code, _, err = train.here(*arguments)
            assert code == 0, err
            assert "training begins anew" in err
            assert "\x1b" not in err
            assert (run / "weights.safetensors").read_bytes() == weights


class TestWeights:
    """What a run's own test says of it is not kept from its user."""

    def test_weights_that_are_no_numbers_predict_nothing(self, run: Path, tmp_path: Path) -> None:
        state = load_file(run / "weights.safetensors")
        next(value for value in state.values() if value.is_floating_point()).fill_(float("nan"))
        save_file(state, run / "weights.safetensors")
        photo = write_image(tmp_path / "photo.png")
        for command, *arguments in ((predict, photo), (evaluate, "--no-distances"), (export, "--format", "torch")):
            with pytest.raises(UserError, match=r"no numbers.*diverged"):
                invoke(command, run, *arguments, "--output", tmp_path / "out")

    @pytest.mark.parametrize(
        ("kind", "said"),
        [
            ("zero", "its Dice on its own test images is 0.0"),
            ("diverged", "its training diverged"),
            ("collapsed", "predicted background everywhere"),
        ],
    )
    def test_a_poor_run_is_told(self, kind: str, said: str, run: Path, tmp_path: Path) -> None:
        if kind == "collapsed":
            rows = (run / "test_images.csv").read_text().splitlines()
            head = rows[0].split(",")
            cells = [dict(zip(head, row.split(","), strict=True)) for row in rows[1:]]
            lines = [",".join({**cell, "tp": "0", "fp": "0", "fn": "9"}.values()) for cell in cells]
            (run / "test_images.csv").write_text("\n".join([rows[0], *lines]) + "\n")
        else:
            change = {"zero": {"test": {"dice": 0.0}}, "diverged": {"status": "diverged"}}[kind]
            edit(run / "result.json", lambda record: record.update(change))
        photo = write_image(tmp_path / "photo.png")
        code, output = invoke(predict, run, photo, "--device", "cpu", "--output", tmp_path / "out")
        assert code == 0
        assert said in output


class TestOwnTest:
    """Images of the training are never scored as test images."""

    @pytest.mark.parametrize("kept", [0, 1, 2])
    def test_a_table_that_has_lost_rows_is_refused(self, kept: int, run: Path, tmp_path: Path) -> None:
        rows = (run / "test_images.csv").read_text().splitlines()
        (run / "test_images.csv").write_text("\n".join(rows[: 1 + kept]) + "\n")
        with pytest.raises(UserError, match=r"is empty|do not name the same test images"):
            invoke(evaluate, run, "--no-distances", "--device", "cpu", "--output", tmp_path / "out")

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"test": 1}', "[" * 100_000, '{"test": ["a"]}'])
    def test_a_split_that_is_none_is_refused(self, content: str, run: Path, tmp_path: Path) -> None:
        (run / "split.json").write_text(content)
        with pytest.raises(UserError, match=r"split\.json"):
            invoke(evaluate, run, "--no-distances", "--device", "cpu", "--output", tmp_path / "out")

    def test_its_own_images_are_scored(self, run: Path, tmp_path: Path) -> None:
        code, output = invoke(evaluate, run, "--no-distances", "--device", "cpu", "--output", tmp_path / "out")
        assert code == 0
        assert "4 of 4 images scored" in output


def test_a_split_file_that_is_nested_too_deeply_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text("[" * 200_000)
    with pytest.raises(UserError, match="cannot be read"):
        make_split(str(path), Synthetic(count=10), Fractions(0.6, 0.2, 0.2), 0, 0)


def test_a_folder_of_links_to_images_is_a_dataset_still(tmp_path: Path) -> None:
    write_image(tmp_path / "there.png")
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    (tmp_path / "data/images/a.png").symlink_to(tmp_path / "there.png")
    Image.fromarray(np.eye(32, dtype=np.uint8) * 255).save(tmp_path / "data/masks/a.png")
    assert Folder(tmp_path / "data", "mine").read(0, 16)[0].shape == (16, 16, 3)


def test_a_picture_that_is_a_program_is_not_handed_to_another(
    tmp_path: Path, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EPS is what Pillow gives to Ghostscript, whatever the file is called."""
    gs = tmp_path / "bin" / "gs"
    gs.parent.mkdir()
    gs.write_text(f"#!/bin/sh\ntouch {ran}\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", str(gs.parent), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    path = tmp_path / "photo.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(UserError, match="of no known kind"):
        open_image(path)
    assert not ran.exists()


def test_names_with_dollar_signs_are_drawn(tmp_path: Path) -> None:
    figure = new(name="f", title="t", caption="c")
    figure.canvas.text(0, 0, r"x$\frac$ $(id)$")
    assert r"x$\frac$ $(id)$" in save(figure, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x80\x04", bytes(500)])
def test_damaged_hashes_are_made_again(content: bytes, tmp_path: Path) -> None:
    dataset = Synthetic(count=3, seed=1)
    before = dataset_hashes(dataset, tmp_path)
    [path] = tmp_path.glob("*.npy")
    path.write_bytes(content)
    assert np.array_equal(dataset_hashes(dataset, tmp_path), before)
    assert np.array_equal(np.load(path), before)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_split_of_a_record_that_is_no_file_is_not_waited_for(kind: str, study: Path, tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="it is no file"):
        count_repeats(str(path), Fractions(0.6, 0.2, 0.2))


@pytest.mark.parametrize(
    "origin",
    [
        *({"root": "/", "files": [[name, 1, 1]]} for name in (1, None, "a\0", "x" * 300)),
        *({"root": "a\0b", "files": []}, {"root": 5}, [], {"root": "/", "files": 5}),
    ],
)
def test_a_cache_whose_origin_is_none_is_listed(origin: object, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "a\x1b[31m[b]"
    cache.mkdir(parents=True)
    (cache / "ids.json").write_text("[]")
    (cache / "origin.json").write_text(json.dumps(origin))
    code, output = invoke(caches, "--data-dir", tmp_path)
    assert code == 0
    assert "\\x1b[31m[b]" in output


def test_a_linked_cache_is_not_removed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "ids.json").write_text("[]")
    (elsewhere / "origin.json").write_text(json.dumps({"root": "/", "files": [["absent", 1, 1]]}))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a").symlink_to(elsewhere)
    code, output = invoke(caches, "--data-dir", tmp_path, "--remove")
    assert code == 0
    assert "0 removed" in output
    assert (elsewhere / "ids.json").exists()


def test_two_names_that_some_system_writes_alike_are_not_converted_into_one(tmp_path: Path) -> None:
    for place, kind in (("images", "RGB"), ("masks", "L")):
        (tmp_path / "data" / place).mkdir(parents=True)
        for name, grey in (("a:b.png", 90), ("a?b.png", 200)):
            Image.new("L", (32, 32), grey).convert(kind).save(tmp_path / "data" / place / name)
    with pytest.raises(UserError, match="would be written under one name"):
        invoke(convert, tmp_path / "data", tmp_path / "out", "dataset.lesion=nonzero")
    assert not (tmp_path / "out").exists()


def test_great_images_are_held_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty kilobytes may be of 179 megapixels, and a machine has many threads."""
    path = write_image(tmp_path / "a.png")
    held, most = 0, 0

    def use(_: int) -> None:
        nonlocal held, most
        with great_images_alone(path):
            held += 1
            most = max(most, held)
            time.sleep(0.01)
            held -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert most > 1
    most = 0
    monkeypatch.setattr(images, "_GREAT", 32 * 32 - 1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert most == 1


def test_what_only_tifffile_reads_takes_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_GREAT", 32 * 32 - 1)
    small = write_image(tmp_path / "small.png", 8)
    tifffile.imwrite(
        tmp_path / "odd.tif", np.zeros((32, 32, 3), np.uint8), photometric="minisblack", planarconfig="contig"
    )
    tifffile.imwrite(tmp_path / "double.tif", np.zeros((32, 32)), photometric="minisblack")
    for name in ("odd.tif", "double.tif"):
        with great_images_alone(small, tmp_path / name):
            assert images._great.locked()
    assert open_image(tmp_path / "odd.tif").size == (32, 32)


def test_all_that_looks_at_great_images_waits_for_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        write_image(tmp_path / f"{name}.png")
        Image.new("L", (32, 32), 255).save(tmp_path / f"{name}_mask.png")
    dataset = Folder(tmp_path, "great")
    dataset.reading()
    held: list[bool] = []
    decode = images._decode

    def seen(*given: Any, **more: Any) -> images.Picture:
        held.append(images._great.locked())
        return decode(*given, **more)

    monkeypatch.setattr(images, "_GREAT", 32 * 32 - 1)
    monkeypatch.setattr(images, "_decode", seen)
    for look, count in (
        (dataset_hashes, 2),
        (prints_of, 2),
        (lambda dataset: _measure(dataset, 0), 2),
        (lambda dataset: native_mask(dataset, 0), 2),
        (lambda dataset: _saturation_of(dataset, 0), 1),
        (lambda dataset: write_plain(dataset, tmp_path / "plain"), 4),
    ):
        held.clear()
        look(dataset)
        assert held == [True] * count


def test_an_image_is_held_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decoded is what is given back: of 179 megapixels each copy takes 700 MB."""
    copied: list[str] = []
    monkeypatch.setattr(Image.Image, "copy", lambda image: copied.append(image.mode))
    assert open_image(write_image(tmp_path / "a.png")).image.mode == "RGB"
    assert copied == []


def test_a_mask_of_millions_of_values_is_described_by_the_most_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_BLOCK", 1000)
    monkeypatch.setattr(layers, "_MOST_VALUES", 16)
    values = np.arange(10_000, dtype=np.int32) % 5000
    values[::3] = 7
    counts = layers._counted(values)
    assert len(counts) == 16
    assert counts.most_common(1)[0] == (7, 3334 + int((values[1::3] == 7).sum() + (values[2::3] == 7).sum()))


def test_windows_are_worked_out_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.normal(500, 100, (37, 41)).astype(np.float32)
    pixels[3, 4], pixels[5, 6] = np.nan, np.inf
    for window in (Window(100, 900, False), Window(0, 100, True), Window(1, 99, True)):
        whole = window.apply(pixels)
        with monkeypatch.context() as patch:
            patch.setattr("lightning_seg.data.window._BLOCK", 100)
            np.testing.assert_array_equal(window.apply(pixels), whole)
            patch.setattr("lightning_seg.data.window._WHOLE", 100)
            assert abs(window.apply(pixels).astype(int) - whole).max() <= 1


HEADER = b"\x93NUMPY\x01\x00v\x00"


@pytest.mark.parametrize("what", ["a pipe", "a device", "a great header", "objects", "cut"])
def test_hashes_that_are_none_are_made_again(what: str, tmp_path: Path) -> None:
    dataset = Synthetic(count=3, seed=1)
    before = dataset_hashes(dataset, tmp_path)
    [path] = tmp_path.glob("*.npy")
    content = path.read_bytes()
    path.unlink()
    shape = f"{{'descr': '|b1', 'fortran_order': False, 'shape': ({10**13},), }}".encode().ljust(117) + b"\n"
    objects = b"{'descr': '|O', 'fortran_order': False, 'shape': (3, 256), }".ljust(117) + b"\n"
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes({"a great header": HEADER + shape, "objects": HEADER + objects, "cut": content[:-9]}[what])
    assert np.array_equal(dataset_hashes(dataset, tmp_path), before)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [
        *("", "null", "[1]", "[[1, 2]]", '[["a", "b", "c", "d"]]', "[[0, 9, 0.9, 0]]", "[[1, 0, 0.9, 0]]"),
        *("[[0, 1, 0.9, 99]]", "[[0, 1, null, 0]]", "[[-1, 1, 0.9, 0]]", "[" * 100_000, "[[true, 1, 0.9, 0]]"),
    ],
)
def test_kept_copies_that_are_none_are_looked_for_again(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = Synthetic(count=3, seed=1)
    before = find_copies(dataset, tmp_path)
    [path] = tmp_path.glob("*.copies.json")
    path.write_text(content)
    assert find_copies(dataset, tmp_path) == before
    assert "is damaged (" in caplog.text
    assert json.loads(path.read_text()) == [list(pair) for pair in before]


def test_great_images_of_a_dataset_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one waits for a look at all masks."""
    monkeypatch.setattr("lightning_seg.data.images._GREAT", 32 * 32 - 1)
    for name in "ab":
        write_image(tmp_path / f"{name}.png")
        Image.new("L", (32, 32), 255).save(tmp_path / f"{name}_mask.png")
    found: list[bool] = []
    reading = Thread(target=lambda: found.append(bool(Folder(tmp_path, "great").read(0, 16)[1].all())), daemon=True)
    reading.start()
    reading.join(60)
    assert found == [True]
