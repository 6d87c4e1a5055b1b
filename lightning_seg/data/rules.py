"""What the keys below ``data`` may be."""

import math
from collections.abc import Sequence
from typing import Any

from lightning_seg.rules import Rule, Rules, boolean, is_file, is_number, whole

STRATEGIES = ("random", "grouped", "official", "folders", "kfold")
FOLDERS = "folders"  # of data.groups: images of one folder belong together
SIBLINGS = "siblings"  # of data.groups: what the dataset knows, else copies and near duplicates
BY_FRACTIONS = ("random", "grouped")  # those whose subsets have, or come near to, the sizes of data.fractions


def refuse_fractions(shares: Sequence[Any]) -> str | None:
    """A sentence on what is wrong with the shares of training, validation and test; ``None`` if nothing is."""
    if all(is_number(share) and share > 0 for share in shares) and abs(sum(shares) - 1) <= 1e-9:
        return None
    given = " / ".join(map(str, shares))
    return f"data.fractions {given} are not valid: train, val and test must be positive and sum to 1."


def refuse_idle_groups(split: str, groups: str | None) -> str | None:
    """A sentence if groups are given and training would not heed them; ``None`` else."""
    if groups is None or split != "random":
        return None
    return (
        f"data.groups={groups} has no effect with data.split=random, which divides groups; add data.split=grouped (or "
        "kfold), or leave data.groups out."
    )


def siblings_remedy(strategy: str) -> str:
    """What keeps siblings together where a strategy divides them: a clause with the key to give."""
    if strategy == "kfold":
        return "data.groups=siblings beside data.split=kfold keeps siblings together"
    if strategy in STRATEGIES:
        return "data.split=grouped keeps siblings together"
    return "put them into one subset of the file, or take data.split=grouped, which keeps siblings together"


def _channels(least: float) -> Rule:
    """Three numbers above ``least``."""

    def holds(value: Any) -> bool:
        is_list = not isinstance(value, str) and isinstance(value, Sequence) and len(value) == 3
        return is_list and all(is_number(each) and each > least for each in value)

    above = "" if math.isinf(least) else f" above {least:g}"
    return Rule(holds, f"three numbers{above}, of red, green and blue")


RULES: Rules = {
    "data.image_size": whole(16, "a whole number of pixels"),
    "data.batch_size": whole(1),
    "data.eval_batch_size": whole(1),
    "data.split": Rule(
        lambda value: value in STRATEGIES or is_file(value),
        f"{', '.join(STRATEGIES)}, or a file of ids that is there",
    ),
    "data.groups": Rule(
        lambda value: value in (None, FOLDERS, SIBLINGS) or is_file(value),
        f"null, {SIBLINGS}, {FOLDERS}, or a CSV file of id,group that is there",
    ),
    "data.mean": _channels(-math.inf),
    "data.std": _channels(0),
    "data.resident": boolean(),
}
