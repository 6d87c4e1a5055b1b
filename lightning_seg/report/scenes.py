"""Made-up predictions of made-up masks, 64 x 64 pixels each, on which losses are shown."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 64  # pixels of a scene
RADIUS = 12  # pixels of its lesion, which covers 11 % of it
SURE = 3.0  # the logit of pixels that are right, or wrong, without doubt: p = 0.95
LOGITS = np.linspace(-8, 8, 65)  # that pixels which move together take


class Scene(NamedTuple):
    """A mask and a prediction of it, both ``(64, 64)``, float64.

    Attributes:
        name: what is difficult about it, on two lines.
        truth: 0 and 1.
        logits: of the prediction.
    """

    name: str
    truth: NDArray[np.float64]
    logits: NDArray[np.float64]


def disc(radius: float, row: float = SIDE / 2, column: float = SIDE / 2) -> NDArray[np.float64]:
    """Signed distance in pixels, ``(64, 64)``, positive within the disc."""
    rows, columns = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5, indexing="ij")
    return radius - np.hypot(rows - row, columns - column)


def sigmoid(logits: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Probabilities."""
    return 1 / (1 + np.exp(-np.asarray(logits, float)))


def moving() -> tuple[list[Scene], list[Scene]]:
    """All lesion pixels, and all others, at each of ``LOGITS``, while the rest is right."""
    truth = (disc(RADIUS) > 0).astype(float)
    lesion = [Scene("", truth, np.where(truth > 0, logit, -SURE)) for logit in LOGITS]
    return lesion, [Scene("", truth, np.where(truth > 0, SURE, logit)) for logit in LOGITS]


def sliding() -> list[Scene]:
    """A confident prediction of the right size that slides off the lesion, until the two lie apart."""
    start = SIDE / 2 - RADIUS  # so that the prediction stays inside the scene
    truth = (disc(RADIUS, column=start) > 0).astype(float)
    predictions = [disc(RADIUS, column=start + shift) > 0 for shift in np.linspace(0, 2 * RADIUS, 25)]
    return [Scene("", truth, np.where(prediction, SURE, -SURE)) for prediction in predictions]


def overlap(scene: Scene) -> float:
    """IoU of its prediction and its truth."""
    prediction, truth = scene.logits > 0, scene.truth > 0
    return float((prediction & truth).sum() / (prediction | truth).sum())


def difficult() -> list[Scene]:
    """A noisy, a tiny and an empty mask, each with a plausible prediction."""
    clean = disc(RADIUS)
    flipped = np.random.default_rng(0).random((SIDE, SIDE)) < 0.03
    soft = 0.7 * clean.clip(-6, 6)
    ghost = (0.5 * disc(6, 44, 44)).clip(-4, 0.5)  # a faint false lesion
    tiny = disc(2, 20, 20)
    hint = (0.8 * tiny).clip(-4, 0)
    return [
        Scene("noisy: 3 % of labels\nare wrong", ((clean > 0) ^ flipped).astype(float), soft),
        Scene("tiny: lesion of\n12 pixels", (tiny > 0).astype(float), np.maximum(hint, ghost)),
        Scene("empty: no lesion\nat all", np.zeros((SIDE, SIDE)), ghost),
    ]


def share() -> float:
    """Of a scene's pixels, those of its lesion."""
    return float((disc(RADIUS) > 0).mean())
