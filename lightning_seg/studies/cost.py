"""Which runs take longer than others, estimated before any has run and without building a network."""

from functools import cache
from importlib.resources import files

from lightning_seg.catalogue import NETWORKS


def static_cost(dataset: str, model: str) -> float:
    """The multiply-accumulates of an epoch, in no particular unit.

    Args:
        dataset: its name. An unpublished one counts as the largest published one, so that its runs start early.
        model: its name, with the same for one that is not of the study.
    """
    images = _published_images()
    gmacs = {name: network.gmacs for name, network in NETWORKS.items()}
    return images.get(dataset, max(images.values())) * gmacs.get(model, max(gmacs.values()))


@cache
def _published_images() -> dict[str, int]:
    """Images of each published dataset."""
    tables = [path for path in (files("lightning_seg.data") / "published").iterdir() if path.name.endswith(".csv")]
    return {path.name.removesuffix(".csv"): len(path.read_text(encoding="utf-8").splitlines()) - 1 for path in tables}
