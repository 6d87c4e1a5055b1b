"""Which settings decide a run's numbers, and how two configurations are told apart, whichever version wrote them."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Keys that change where and how fast a run is computed and what is kept of it, not what it computes.
INCIDENTAL = frozenset(
    {
        "study",
        "output_dir",
        "data_dir",  # what it decides stands in dataset.root and data.cache_dir
        "pretrained",  # what it decides stands in model.pretrained
        "rerun",
        "retry",
        "fail_fast",
        "runs_per_gpu",
        "threads",
        "keep_weights",
        "cases",
        "checkpoint",
        "logger",
        "experiment",
        "metric",  # the scores of the paper are always there; more of them change nothing else
        "external",  # likewise: where else the same weights are tested
        "corruptions",
        "data.cache_dir",
        "data.resident",
        "data.eval_batch_size",
        "trainer.accelerator",
        "trainer.devices",
        "trainer.enable_progress_bar",
        "trainer.profiler",
    }
)


@dataclass(frozen=True)
class AddedKey:
    """A key that a later version brought into the configuration.

    Attributes:
        name: the key; keys below it belong to it.
        since: the first version that has it.
        before: what a run did before there was a choice, as the key's value.
    """

    name: str
    since: str
    before: Any


# A key that a record lacks counts as the value that it had before it existed, so that a study begun with an older
# version goes on with a newer one. Each new essential key needs its line here.
ADDED: tuple[AddedKey, ...] = (
    AddedKey("model.norm_momentum", since="0.2.0", before=None),
    AddedKey("dataset.lesion", since="0.2.0", before="auto"),
    AddedKey("dataset.window", since="0.2.0", before=None),
    AddedKey("dataset.unlabelled", since="0.2.0", before="error"),
    AddedKey("dataset.exclude", since="0.2.0", before=None),
    AddedKey("tune", since="0.2.0", before={}),
    AddedKey("augmentation", since="0.2.0", before={}),
    AddedKey("test", since="0.2.0", before=True),
)

# Keys that the networks of this package had, with the only value that they could have.
_REMOVED = {"model.in_channels": 3, "model.classes": 1}


_LONGEST = 200  # characters of a recorded value in a sentence


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one mapping of dotted keys."""
    if isinstance(tree, DictConfig):
        tree = OmegaConf.to_container(tree, resolve=True)
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree}
    return {
        key: value
        for name, branch in tree.items()
        for key, value in flatten(branch, f"{prefix}.{name}".lstrip(".")).items()
    }


def essential(flat: dict[str, Any]) -> dict[str, Any]:
    """What of a flat configuration decides a run's numbers, in the words of the first version.

    Without what is incidental, without newer keys that say what was always done, and with older ones that are gone: so
    equal runs are equal, whichever version has made them.
    """
    before = {added.name: added.before for added in ADDED}
    kept = {
        key: value
        for key, value in flat.items()
        if not belongs(key, INCIDENTAL) and not (key in before and value == before[key])
    }
    if str(kept.get("model._target_", "")).startswith("lightning_seg.models."):
        kept = _REMOVED | kept
    return kept


def fingerprint(cfg: DictConfig) -> str:
    """Sixteen hexadecimal digits that stand for the essential configuration."""
    return hashlib.sha256(json.dumps(essential(flatten(cfg)), sort_keys=True).encode()).hexdigest()[:16]


def belongs(key: str, names: Collection[str]) -> bool:
    """Whether a dotted key is one of these, or below one of them."""
    return key in names or any(key[:place] in names for place, sign in enumerate(key) if sign == ".")


def differences(flat: dict[str, Any], recorded: dict[str, Any], apart: Collection[str] = ()) -> list[str]:
    """One phrase for each essential key whose value in the flat configuration is not that of a recorded, nested one.

    Args:
        flat: the configuration as it is now.
        recorded: as it was.
        apart: keys that may differ, with all below them.
    """
    recorded = flatten(recorded)
    if recorded == flat:  # as nearly always, and grids compare thousands
        return []
    now, then = essential(flat), essential(recorded)
    absent = "absent"
    return [
        f"{key} was {str(then.get(key, absent))[:_LONGEST]} and is now {now.get(key, absent)}"
        for key in sorted(now.keys() | then.keys())
        if now.get(key, absent) != then.get(key, absent) and not belongs(key, apart)
    ]
