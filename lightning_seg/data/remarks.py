"""What a user should hear about data before training on it; none of it is an error."""

import numpy as np
from numpy.typing import NDArray

from lightning_seg.data.cache import Cache
from lightning_seg.data.rules import siblings_remedy
from lightning_seg.data.split import Split
from lightning_seg.wording import counted

INVERTED = (
    "most of the border counts as lesion in {count} of {total} images; if the lesion is black in your masks, say so "
    "with dataset.lesion=0 or, for JPEG masks, dataset.lesion='<128'"
)


def border_share(mask: NDArray[np.bool_]) -> float:
    """The share of a mask's outermost pixels, bool ``(H, W)``, that are lesion."""
    return float(np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]]).mean())


def inverted(shares: NDArray[np.float64]) -> str | None:
    """A sentence if lesions seem to be the background: they hold most of the border in most images.

    Args:
        shares: :func:`border_share` of each image, float ``(N,)``.
    """
    count = int((shares > 0.5).sum())
    return INVERTED.format(count=count, total=len(shares)) if count > len(shares) / 2 else None


def data_remarks(cache: Cache, split: Split) -> list[str]:
    """Sentences on decoded and divided data: lesions that seem to be the background, subsets without any lesion.

    Of masks, only the outermost rows are read, and further rows where they may be empty.
    """
    rows = np.concatenate([cache.masks[:, 0, 0], cache.masks[:, 0, -1]], axis=1)
    found = inverted(rows.mean(axis=1))
    remarks = [] if found is None else [found]
    without = [name for name, part in split._asdict().items() if _is_empty(cache, part)]
    if without:
        *others, last = [{"train": "training", "val": "validation"}.get(name, name) for name in without]
        subsets = f"{', '.join(others)} and {last} sets have" if others else f"{last} set has"
        remarks.append(
            f"the {subsets} no lesion at all, so that scores there say nothing; check the masks, or the split"
        )
    return remarks


def _is_empty(cache: Cache, positions: NDArray[np.int64]) -> bool:
    if not np.isnan(cache.contrasts[positions]).all():  # a number needs a lesion
        return False
    return not any(cache.masks[position].any() for position in positions)


def siblings_remark(count: int, tested: int, strategy: str, published: bool = False) -> str | None:
    """A sentence if test images have siblings in training.

    Args:
        count: how many have.
        tested: of how many.
        strategy: by which the images are divided, see :func:`lightning_seg.data.split.make_split`.
        published: whether the dataset is one of the published study, which divides at random.
    """
    if not count:
        return None
    as_published = ", as in the published study" if published and strategy == "random" else ""
    return (
        f"{counted(count, 'test image', 'have', of=tested)} a sibling (a copy, or an image "
        f"of the same group) among the training images, which makes scores too good{as_published}; "
        f"{siblings_remedy(strategy)}"
    )
