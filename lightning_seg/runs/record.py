"""The record of a run that has ended: one JSON object, written whole, read with suspicion."""

import math
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from lightning_seg.errors import UnreadableError

SCHEMA = 3  # 1: records without this number; before 3 the best epoch was counted from 0
STATUSES = ("finished", "diverged")
TEST_LATER = "`lightning-seg evaluate <run> [dataset=...] --record` adds that to runs that have kept their weights."
_DEEPEST = 32  # levels of the configuration
_LARGEST = 2.0**63  # of a number, beyond which no count, seed or score lies


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run has computed, from what, with what.

    Fields that a record lacks, since an older version wrote it, have the defaults below; ``None`` is "not known".

    Attributes:
        status: "finished", or "diverged" where the loss was no longer finite.
        study, dataset, model, loss, repeat: where the run belongs.
        fingerprint: of the essential configuration, see :mod:`lightning_seg.runs.fingerprint`.
        overrides: the command-line arguments that chose the run.
        config: the resolved configuration; data, of which nothing is ever built without being checked first.
        seed: of the study.
        versions: of what computes the numbers.
        host, device: where it ran.
        parameters: of the network.
        weights_source: by encoder, where its first weights came from.
        training_version: which form of the network's behaviour in training it was, see
            :class:`lightning_seg.models.SegmentationModel`.
        epochs: trained.
        best_epoch: the one with the highest validation Dice, from 1.
        best_val_dice: that Dice, in [0, 1].
        test: mean over the test images of each metric, in [0, 1]; empty where they were left unread.
        external: by dataset, where the best weights were tested on others: the mean of each metric over all its images,
            ``images``, and ``copies``, how many of these are copies of images in the run's own dataset.
        corruptions: by kind, where they were tested on the test images made worse: the mean of each metric over images
            and strengths.
        images: number of images of each subset.
        siblings_in_training: test images that have a near duplicate or a member of their group in training.
        reading: how the dataset's pixels were read, in words, where that was not given beforehand.
        started: ISO time in UTC.
        seconds: of "data", "fit" and "test".
        tuning: what trials have chosen for the run and all that they tried, see
            :class:`lightning_seg.runs.tuning.Choice`; ``None`` for a run with the common settings.
        schema: version of this format.
    """

    status: str
    study: str = ""
    dataset: str = ""
    model: str = ""
    loss: str = ""
    repeat: int | None = None
    fingerprint: str = ""
    overrides: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    versions: dict[str, str | None] = field(default_factory=dict)
    host: str = ""
    device: str = ""
    parameters: int | None = None
    weights_source: dict[str, dict[str, str]] | None = None
    training_version: int = 1
    epochs: int | None = None
    best_epoch: int | None = None
    best_val_dice: float | None = None
    test: dict[str, float] = field(default_factory=dict)
    external: dict[str, dict[str, float]] = field(default_factory=dict)
    corruptions: dict[str, dict[str, float]] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    siblings_in_training: int | None = None
    reading: str | None = None
    started: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    tuning: dict[str, Any] | None = None
    schema: int = 1

    @property
    def total_seconds(self) -> float:
        """All that the run took."""
        return sum(self.seconds.values())

    @property
    def version(self) -> str:
        """The version of this program that made it, or nothing."""
        return self.versions.get("lightning-seg") or self.versions.get("lightning_seg") or ""

    @property
    def tuned(self) -> dict[str, Any]:
        """The settings that trials have chosen, by configuration key; they belong to the loss."""
        settings = (self.tuning or {}).get("settings")
        return settings if isinstance(settings, dict) else {}

    def untested(self, flat: Mapping[str, Any]) -> list[str]:
        """What a flat configuration asks for beside the test at home and the run, as it was made, lacks, in words."""
        names = {choice: Path(choice).name for choice in flat.get("external", []) if flat.get("test", True)}
        known = {*self.external, self.dataset}
        found = [f"on {choice}" for choice, name in names.items() if not {choice, name} & known]
        worse = flat.get("corruptions") == "standard" and flat.get("test", True) and not self.corruptions
        return [*found, *(["on images made worse"] if worse else [])]

    def as_json(self) -> dict[str, Any]:
        """The object that is written."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> "Record":
        """Check what was read from a file; fields that this version does not know are passed over.

        Raises:
            UnreadableError: it is no record of an ended run; the message says what is wrong, in a few words.
        """
        if not isinstance(value, dict):
            raise UnreadableError("it is no JSON object")
        if "status" not in value:
            raise UnreadableError("it lacks 'status'")
        if value["status"] not in STATUSES:
            raise UnreadableError(f"unknown status {_shown(value['status'])}")
        known = {name: value[name] for name in _HINTS if name in value}
        for name, found in known.items():
            if not _fits(found, _HINTS[name]):
                raise UnreadableError(f"its {name} is {_shown(found)}")
        if not all(math.isfinite(each) and each >= 0 for each in known.get("seconds", {}).values()):
            raise UnreadableError("its seconds are no durations")
        if not _is_moment(known.get("started", "")):
            raise UnreadableError(f"its started is {_shown(known['started'])}")
        if _depth(known.get("config")) > _DEEPEST:
            raise UnreadableError("its config is nested too deeply")
        if known.get("schema", 1) < SCHEMA and known.get("best_epoch") is not None:
            known["best_epoch"] += 1
        return cls(**known | {"schema": SCHEMA})


_HINTS = {each.name: get_type_hints(Record)[each.name] for each in fields(Record)}


def _fits(value: object, hint: Any) -> bool:
    """Whether a value read from JSON is of an annotated type."""
    if hint is Any:
        return True
    if hint is float or hint is int:
        if isinstance(value, bool) or not isinstance(value, int | float if hint is float else int):
            return False
        return abs(value) < _LARGEST or (isinstance(value, float) and not math.isfinite(value))
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(each, arguments[1]) for each in value.values())
    if origin is list:
        return isinstance(value, list) and all(_fits(each, arguments[0]) for each in value)
    if arguments:  # a union
        return any(_fits(value, each) for each in arguments)
    return isinstance(value, hint)


def _is_moment(text: str) -> bool:
    """Whether a text is nothing, or an ISO time with its zone."""
    try:
        return not text or datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _depth(value: object, level: int = 0) -> int:
    """How deeply a value is nested, up to a little more than is allowed."""
    if not isinstance(value, dict | list) or level > _DEEPEST:
        return level
    children = value.values() if isinstance(value, dict) else value
    return max((_depth(each, level + 1) for each in children), default=level)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


@cache
def versions() -> dict[str, str | None]:
    """Versions of what computes the numbers, and the git commit of a source checkout."""
    here = Path(__file__).parent
    commit = None
    if (here.parents[1] / ".git").exists():
        git = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        commit = git.stdout.strip() or None
    packages = {name: version(name) for name in ("torch", "lightning", "torchmetrics", "timm", "lightning-seg")}
    return {"python": platform.python_version(), **packages, "git_commit": commit}
