"""Whatever a file holds, it is read or named in one line."""

import io
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lightning_seg.data.images import BadFileError, open_image, open_mask
from lightning_seg.data.layers import open_layers
from lightning_seg.data.window import parse_window
from tests.data.make_layouts import lesion

CASES = Path(__file__).parents[3] / "shared" / "cases"
PIXELS = lesion(0, 40, 30)[0]


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x0100] = 6, 40
    buffer = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(
        buffer, kind, **({"exif": exif} if kind not in ("BMP", "PPM", "GIF") else {}), **options
    )
    return buffer.getvalue()


def cmyk_tiff() -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PIXELS, photometric="minisblack", planarconfig="contig", metadata=None)
    return buffer.getvalue()


def with_a_damaged_tag() -> bytes:
    """A JPEG of orientation 6 whose tag 0x0100 has type 9 and value -1."""
    whole = encoded("JPEG")
    entry = struct.pack("<HHII", 0x0100, 4, 1, 40)
    at = whole.find(entry) if entry in whole else whole.find(struct.pack(">HHII", 0x0100, 4, 1, 40))
    order = "<" if entry in whole else ">"
    if at < 0:
        entry = struct.pack(">HHIHH", 0x0100, 3, 1, 40, 0)
        at, order = whole.find(entry), ">"
    assert at > 0
    return whole[:at] + struct.pack(f"{order}HHIi", 0x0100, 9, 1, -1) + whole[at + 12 :]


def test_a_damaged_tag_beside_the_orientation_does_no_harm(tmp_path: Path) -> None:
    """The orientation is read alone; Pillow's own turning writes all tags anew, and fails."""
    (tmp_path / "x.jpg").write_bytes(with_a_damaged_tag())
    assert open_image(tmp_path / "x.jpg").size == (30, 40)


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
@pytest.mark.parametrize("name", ["damaged_size_tag_lzw.tif", "damaged_tag_raw.tif"])
def test_tiffs_with_damaged_tags_are_named(name: str) -> None:
    for opener in (open_image, open_mask, open_layers):
        with pytest.raises(BadFileError, match=f"{name}: cannot be read as an image"):
            opener(CASES / name)


KINDS = {
    "jpg": [encoded("JPEG"), encoded("JPEG", progressive=True)],
    "png": [encoded("PNG"), encoded("PNG", Image.fromarray(PIXELS).convert("P"))],
    "tif": [encoded("TIFF"), encoded("TIFF", compression="tiff_lzw"), cmyk_tiff()],
    "webp": [encoded("WEBP")],
    "bmp": [encoded("BMP")],
    "gif": [encoded("GIF")],
    "ppm": [encoded("PPM")],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", KINDS)
def test_damage_is_named_or_does_no_harm(suffix: str, tmp_path: Path) -> None:
    rng, path = random.Random(suffix), tmp_path / f"x.{suffix}"
    for round_ in range(150):
        content = bytearray(KINDS[suffix][round_ % len(KINDS[suffix])])
        for _ in range(rng.choice((1, 2, 8))):
            at = rng.randrange(min(len(content), rng.choice((64, 300, 10**6))))
            if rng.random() < 0.6:
                content[at] = rng.choice((0, 255, rng.randrange(256)))
            elif rng.random() < 0.6:
                content[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4)))
            else:
                del content[at : at + rng.randrange(1, 30)]
        path.write_bytes(content)
        for opener in (lambda p: open_image(p, 16, parse_window("minmax")), open_mask, open_layers):
            try:
                opener(path)
            except BadFileError as error:
                assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


def test_pages_of_a_gif_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(PIXELS, shift, axis=0)) for shift in (0, 5)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(BadFileError, match="holds 2 pages"):
        open_image(tmp_path / "x.gif")
