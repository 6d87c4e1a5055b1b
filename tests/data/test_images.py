"""Kinds of image files that are handled, and those that are refused by name."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lightning_seg.data import images
from lightning_seg.data.images import open_image, open_mask
from lightning_seg.data.layers import open_layers
from lightning_seg.errors import UserError
from tests.data.make_layouts import lesion

RGB, MASK = lesion(3, 60, 40)
WHITE = MASK.astype(np.uint8) * 255


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
def test_images_of_8_bits(mode: str, suffix: str, tmp_path: Path) -> None:
    if mode == "P" and suffix == ".webp":
        pytest.skip("WebP has no palettes")
    image = Image.fromarray(RGB).convert(mode)
    options = {"lossless": True} if suffix == ".webp" else {}
    opened = open_image(saved(tmp_path / f"x{suffix}", image, **options))
    assert opened.image.mode == "RGB" and opened.size == (60, 40)
    assert np.array_equal(np.asarray(opened.image), np.asarray(image.convert("RGB")))


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, np.zeros((40, 60), np.uint8)])
    assert np.array_equal(np.asarray(open_image(saved(tmp_path / "x.png", Image.fromarray(rgba))).image), RGB)
    mask = np.dstack([WHITE, WHITE, WHITE, np.full_like(WHITE, 255)])
    assert np.array_equal(np.asarray(open_mask(saved(tmp_path / "m.png", Image.fromarray(mask))).image), WHITE)
    grey = Image.merge("LA", [Image.fromarray(WHITE), Image.new("L", (60, 40), 255)])
    assert np.array_equal(np.asarray(open_mask(saved(tmp_path / "la.png", grey)).image), WHITE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_image_and_mask(orientation: int, tmp_path: Path) -> None:
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    kinds = ((RGB, open_image), (WHITE, open_mask))
    for suffix, (pixels, opener) in itertools.product((".png", ".tif"), kinds):
        upright = Image.fromarray(pixels)
        stored = upright.transpose(turn[orientation]) if orientation in turn else upright
        opened = opener(saved(tmp_path / f"x{suffix}", stored, exif=exif))
        assert opened.size == (60, 40)
        assert np.array_equal(np.asarray(opened.image), pixels)


def test_a_reduced_jpeg_keeps_the_size_of_its_upright_original(tmp_path: Path) -> None:
    large = Image.fromarray(RGB).resize((1200, 800))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "x.jpg", large.transpose(Image.Transpose.ROTATE_90), exif=exif)
    opened = open_image(path, reduce_to=32)
    assert opened.size == (1200, 800)
    assert opened.image.size == (150, 100)
    assert open_image(path).image.size == (1200, 800)


REFUSED_IMAGES = {
    "cmyk": (Image.fromarray(RGB).convert("CMYK"), "x.jpg", "is CMYK; convert it"),
    "16-bit": (Image.fromarray(RGB[..., 0].astype(np.uint16) * 257), "x.png", "is 16- or 32-bit grey"),
    "float": (Image.fromarray(RGB[..., 0].astype(np.float32)), "x.tif", "is floating-point grey"),
    "lab": (Image.new("LAB", (8, 8)), "x.tif", "is LAB"),
}


@pytest.mark.parametrize("kind", REFUSED_IMAGES)
def test_images_of_unclear_colours_are_refused(kind: str, tmp_path: Path) -> None:
    image, name, sentence = REFUSED_IMAGES[kind]
    path = saved(tmp_path / name, image)
    for opener in (open_image, open_mask):
        with pytest.raises(UserError, match=sentence) as error:
            opener(path)
        assert str(path) in str(error.value)


def test_16_bit_rgb_keeps_its_high_bytes(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RGB.astype(np.uint16).reshape(40, -1) * 256 + 7)
    header = struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0)
    path = tmp_path / "x.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    assert np.array_equal(np.asarray(open_image(path).image), RGB)


def test_unreadable_files(tmp_path: Path) -> None:
    whole = saved(tmp_path / "x.png", Image.fromarray(RGB)).read_bytes()
    for name, content in {
        "cut.png": whole[:-900],
        "text.png": b"hello",
        "empty.png": b"",
        "bad.tif": b"II*\0zz",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: cannot be read as an image"):
            open_image(tmp_path / name)


def test_several_pages_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(RGB).save(path, save_all=True, append_images=[Image.fromarray(RGB)])
    with pytest.raises(UserError, match="holds 2 pages"):
        open_image(path)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", Image.new("1", (14000, 13000)))
    with pytest.raises(UserError, match="cannot be read as an image"):
        open_mask(path)


class TestMasksThatWouldSilentlyLoseLesions:
    def test_zero_and_one(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "m.png", Image.fromarray(MASK.astype(np.uint8)))
        with pytest.raises(UserError, match="brightest value is 1 of 255"):
            open_mask(path)

    def test_a_red_lesion(self, tmp_path: Path) -> None:
        red = np.dstack([WHITE, np.zeros_like(WHITE), np.zeros_like(WHITE)])
        with pytest.raises(UserError, match="has colours"):
            open_mask(saved(tmp_path / "m.png", Image.fromarray(red)))

    def test_a_palette_of_colours(self, tmp_path: Path) -> None:
        palette = Image.fromarray(MASK.astype(np.uint8), mode="P")
        palette.putpalette([0, 0, 0, 128, 0, 0])
        with pytest.raises(UserError, match="has colours"):
            open_mask(saved(tmp_path / "m.png", palette))

    def test_a_palette_of_greys_is_fine(self, tmp_path: Path) -> None:
        palette = Image.fromarray(MASK.astype(np.uint8), mode="P")
        palette.putpalette([0, 0, 0, 255, 255, 255])
        opened = open_mask(saved(tmp_path / "m.png", palette))
        assert np.array_equal(np.asarray(opened.image), WHITE)

    def test_an_empty_mask_is_fine(self, tmp_path: Path) -> None:
        assert not np.asarray(open_mask(saved(tmp_path / "m.png", Image.new("L", (5, 5)))).image).any()


def test_heic(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    pillow_heif.register_heif_opener()
    opened = open_image(saved(tmp_path / "x.heic", Image.fromarray(RGB), quality=95))
    assert opened.image.mode == "RGB" and opened.size == (60, 40)


def test_nothing_foreign_is_said_of_a_palette_with_transparency(tmp_path: Path) -> None:
    """In a process of its own, since pytest has filters of its own."""
    colours = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).quantize(8)
    colours.save(tmp_path / "a.png", transparency=bytes([0, 128, *[255] * 6]))
    program = (
        "import pathlib, sys; from lightning_seg.data.images import open_image; open_image(pathlib.Path(sys.argv[1]))"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "a.png")]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert said.stderr == ""


@pytest.mark.parametrize("kind", [np.int32, np.float32, np.uint16])
def test_deep_masks_are_taken_from_pillow_in_parts(kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a whole they would be held four times over."""
    values = np.arange(37 * 23, dtype=kind).reshape(37, 23)
    tifffile.imwrite(tmp_path / "a.tif", values)
    passed, before = [], Image.Image.tobytes

    def tobytes(image: Image.Image, *arguments: object) -> bytes:
        passed.append(image.width * image.height)
        return before(image, *arguments)

    monkeypatch.setattr(images, "_PART", 100)
    monkeypatch.setattr(Image.Image, "tobytes", tobytes)
    assert np.array_equal(open_layers(tmp_path / "a.tif").values, values)
    assert kind is np.uint16 or max(passed) <= 100
