"""What the names of files and folders say: which are images, which are masks, and of which subset."""

import re
import unicodedata
from typing import NamedTuple

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = (
    "masks",
    "mask",
    "labels",
    "label",
    "segmentations",
    "segmentation",
    "annotations",
    "gt",
    "ground truth",
)
MASK_SUFFIX = re.compile(r"[_\- ](mask|masks|segmentation|seg|label|labels|gt|groundtruth)(_\d+)?$", re.IGNORECASE)

# The words of folders' names, below the root and at any depth, and of files that lie beside their images.
_IMAGE_WORDS = frozenset(
    {
        *IMAGE_FOLDERS,
        "jpegimages",
        "original",
        "originals",
        "input",
        "inputs",
        "photo",
        "photos",
        "frame",
        "frames",
        "data",
    }
)
_MASK_WORDS = frozenset(
    {*MASK_FOLDERS, "groundtruth", "truth", "seg", "segs", "segmentationclass", "annotation", "manual", "lesion"}
)
_ASIDE_WORDS = frozenset(
    {"segmentationobject", "superpixels", "overlay", "overlays", "roi", "edge", "edges", "heatmap"}
)
_MASK_PREFIX = re.compile(r"(masks?|gt|seg|segmentation|labels?)[_\- ]?\d+$", re.IGNORECASE)
_SUBSETS = {
    "train": "train", "training": "train", "tr": "train", "val": "val", "valid": "val", "validation": "val",
    "dev": "val", "test": "test", "testing": "test", "ts": "test",
}  # fmt: skip
_LOOSE_SUFFIX = re.compile(
    r"[_\- ](masks?|segmentation|seg|labels?|gt|ground_?truth|lesion|manual|annotation|anno|(train|test)(ing)?)_?\d*$",
    re.IGNORECASE,
)


class Role(NamedTuple):
    """What a folder's name says of what lies in it.

    Attributes:
        kind: ``image``, ``mask``, ``aside`` (pictures that are neither), or nothing.
        subset: ``train``, ``val``, ``test``, or nothing.
    """

    kind: str = ""
    subset: str = ""


def normalised(name: str) -> str:
    """A name in the composed form of Unicode: macOS writes ``ä`` as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that systems leave, not data."""
    return name.startswith((".", "__MACOSX")) or name.lower() in ("thumbs.db", "desktop.ini")


def role_of(folder: str, loose: bool = False) -> Role:
    """The role of a folder by its name but for words of a subset; if ``loose``, by any word of it."""
    words = [
        word for word in re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(Tr|Ts|Val)$", r"_\1", folder).lower()) if word
    ]
    subset = next((_SUBSETS[word] for word in words if word in _SUBSETS), "")
    rest = [word for word in words if word not in _SUBSETS]
    joined = "".join(rest)
    for kind, known in (("aside", _ASIDE_WORDS), ("mask", _MASK_WORDS), ("image", _IMAGE_WORDS)):
        if joined in known or (loose and any(word in known for word in rest)):
            return Role(kind, subset)
    return Role("", subset)


def is_mask_name(stem: str) -> bool:
    """Whether a file is called like a mask: ``x_mask``, ``mask_7``, or just ``mask``."""
    return bool(MASK_SUFFIX.search(stem) or _MASK_PREFIX.match(stem)) or stem.lower() in _MASK_WORDS


def core(stem: str) -> str:
    """A stem without the words that tell image and mask apart: ``21_training`` and ``21_manual1`` are both ``21``."""
    return _LOOSE_SUFFIX.sub("", normalised(stem))
