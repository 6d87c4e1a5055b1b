"""What makes one lesion dataset like another, and which published one a dataset is most like."""

import csv
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from math import log10

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_seg.data.dataset import LesionDataset
from lightning_seg.data.inspect import Inspection
from lightning_seg.errors import UserError

_LOOKED_AT = 60  # images whose colour is measured, evenly spread
_COLOUR_SIDE = 64  # pixels; colour needs no detail
# What counts as one step of difference, in the order of Features.coordinates: ten times the images, lesions three times
# as large, a three times wider spread of sizes, ... Chosen by hand; six datasets are too few to learn them from.
_STEPS = (1.0, 0.5, 0.5, 0.05, 0.3, 0.1)


@dataclass(frozen=True)
class Features:
    """The measured traits of a dataset.

    Attributes:
        images: how many.
        area: median share of the image that a lesion takes, 0 to 1, over images with one.
        area_low, area_high: its quartiles.
        contrast: median absolute difference of grey between lesion and surroundings, 0 to 1.
        darker: share of lesions that are darker than their surroundings.
        colour: mean difference between the strongest and the weakest channel of a pixel, 0 (grey) to 1.
    """

    images: int
    area: float
    area_low: float
    area_high: float
    contrast: float
    darker: float
    colour: float

    def coordinates(self) -> tuple[float, ...]:
        """The traits on scales on which equal steps mean about equally much: sizes and counts as powers of ten."""
        spread = log10(self.area_high / self.area_low)
        return log10(self.images), log10(self.area), spread, self.contrast, self.darker, self.colour


_TRAITS = [field.name for field in fields(Features) if field.name != "images"]


@dataclass(frozen=True)
class Likeness:
    """How far a published dataset is from the one at hand.

    Attributes:
        name: of the published dataset.
        features: its traits.
        measured_on: how many of its images they were measured on.
        distance: root mean square difference of the coordinates, in steps; below 1 they have much in common.
    """

    name: str
    features: Features
    measured_on: int
    distance: float


def measure_features(found: Inspection) -> Features:
    """The traits of an inspected dataset.

    Raises:
        UserError: no image has a lesion with surroundings, so that there is nothing to learn.
    """
    areas = found.areas[found.areas > 0]
    contrasts = found.contrasts[~np.isnan(found.contrasts)]
    if not len(contrasts):
        raise UserError(
            f"Dataset {found.dataset.name!r}: none of its masks has a lesion with surroundings; "
            "check that lesions are white (255) on black (0)."
        )
    low, middle, high = (float(value) for value in np.quantile(areas, (0.25, 0.5, 0.75)))
    return Features(
        images=len(found.ids),
        area=middle,
        area_low=low,
        area_high=high,
        contrast=float(np.median(np.abs(contrasts))),
        darker=float((contrasts < 0).mean()),
        colour=_colour(found.dataset, found.ids),
    )


def rank_by_likeness(features: Features) -> list[Likeness]:
    """The six published datasets, the most similar one first.

    Their traits are packaged; ``scripts/measure_published.py`` measured them.
    """
    with files("lightning_seg.advise").joinpath("published_features.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    published = [Features(int(row["images"]), *(float(row[name]) for name in _TRAITS)) for row in rows]
    coordinates = np.array([known.coordinates() for known in published])
    steps = (coordinates - features.coordinates()) / _STEPS
    distances = np.sqrt((steps**2).mean(axis=1)).tolist()
    found = [
        Likeness(row["dataset"], known, int(row["measured_on"]), distance)
        for row, known, distance in zip(rows, published, distances, strict=True)
    ]
    return sorted(found, key=lambda likeness: likeness.distance)


def as_row(features: Features) -> dict[str, str]:
    """The traits as texts of four significant digits, for a table."""
    return {name: f"{value:.4g}" for name, value in asdict(features).items()}


def _colour(dataset: LesionDataset, readable: list[str]) -> float:
    position = {name: index for index, name in enumerate(dataset.ids())}
    chosen = np.unique(np.linspace(0, len(readable) - 1, _LOOKED_AT).round().astype(int))
    return float(np.mean([_saturation_of(dataset, position[readable[index]]) for index in chosen]))


def _saturation_of(dataset: LesionDataset, index: int) -> float:
    with dataset.alone(index):
        return _saturation(dataset.picture(index))


def _saturation(image: Image.Image) -> float:
    pixels: NDArray[np.uint8] = np.asarray(image.resize((_COLOUR_SIDE, _COLOUR_SIDE), Image.Resampling.BOX))
    return float((pixels.max(axis=2) - pixels.min(axis=2)).mean()) / 255
