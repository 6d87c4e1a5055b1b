"""Scores that count lesions rather than pixels: a small one weighs as much as a large one.

A lesion is a connected component of a mask. It is found where any pixel of it is predicted; or more strictly where a
predicted lesion has an IoU of at least 0.1 with it, and that one has not found another (pairs are taken by falling
IoU). The detection literature's IoU of 0.1 forgives a rough outline and no mere touch (Metrics Reloaded, Maier-Hein et
al., Nature Methods 21, 2024).
"""

import numpy as np

from lightning_seg.metrics.masks import Masks

LEAST_IOU = 0.1


def found(masks: Masks) -> int:
    """True lesions of which any pixel is predicted."""
    return int((masks.shared[1:, 1:] > 0).any(axis=0).sum())


def lesions(masks: Masks) -> int:
    """True lesions."""
    return masks.shared.shape[1] - 1


def missed(masks: Masks) -> int:
    """True lesions of which no pixel is predicted."""
    return lesions(masks) - found(masks)


def recall(masks: Masks) -> float:
    """Share of the true lesions of which any pixel is predicted."""
    return masks.empty if masks.empty is not None else found(masks) / lesions(masks)


def precision(masks: Masks) -> float:
    """Share of the predicted lesions that touch a true one."""
    if masks.empty is not None:
        return masks.empty
    return float((masks.shared[1:, 1:] > 0).any(axis=1).mean())


def f1(masks: Masks) -> float:
    """Harmonic mean of :func:`precision` and :func:`recall`; 0 where both are."""
    if masks.empty is not None:
        return masks.empty
    both = precision(masks) + recall(masks)
    return 2 * precision(masks) * recall(masks) / both if both else 0.0


def matched(masks: Masks) -> int:
    """Pairs of a predicted and a true lesion with an IoU of at least 0.1, no lesion in two of them."""
    shared = masks.shared[1:, 1:]
    areas = masks.shared.sum(axis=1)[1:, None] + masks.shared.sum(axis=0)[None, 1:]
    iou = shared / np.maximum(areas - shared, 1)
    rows, columns = np.nonzero(iou >= LEAST_IOU)
    order = np.argsort(-iou[rows, columns], kind="stable")
    taken: tuple[set[int], set[int]] = (set(), set())
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in taken[0] and column not in taken[1]:
            taken[0].add(row)
            taken[1].add(column)
    return len(taken[0])


def matched_recall(masks: Masks) -> float:
    """Share of the true lesions that are :func:`matched`."""
    return masks.empty if masks.empty is not None else matched(masks) / lesions(masks)


def matched_precision(masks: Masks) -> float:
    """Share of the predicted lesions that are :func:`matched`."""
    return masks.empty if masks.empty is not None else matched(masks) / (masks.shared.shape[0] - 1)


def matched_f1(masks: Masks) -> float:
    """Matched pairs twice over the lesions of both masks."""
    return masks.empty if masks.empty is not None else 2 * matched(masks) / (sum(masks.shared.shape) - 2)
