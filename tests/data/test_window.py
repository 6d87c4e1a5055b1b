"""Images of more than 8 bits."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lightning_seg.data import Folder
from lightning_seg.data.images import open_image
from lightning_seg.data.window import parse_window
from lightning_seg.errors import UserError
from tests.data import drawings

DEEP = np.linspace(100, 4195, 48 * 40).reshape(40, 48)


@pytest.mark.parametrize(
    ("value", "black", "white"), [([100, 4195], 100, 4195), ("minmax", 100, 4195), ([1000, 2000], 1000, 2000)]
)
@pytest.mark.parametrize("kind", ["png", "tif", "big-endian", "float", "double", "rgb"])
def test_windows_on_all_kinds_of_deep_files(
    kind: str, value: object, black: float, white: float, tmp_path: Path
) -> None:
    window, tolerance = parse_window(value), 1
    if kind == "png":
        Image.fromarray(DEEP.astype(np.uint16)).save(path := tmp_path / "x.png")
    elif kind == "rgb":
        tifffile.imwrite(
            path := tmp_path / "x.tif", np.repeat(DEEP.astype(np.uint16)[..., None], 3, 2), photometric="rgb"
        )
    else:
        kinds = {"tif": "<u2", "big-endian": ">u2", "float": "<f4", "double": "<f8"}
        tifffile.imwrite(path := tmp_path / "x.tif", DEEP.astype(kinds[kind]), byteorder=kinds[kind][0])
    opened = open_image(path, window=window)
    expected = ((DEEP - black) / (white - black) * 255).clip(0, 255)
    assert opened.image.mode == "RGB" and opened.size == (48, 40)
    assert np.abs(np.asarray(opened.image, dtype=float) - expected[..., None]).max() <= tolerance
    if kind != "rgb":  # whose high bytes are taken
        with pytest.raises(UserError, match=r"dataset\.window"):
            open_image(path)


def test_percentiles_leave_outliers_out() -> None:
    pixels = np.r_[np.arange(98.0), 1e6, np.nan]
    window = parse_window("p1-p98")
    assert window is not None
    scaled = window.apply(pixels)
    assert scaled[-2] == 255 and scaled[-1] == 0 and 100 < scaled[49] < 150
    assert (window.apply(np.full(4, 7.0)) == 0).all()


def test_8_bit_images_stay_as_they_are(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "x.png")
    opened = open_image(tmp_path / "x.png", window=parse_window([0, 4095]))
    assert np.array_equal(np.asarray(opened.image)[..., 0], grey)


@pytest.mark.parametrize("value", ["max", "p5", "p9-p1", [1], [2, 1], ["a", "b"], [0, 1, 2]])
def test_windows_that_are_none(value: object) -> None:
    with pytest.raises(UserError, match=r"dataset\.window=.* is not valid"):
        parse_window(value)


def test_a_folder_of_deep_images_is_read_through_its_window_and_says_so(tmp_path: Path) -> None:
    for name in drawings.IDS:
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(DEEP.astype(np.uint16)).save(tmp_path / f"images/{name}.png")
    drawings.each(drawings.values(0, 1))(tmp_path, drawings.drawn())
    with pytest.raises(UserError, match=r"16- or 32-bit grey, whose range is unknown; say with dataset\.window"):
        Folder(tmp_path, "mine").read(0, 32)
    dataset = Folder(tmp_path, "mine", window="p1-p99")
    assert dataset.read(0, 32)[0].std() > 50 and dataset.picture(0).mode == "RGB"
    assert "each image's 1th to 99th percentile become 0 to 255" in dataset.reading()
    assert dataset.signature() != Folder(tmp_path, "mine").signature()
