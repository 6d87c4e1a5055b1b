"""Example images and error maps as data addresses for the page."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from lightning_seg.catalogue import dataset_name, loss_name, model_name
from lightning_seg.report.cases import Case, error_map, outlines

_LARGEST = 256  # pixels of the longer side


def gallery(cases: Sequence[Case], losses: Sequence[str], counts: dict[str, int]) -> list[dict[str, Any]]:
    """What the page shows of every case: image, mask, and per loss both thresholds' error map and Dice.

    Args:
        counts: dataset -> number of its images.
    """
    shown = []
    for case in cases:
        scores = {threshold: case.dice(threshold) for threshold in ("sigmoid", "mean")}
        maps = {threshold: case.predictions(threshold) for threshold in ("sigmoid", "mean")}
        shown.append(
            {
                "id": case.id,
                "dataset": dataset_name(case.dataset),
                "model": model_name(case.model),
                "repeat": case.repeat,
                "count": counts.get(case.dataset),
                "image": photograph(np.moveaxis(case.image, 0, -1)),
                "mask": drawing(np.repeat((case.mask > 0).astype(np.uint8)[..., None] * 255, 3, axis=-1)),
                "losses": [
                    {
                        "name": loss_name(loss),
                        **{
                            threshold: {
                                "map": drawing(error_map(maps[threshold][loss], case.mask)),
                                "dice": f"{scores[threshold][loss]:.3f}",
                            }
                            for threshold in ("sigmoid", "mean")
                        },
                        "outlines": {  # clear but for the lines: the page lays them over the image
                            "map": drawing(outlines(maps["sigmoid"][loss], case.mask)),
                            "dice": f"{scores['sigmoid'][loss]:.3f}",
                        },
                    }
                    for loss in losses
                    if loss in case.logits
                ],
            }
        )
    return shown


def photograph(pixels: np.ndarray) -> str:
    """Image, uint8 (H, W, 3), as a JPEG data address."""
    return _address(pixels, Image.Resampling.LANCZOS, "jpeg", quality=85)


def drawing(pixels: np.ndarray) -> str:
    """Map of few colours, uint8 (H, W, 3 or 4), as a PNG data address."""
    return _address(pixels, Image.Resampling.NEAREST, "png", optimize=True)


def _address(pixels: np.ndarray, resample: Image.Resampling, kind: str, **options: Any) -> str:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_LARGEST, _LARGEST), resample)
    if kind == "png":
        image = image.quantize(8)
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
