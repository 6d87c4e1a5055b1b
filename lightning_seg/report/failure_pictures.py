"""Pictures of failing and suspicious images: image, mask, and the outline of every loss, as the image is shaped."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lightning_seg.catalogue import dataset_name, loss_name, model_name
from lightning_seg.errors import UserError
from lightning_seg.report.cases import outlines
from lightning_seg.report.consensus import Consensus, Key, Masks
from lightning_seg.report.failing import Kinds
from lightning_seg.report.pictures import drawing, photograph
from lightning_seg.report.records import Study
from lightning_seg.report.sources import Source, open_source
from lightning_seg.runs.folder import RunFolder

_LARGEST = 256  # pixels of the longer side
_SUSPECTS = 8


def failure_galleries(
    study: Study, kinds: Kinds, consensus: Consensus, suspects: pd.DataFrame, losses: Sequence[str]
) -> tuple[list[tuple[str, list[dict[str, Any]]]], list[str]]:
    """Strips of pictures under headings, an image under the first one that it belongs to.

    Args:
        losses: in the order in which they are shown.

    Returns:
        (heading, strips), and sentences on data that are not there.
    """
    groups = [("Suspicious annotations", list(zip(suspects["dataset"], suspects["id"], strict=True))[:_SUSPECTS])]
    groups += kinds.shown
    groups += [(f"Only {loss_name(loss)} fails", images[:1]) for loss, images in kinds.alone.items() if images]
    sources, problems = _sources(study, {dataset for _, images in groups for dataset, _ in images})
    shown: set[Key] = set()
    galleries = []
    for title, images in groups:
        strips = []
        for key in images:
            source, masks = sources.get(key[0]), consensus.masks.get(key)
            if key in shown or source is None or masks is None or key[1] not in source.place:
                continue
            shown.add(key)
            strips.append(strip(key, source.image(key[1]), source.mask(key[1]), masks, losses))
        if strips:
            galleries.append((title, strips))
    return galleries, problems


def strip(
    key: Key, image: NDArray[np.uint8], mask: NDArray[np.bool_], masks: Masks, losses: Sequence[str]
) -> dict[str, Any]:
    """The pictures of one image.

    Args:
        key: its dataset and id.
        image: (H, W, 3), whose proportions all pictures have.
        mask: the true one, at the size of the predicted ones.
        masks: the predicted ones.
    """
    scale = _LARGEST / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    truth = _resized(mask, size)
    return {
        "id": key[1],
        "dataset": dataset_name(key[0]),
        "model": model_name(masks.model),
        "repeat": masks.repeat,
        "image": photograph(np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))),
        "mask": drawing(np.repeat(truth.astype(np.uint8)[..., None] * 255, 3, axis=-1)),
        "losses": [
            {
                "name": loss_name(loss),
                "dice": f"{masks.dice[loss]:.3f}",
                "outline": drawing(outlines(_resized(masks.predicted[loss], size), truth.astype(np.uint8))),
            }
            for loss in losses
            if loss in masks.predicted
        ],
    }


def _resized(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)) > 0


def _sources(study: Study, datasets: set[str]) -> tuple[Mapping[str, Source], list[str]]:
    found, problems = {}, []
    for dataset in sorted(datasets):
        paths = study.runs.loc[(study.runs["dataset"] == dataset) & study.runs["test_dice"].notna(), "path"]
        folder = RunFolder(study.directory / str(paths.iloc[0]))
        record = folder.record()
        if record is None:
            continue
        try:
            found[dataset] = open_source(record, folder)
        except (OSError, UserError) as error:
            problems.append(f"No pictures of {dataset_name(dataset)}: {str(error).splitlines()[0].rstrip('.')}.")
    return found, problems
