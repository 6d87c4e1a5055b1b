"""What trials have chosen for each dataset, model and loss of a study: the file that keeps it, the runs that use it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.files import read_json, write_json
from lightning_seg.runs.folder import RunFolder, study_lock

_CHOICES = "tuning.json"  # of a study


@dataclass(frozen=True)
class Choice:
    """Settings that were chosen among others.

    Attributes:
        settings: chosen, by configuration key.
        tried: settings and validation Dice, one for each repeat, of all that were tried, in order.
        edge: keys whose chosen value is the least or the greatest that was tried.
        identity: of the configuration that the trials were made for.
    """

    settings: dict[str, Any]
    tried: list[dict[str, Any]]
    edge: list[str]
    identity: str

    def as_json(self) -> dict[str, Any]:
        """The object that is written."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> "Choice":
        """Check what was read from a file.

        Raises:
            UnreadableError: it is no choice.
        """
        kinds = {"settings": dict, "tried": list, "edge": list, "identity": str}
        if not isinstance(value, dict) or not all(isinstance(value.get(name), kind) for name, kind in kinds.items()):
            raise UnreadableError("it is no choice")
        if not all(isinstance(key, str) for key in (*value["settings"], *value["edge"])):
            raise UnreadableError("its keys are no texts")
        return cls(**{name: value[name] for name in kinds})


def choices_file(study: Path) -> Path:
    """Where the choices of a study are kept."""
    return study / _CHOICES


def read_choices(study: Path) -> dict[str, Choice]:
    """The choices of a study by ``<dataset>/<model>/<loss>``; none where nothing was tuned.

    Raises:
        UserError: the file cannot be read.
    """
    path = choices_file(study)
    try:
        value = read_json(path)
        if not isinstance(value, dict):
            raise UnreadableError("it is no JSON object")
        return {str(cell): Choice.from_json(each) for cell, each in value.items()}
    except FileNotFoundError:
        return {}
    except UnreadableError as error:
        raise UserError(f"{path} cannot be read ({error}): remove it, and the same grid makes it again.") from error


def add_choices(study: Path, choices: Mapping[str, Choice]) -> None:
    """Add choices to those of the study, in place of earlier ones."""
    with study_lock(study):
        known = read_choices(study) | dict(choices)
        write_json(choices_file(study), {cell: known[cell].as_json() for cell in sorted(known)})


def cell_of(folder: RunFolder) -> str:
    """``<dataset>/<model>/<loss>`` of a run."""
    return f"{folder.dataset}/{folder.model}/{folder.loss}"


def is_tuned(flat: Mapping[str, Any]) -> bool:
    """Whether a run with this flat configuration uses what trials have chosen."""
    return bool(flat.get("tune._target_"))


def choice_of(flat: Mapping[str, Any], folder: RunFolder) -> Choice | None:
    """What was chosen for a run, whose flat configuration must have it; ``None`` if it is not tuned.

    Raises:
        UserError: nothing was chosen, or the configuration has other values.
    """
    if not is_tuned(flat):
        return None
    choice = read_choices(folder.study).get(cell_of(folder))
    if choice is None or any(flat.get(key, value) != value for key, value in choice.settings.items()):
        raise UserError(
            f"tune=... is for grids, which run the trials and choose: add -m, with repeat={folder.repeat} for this run "
            "alone."
        )
    return choice


def describe(settings: Mapping[str, Any]) -> str:
    """Settings in words."""
    return ", ".join(f"{key}={value}" for key, value in settings.items())
