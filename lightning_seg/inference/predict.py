"""Trained networks on the user's images: masks, overlays and a table."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lightning_seg.data.images import great_images_alone
from lightning_seg.errors import UserError
from lightning_seg.files import check_output, csv_text, mark_output, write_atomic, write_text
from lightning_seg.inference.images import Photo, is_file_name, name_images, read_photo
from lightning_seg.inference.overlay import draw_overlay
from lightning_seg.inference.threshold import HALF
from lightning_seg.inference.trained import Predictor

S = TypeVar("S")
T = TypeVar("T")
TABLE = "predictions.csv"
COLUMNS = ("id", "width", "height", "area_px", "area_fraction", "components", "confidence")
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=int)


class Prediction(NamedTuple):
    """What is known of one image.

    Attributes:
        id: its name in the output.
        path: its file.
        photo: the image, or the sentence why there is none.
        probabilities: of each run, float32 ``(runs, size, size)``; ``None`` without an image.
    """

    id: str
    path: Path
    photo: Photo | str
    probabilities: NDArray[np.float32] | None


def predict(predictor: Predictor, paths: Sequence[Path], batch_size: int | None = None) -> Iterator[Prediction]:
    """Predict images one batch after the other, reading ahead.

    Args:
        predictor: one run or several.
        paths: different image files.
        batch_size: of the network; by default that of the run's own test.
    """
    batch_size = batch_size or predictor.batch_size

    def read(named: tuple[str, Path]) -> Photo | str:
        name, path = named
        if not is_file_name(name):
            return f"{path}: its results cannot be named after it, as its name is too long or no text; rename it"
        try:
            with great_images_alone(path):
                return read_photo(path, predictor.preparation)
        except UserError as error:
            return str(error)

    names = name_images(paths)
    pairs = list(zip(names, paths, strict=True))
    items = zip(names, paths, map_ahead(read, pairs, 2 * batch_size), strict=True)
    while batch := list(itertools.islice(items, batch_size)):
        pixels = [photo.pixels for _, _, photo in batch if isinstance(photo, Photo)]
        found = iter(predictor.probabilities(np.stack(pixels)).swapaxes(0, 1) if pixels else ())
        for name, path, photo in batch:
            yield Prediction(name, path, photo, next(found) if isinstance(photo, Photo) else None)


def map_ahead(function: Callable[[S], T], items: Iterable[S], count: int) -> Iterator[T]:
    """``map`` in threads, in order and with at most ``count`` results waiting: memory stays bounded."""
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def to_source(probability: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A square probability map at the source's ``(width, height)``, interpolated bilinearly."""
    return np.asarray(Image.fromarray(probability).resize(size, Image.Resampling.BILINEAR))


def confidence(probability: NDArray[np.float32], threshold: float = HALF.value) -> float:
    """How sure a map is of its own mask, from 0 to 1: the mean probability of the mask's pixels.

    Where the mask is empty it is 1 minus the highest probability. On 96 test images of three small networks trained on
    160 wound images, it ordered masks by their Dice better (rank correlation 0.46) than the soft Dice between map and
    mask of Borges et al. 2024, arXiv:2402.10665 (0.18), which a hazy background pulls down.
    """
    mask = probability > threshold
    return float(probability[mask].mean(dtype=np.float64) if mask.any() else 1 - probability.max())


def disagreement(probabilities: NDArray[np.float32], threshold: float = HALF.value) -> float:
    """1 minus the mean Dice between the masks of each two runs, from 0 to 1; two empty masks agree.

    Args:
        probabilities: ``(runs, size, size)``, at least two runs.
    """
    masks = probabilities > threshold
    scores = []
    for a, b in itertools.combinations(masks, 2):
        total = a.sum() + b.sum()
        scores.append(2 * (a & b).sum() / total if total else 1.0)
    return 1 - float(np.mean(scores))


def output_names(ids: Iterable[str], *, runs: int, probabilities: bool, overlays: bool) -> list[str]:
    """The files of :func:`save_predictions`, relative to its folder."""
    kinds = {"masks": True, "overlays": overlays, "probabilities": probabilities, "disagreement": runs > 1}
    return [TABLE, *(f"{kind}/{name}.png" for name in ids for kind, wanted in kinds.items() if wanted)]


def predict_into(
    predictor: Predictor,
    paths: Sequence[Path],
    output: Path,
    *,
    batch_size: int | None = None,
    probabilities: bool = False,
    overlays: bool = True,
) -> Iterator[str | None]:
    """:func:`predict`, then :func:`save_predictions`, in a folder where that destroys nothing.

    Raises:
        UserError: as :func:`lightning_seg.files.check_output`, before anything is computed.
    """
    runs = len(predictor.runs)
    names = output_names(
        filter(is_file_name, name_images(paths)), runs=runs, probabilities=probabilities, overlays=overlays
    )
    check_output(output, names, paths)

    def marked() -> Iterator[Prediction]:
        unmarked = True
        for item in predict(predictor, paths, batch_size):
            if unmarked and isinstance(item.photo, Photo):  # without any image there is no folder
                mark_output(output, names)
                unmarked = False
            yield item

    threshold = predictor.threshold.value
    return save_predictions(marked(), output, threshold, probabilities=probabilities, overlays=overlays)


def save_predictions(
    predictions: Iterable[Prediction],
    output: Path,
    threshold: float = HALF.value,
    *,
    probabilities: bool,
    overlays: bool,
) -> Iterator[str | None]:
    """Write each prediction as it comes, and at the end ``predictions.csv``.

    In ``output``: ``masks/<id>.png`` (0 and 255, at the source's size), ``overlays/<id>.png`` (at most 1,024 pixels a
    side), ``probabilities/<id>.png`` (16-bit, 65,535 is 1, at the source's size) and, of several runs,
    ``disagreement/<id>.png`` (the standard deviation of their probabilities, 255 is 0.5, its most).

    Yields:
        After each image ``None``, or the sentence why it has no prediction.
    """

    def save(item: Prediction) -> dict[str, Any] | str:
        if item.probabilities is None or isinstance(item.photo, str):
            return str(item.photo)
        return _save(item.id, item.photo, item.probabilities, output, threshold, probabilities, overlays)

    rows = []
    for saved in map_ahead(save, predictions, 2 * (os.cpu_count() or 1)):
        if isinstance(saved, str):
            yield saved
        else:
            rows.append(saved)
            yield None
    if rows:
        write_text(output / TABLE, csv_text([rows[0], *(row.values() for row in rows)]))


def _save(
    name: str,
    photo: Photo,
    each: NDArray[np.float32],
    output: Path,
    threshold: float,
    probabilities: bool,
    overlays: bool,
) -> dict[str, Any]:
    mean = each.mean(axis=0)
    at_source = to_source(mean, photo.size)
    mask = at_source > threshold
    _write(output, "masks", name, mask * np.uint8(255))
    if probabilities:
        _write(output, "probabilities", name, (at_source * 65535).round().astype(np.uint16))
    if overlays:
        _write(output, "overlays", name, draw_overlay(photo.preview, mean, threshold))
    area = int(mask.sum())
    components = ndimage.label(mask, _EIGHT_NEIGHBOURS)[1]
    values = (name, *photo.size, area, f"{area / mask.size:.6f}", components, f"{confidence(mean, threshold):.4f}")
    row = dict(zip(COLUMNS, values, strict=True))
    if len(each) > 1:
        spread = to_source(each.std(axis=0), photo.size)
        _write(output, "disagreement", name, (spread * 510).round().clip(0, 255).astype(np.uint8))
        row["disagreement"] = f"{disagreement(each, threshold):.4f}"
    return row


def _write(output: Path, kind: str, name: str, pixels: NDArray[Any]) -> None:
    path = output / kind / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda temporary: Image.fromarray(pixels).save(temporary, format="PNG"))
