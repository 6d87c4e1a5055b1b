"""Tiny generated copies of the official layouts of the six datasets, with every trap that the real files hold.

``python -m tests.data.make_layouts FOLDER`` writes them all; the tests call the functions one by one. Each function
returns the true masks by id, bool ``(height, width)``.
"""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

Masks = dict[str, NDArray[np.bool_]]


def lesion(seed: int, width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A red image, uint8 ``(height, width, 3)``, with a green ellipse off the centre, and the ellipse's mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    centre_x, centre_y = width * rng.uniform(0.2, 0.45), height * rng.uniform(0.2, 0.45)
    mask = ((x - centre_x) / (0.18 * width)) ** 2 + ((y - centre_y) / (0.18 * height)) ** 2 <= 1
    image = np.empty((height, width, 3), dtype=np.uint8)
    image[:] = (200, 60, 30)
    image[mask] = (20, 160, 60)
    texture = rng.normal(0, 14, (height // 4 + 1, width // 4 + 1, 3)).repeat(4, 0).repeat(4, 1)[:height, :width]
    return (image + texture).clip(0, 255).astype(np.uint8), mask


def save(array: NDArray, path: Path, **options: object) -> None:
    """Write an image or a mask (bool becomes 0 and 255), making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array if array.dtype != bool else array.astype(np.uint8) * 255).save(path, **options)


def isic(root: Path) -> Masks:
    """Three subsets in six folders; superpixels and a CSV beside the images; the mask suffix in both cases."""
    masks = {}
    subsets = {
        "Training": ["0000000", "0000001", "0015295"],
        "Validation": ["0001769", "0015627"],
        "Test_v2": ["0012086", "0012092"],
    }
    for subset, numbers in subsets.items():
        data, truth = root / f"ISIC-2017_{subset}_Data", root / f"ISIC-2017_{subset}_Part1_GroundTruth"
        for number in numbers:
            name = f"ISIC_{number}"
            image, mask = lesion(int(number), 80, 60)
            save(image, data / f"{name}.jpg", quality=95)
            save(255 - image, data / f"{name}_superpixels.png")
            save(mask, truth / f"{name}_{'S' if number == '0000001' else 's'}egmentation.png")
            masks[name] = mask
        (data / f"ISIC-2017_{subset}_Data_metadata.csv").write_text("image_id,age_approximate,sex\n")
    return masks


def wound(root: Path) -> Masks:
    """Labels in three channels; an empty one, one with a stray 32, a pair of equal images, an unlabelled test set."""
    top = root / "Foot Ulcer Segmentation Challenge"
    masks = {}
    for subset, numbers in {"train": [11, 22, 33, 44, 55], "validation": [66, 77, 88]}.items():
        for number in numbers:
            name = f"{number:04d}"
            image, mask = lesion(22 if number == 66 else number, 64, 64)  # 0022 and 0066 are the same image
            if number == 33:
                mask = np.zeros_like(mask)
            label = mask.astype(np.uint8) * 255
            if number == 77:
                label[-4:, -4:] = 32
            save(image, top / subset / "images" / f"{name}.png")
            save(np.repeat(label[..., None], 3, axis=2), top / subset / "labels" / f"{name}.png")
            masks[name] = mask
    save(lesion(99, 64, 64)[0], top / "test" / "images" / "0099.png")
    return masks


def clinicdb(root: Path, numbers: tuple[int, ...] = (1, 2, 10, 26, 51, 612)) -> Masks:
    """TIFs whose three channels are declared as grey, as in the official archive; masks of many grey values."""
    masks = {}
    for number in numbers:
        image, mask = lesion(number, 48, 36)
        original = root / "CVC-ClinicDB" / "Original" / f"{number}.tif"
        original.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(original, image, photometric="minisblack", planarconfig="contig", metadata=None)
        save(_noisy(mask), root / "CVC-ClinicDB" / "Ground Truth" / f"{number}.tif")
        masks[str(number)] = mask
    return masks


def clinicdb_png(root: Path) -> Masks:
    """The common copy: the same pixels as PNG (masks in three channels) and as TIF, side by side."""
    masks = clinicdb(root)
    (root / "CVC-ClinicDB").rename(root / "TIF")
    for number, mask in masks.items():
        save(lesion(int(number), 48, 36)[0], root / "PNG" / "Original" / f"{number}.png")
        save(np.repeat(_noisy(mask)[..., None], 3, axis=2), root / "PNG" / "Ground Truth" / f"{number}.png")
    return masks


def kvasir(root: Path) -> Masks:
    """Images and masks as JPEG, of different sizes; the misspelt JSON file."""
    top, masks = root / "Kvasir-SEG", {}
    for number, size in enumerate([(96, 80), (64, 90), (72, 72), (80, 64), (100, 60)]):
        name = f"cju0qkwl35piu0993l0dewei{number}"
        image, mask = lesion(number, *size)
        save(image, top / "images" / f"{name}.jpg", quality=90)
        save(np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2), top / "masks" / f"{name}.jpg", quality=90)
        masks[name] = mask
    (top / "kavsir_bboxes.json").write_text("{}")
    return masks


def busi(root: Path) -> dict[str, Masks]:
    """1-bit and RGBA masks; images with several masks, one inside another, the first the smallest; normal images."""
    top = root / "Dataset_BUSI_with_GT"
    masks: dict[str, Masks] = {"benign": {}, "malignant": {}}
    for kind, count in {"benign": 6, "malignant": 4, "normal": 2}.items():
        for number in range(1, count + 1):
            name = f"{kind} ({number})"
            grey, mask = lesion(number + 100 * (kind == "malignant"), 70, 56)
            save(np.repeat(grey[..., :1], 3, axis=2), top / kind / f"{name}.png")
            if kind == "normal":
                save(np.zeros((56, 70, 3), dtype=np.uint8), top / kind / f"{name}_mask.png")
                continue
            _save_1bit(mask, top / kind / f"{name}_mask.png")
            masks[kind][name] = mask
    extra, inner = np.zeros((56, 70), dtype=bool), masks["benign"]["benign (3)"].copy()
    extra[40:50, 50:65] = True
    inner[:14] = False
    rgba = np.dstack(
        [np.repeat(extra[..., None].astype(np.uint8) * 255, 3, axis=2), np.full((56, 70, 1), 255, np.uint8)]
    )
    save(rgba, top / "benign" / "benign (2)_mask_1.png")
    _save_1bit(inner, top / "benign" / "benign (3)_mask_1.png")
    _save_1bit(extra, top / "benign" / "benign (4)_mask_1.png")
    _save_1bit(extra[::-1, ::-1], top / "benign" / "benign (4)_mask_2.png")
    masks["benign"]["benign (2)"] = masks["benign"]["benign (2)"] | extra
    masks["benign"]["benign (4)"] = masks["benign"]["benign (4)"] | extra | extra[::-1, ::-1]
    return masks


def busi_folders(root: Path) -> dict[str, Masks]:
    """The common copy with images and masks in folders of their own."""
    masks = busi(root)
    top = root / "Dataset_BUSI_with_GT"
    for path in sorted(top.glob("*/*.png")):
        target = path.parent / ("mask" if "_mask" in path.name else "images") / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    return masks


def junk(root: Path) -> None:
    """What operating systems leave in archives; none of it is data."""
    for path in sorted(path for path in root.rglob("*.*") if path.is_file())[:3]:
        twin = root / "__MACOSX" / path.relative_to(root).parent / f"._{path.name}"
        twin.parent.mkdir(parents=True, exist_ok=True)
        twin.write_bytes(b"\x00\x05\x16\x07")
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
    (root / "Thumbs.db").write_bytes(b"\xd0\xcf")


def rar(members: dict[str, bytes]) -> bytes:
    """A RAR 4 archive that stores its members uncompressed; a name that ends in ``/`` is a folder."""

    def block(kind: int, flags: int, fields: bytes, added: bytes = b"") -> bytes:
        body = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
        return struct.pack("<H", zlib.crc32(body) & 0xFFFF) + body + added

    output = io.BytesIO()
    output.write(b"Rar!\x1a\x07\x00")
    output.write(block(0x73, 0, bytes(6)))
    for name, content in members.items():
        encoded = name.rstrip("/").encode()
        folder = name.endswith("/")
        fields = struct.pack(
            "<IIBIIBBHI", len(content), len(content), 3, zlib.crc32(content), 0x58000000, 20, 0x30, len(encoded),
            0o40755 if folder else 0o100644,
        )  # fmt: skip
        output.write(block(0x74, 0x80E0 if folder else 0x8000, fields + encoded, content))
    output.write(block(0x7B, 0x4000, b""))
    return output.getvalue()


def _noisy(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Grey values around 0 and 255, none across 128."""
    noise = np.random.default_rng(int(mask.sum())).integers(0, 64, mask.shape)
    return np.where(mask, 255 - noise, noise).astype(np.uint8)


def _save_1bit(mask: NDArray[np.bool_], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).convert("1").save(path)


LAYOUTS = {
    "isic": isic,
    "wound": wound,
    "clinicdb": clinicdb,
    "clinicdb_png": clinicdb_png,
    "kvasir": kvasir,
    "busi": busi,
    "busi_folders": busi_folders,
}

if __name__ == "__main__":
    for layout, make in LAYOUTS.items():
        make(Path(sys.argv[1]) / layout)
        junk(Path(sys.argv[1]) / layout)
