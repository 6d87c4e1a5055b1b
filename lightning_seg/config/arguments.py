"""What a user types, put into Hydra's grammar: the same for training, planning and advising."""

from collections.abc import Iterable

from lightning_seg.config.overrides import letting_in, readable
from lightning_seg.config.variants import as_hydra_reads


def prepared(arguments: Iterable[str]) -> list[str]:
    """Command-line arguments as Hydra can read them.

    Home folders are written out and odd values quoted, losses with hyperparameters are quoted, and keys below a part
    that takes more than its YAML lists may be added.
    """
    return [letting_in(as_hydra_reads(argument)) for argument in readable(arguments)]
