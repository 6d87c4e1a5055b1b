"""Which runs take longer than others, told before any has run and without building a network."""

from functools import cache
from importlib.resources import files

# Billions of multiply-accumulates for one image of 224 x 224, as `lightning-seg models` counts them.
GMACS = {
    "fcn": 49.3,
    "unet": 36.9,
    "colonsegnet": 30.2,
    "fcbformer": 29.9,
    "unetplusplus": 26.4,
    "fatnet": 22.9,
    "ducknet": 18.5,
    "deeplabv3plus": 9.8,
    "colonformer": 9.5,
    "caranet": 8.7,
    "emcadnet": 4.4,
    "esfpnet": 3.4,
}


def static_cost(dataset: str, model: str) -> float:
    """The multiply-accumulates of an epoch, in no particular unit.

    Args:
        dataset: its name. An unpublished one counts as the largest published one, so that its runs start early.
        model: its name, with the same for one that is not of the study.
    """
    images = _published_images()
    return images.get(dataset, max(images.values())) * GMACS.get(model, max(GMACS.values()))


@cache
def _published_images() -> dict[str, int]:
    """Images of each published dataset."""
    tables = [path for path in (files("lightning_seg.data") / "published").iterdir() if path.name.endswith(".csv")]
    return {path.name.removesuffix(".csv"): len(path.read_text(encoding="utf-8").splitlines()) - 1 for path in tables}
