"""Whether images of a dataset may go into a bundle."""

from functools import partial

from lightning_seg.catalogue import DATASETS
from lightning_seg.data.prepare.sources import SOURCES, Source

MADE_UP = "lightning_seg.data.Synthetic"  # the class of the dataset that shows nobody


def may_be_shown(dataset: str, target: str, own: bool) -> bool:
    """Whether its terms allow it; for a dataset that is not published, its owner does.

    Args:
        dataset: its name.
        target: the class that reads it, as recorded, which tells it under another name too; "" where not known.
        own: whether images of datasets of one's own may be shown.
    """
    reader = target.rpartition(".")[2]
    if target == MADE_UP:
        return True
    source = published_source(dataset, reader)
    return own if source is None else source.may_be_passed_on and reader != ""


def published_source(dataset: str, reader: str) -> Source | None:
    """The published archive that a dataset is of, told by its reader, or by its name where that is not known."""
    for source in SOURCES:
        readers = [each.func if isinstance(each, partial) else each for each in source.readers.values()]
        known = {getattr(each, "__name__", "") for each in readers}
        if reader in known or (not source.may_be_passed_on and dataset in source.readers):
            return source
        if not reader and dataset in DATASETS and dataset in source.readers:
            return source
    return None
