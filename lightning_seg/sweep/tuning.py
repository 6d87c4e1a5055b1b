"""Trials before a grid: the same settings are tried for every dataset, network and loss, and each uses its best.

Trials are runs like any others, below ``<study>/.tuning/<settings>/``, but that they leave the test images unread.
"""

import hashlib
import itertools
import json
import logging
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from statistics import mean
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from lightning_seg.config.build import build
from lightning_seg.config.overrides import override_value, settings_overrides
from lightning_seg.errors import UserError
from lightning_seg.files import refuse_links
from lightning_seg.rules import is_number, is_whole
from lightning_seg.runs.fingerprint import belongs, essential
from lightning_seg.runs.tuning import Choice, add_choices, cell_of, describe, is_tuned, read_choices
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.sweep.cells import Cell, FlatComposer, bare, compose_cells, expand, grid_axes, loaded_grid, nested
from lightning_seg.sweep.tuners import Tuner

log = logging.getLogger(__name__)
_LONGEST_NAME = 100  # of a folder
# What trials may not differ in: where results go, what is compared, and the images that judge.
_FIXED = (
    *("study", "output_dir", "repeat", "seed", "rerun", "test", "tune", "dataset", "model.name", "loss.name"),
    *("data.split", "data.groups", "data.fractions"),
)
_GROUPS = ("model", "loss")  # whose choice is the cell's


class Tuning:
    """The trials of a grid and what they choose.

    Args:
        loader: Hydra's.
        config: what it has loaded for the whole grid.
        overrides: of the grid.
        cells: of the grid, all in one study and with the same ``tune``.

    Raises:
        UserError: the tuner cannot be built, or proposes what cannot be tried.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig, overrides: list[Override], cells: list[Cell]) -> None:
        self._loader, self._config, self._overrides, self._cells = loader, config, overrides, cells
        options = cells[0].group("tune.")
        self._repeats: int = options.pop("repeats", None) or 1
        self._epochs: int | None = options.pop("epochs", None)
        self._tuner: Tuner = build(nested(options), "tune")
        self._proposals = _checked(self._tuner.propose())
        self._names = _names(self._proposals)
        self.study = cells[0].folder.study
        for name in self._names:
            refuse_links(StudyFolder(self.study).trials / name, self.study)
        for cell, key in itertools.product(cells, self.keys):
            if key not in cell.config and not any(belongs(known, [key]) for known in cell.config):
                raise UserError(
                    f"{key} cannot be tuned: {cell_of(cell.folder)} has no such key, and all in a grid have the same "
                    "chances."
                )

    @property
    def keys(self) -> list[str]:
        """The configuration keys that are tuned."""
        return list(self._proposals[0])

    @cached_property
    def trials(self) -> list[Cell]:
        """The trials of all cells, ``repeat`` varying slowest."""
        aside = ("study", "output_dir", "repeat", "tune")
        kept = [override for override in self._overrides if not belongs(bare(override.get_key_element()), aside)]
        repeats = ",".join(map(str, range(self._repeats)))
        fixed = [
            f"output_dir={override_value(str(StudyFolder(self.study).trials))}",
            f"repeat={repeats}",
            *("tune=none", "test=false", "rerun=false", "keep_weights=false", "cases=0", "logger.wandb=null"),
            *([f"trainer.max_epochs={self._epochs}"] if self._epochs is not None else []),
        ]
        parser = OverridesParser.create(config_loader=self._loader)
        axis = [
            (f"study={override_value(name)}", *settings_overrides(settings))
            for name, settings in zip(self._names, self._proposals, strict=True)
        ]
        axes = [*grid_axes([*kept, *parser.parse_overrides(fixed)]), axis]
        return list(compose_cells(axes, FlatComposer(self._loader, self._config)))

    def left(self) -> list[Cell]:
        """The trials of the cells for which nothing has been chosen yet."""
        chosen = self._chosen()
        return [trial for trial in self.trials if cell_of(trial.folder) not in chosen]

    def choose(self) -> dict[str, Choice]:
        """Choose for each cell whose trials have all ended, and keep that with the study.

        Returns:
            What was not chosen before, by ``<dataset>/<model>/<loss>``.

        Raises:
            UserError: the tuner chooses what was not tried.
        """
        before = self._chosen()
        scores: dict[str, dict[str, list[float | None]]] = {}
        for trial in self.trials:
            record = trial.folder.record()
            of_cell = scores.setdefault(cell_of(trial.folder), {name: [] for name in self._names})
            of_cell[trial.folder.study.name].append(record.best_val_dice if record else None)
        new = {}
        for cell, by_name in scores.items():
            known = [[each for each in values if each is not None] for values in by_name.values()]
            if cell in before or any(len(values) < self._repeats for values in known):
                continue
            position = self._tuner.choose([mean(values) for values in known])
            if not is_whole(position) or position >= len(known):
                raise UserError(f"tune: the tuner chose {position} of {len(known)} settings that were tried.")
            settings = self._proposals[position]
            tried = [
                {"settings": each, "val_dice": values} for each, values in zip(self._proposals, known, strict=True)
            ]
            new[cell] = Choice(settings, tried, _at_edge(settings, self._proposals), self._identities[cell])
        if new:
            add_choices(self.study, new)
        return new

    def tuned(self) -> list[Cell]:
        """The cells for which settings were chosen, with these settings."""
        chosen = self._chosen()
        axes = grid_axes(self._overrides)
        axis = [tuple(settings_overrides(settings)) for settings in self._proposals]
        combinations = [
            (*combination, axis[self._proposals.index(chosen[key].settings)])
            for combination, cell in zip(itertools.product(*axes), self._cells, strict=True)
            if (key := cell_of(cell.folder)) in chosen
        ]
        return list(compose_cells([*axes, axis], FlatComposer(self._loader, self._config), combinations))

    def _chosen(self) -> dict[str, Choice]:
        """The choices in the study's file that were made for these cells among these settings."""
        return {
            cell: choice
            for cell, choice in read_choices(self.study).items()
            if choice.identity == self._identities.get(cell) and choice.settings in self._proposals
        }

    @cached_property
    def _identities(self) -> dict[str, str]:
        """Of each cell, a hash of all that its choice follows from: the configuration, less what is tuned."""
        return {cell_of(cell.folder): _identity(cell, (*self.keys, "repeat")) for cell in self._cells}


def tuning_of(loader: ConfigLoader, config: DictConfig, overrides: list[Override], cells: list[Cell]) -> Tuning | None:
    """What is to be tuned for the cells of a grid; ``None`` where nothing is.

    Raises:
        UserError: cells differ in how they are tuned or lie in several studies.
    """
    if not any(cell.group("tune.") for cell in cells):
        return None
    if len({cell.key("tune") for cell in cells}) > 1:
        raise UserError("tune must be the same in all runs of a grid, so that each loss has the same chances.")
    if len({cell.folder.study for cell in cells}) > 1:
        raise UserError("A grid with tune=... has one study; give it one name, with study=... .")
    if not is_tuned(cells[0].config):
        raise UserError("tune has values, but nothing that uses them; choose tune=lr, tune=grid or one of your own.")
    return Tuning(loader, config, overrides, cells)


def grid_and_trials(overrides: list[str]) -> tuple[list[Cell], list[Cell]]:
    """The cells that ``train.py -m`` with these arguments would run, and the trials that choices still need.

    Raises:
        UserError: an argument is wrong, or two cells have the same folder.
    """
    with loaded_grid(overrides) as (loader, config, parsed):
        cells = expand(loader, config, parsed)
        tuning = tuning_of(loader, config, parsed, cells)
        return cells, tuning.left() if tuning else []


def _checked(proposed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Proposals as plain values.

    Raises:
        UserError: they cannot be tried.
    """
    try:
        settings: list[dict[str, Any]] = json.loads(json.dumps([dict(each) for each in proposed]))
    except (TypeError, ValueError) as error:
        raise UserError(f"tune proposes what is no list of settings by configuration key ({error}).") from error
    if not settings or not settings[0] or any(each.keys() != settings[0].keys() for each in settings):
        raise UserError("tune must propose settings, one at least, that all have the same configuration keys.")
    if doubled := [each for number, each in enumerate(settings) if each in settings[:number]]:
        raise UserError(f"tune proposes {describe(doubled[0])} twice.")
    for key in settings[0]:
        if belongs(key, _FIXED) or key in _GROUPS:
            raise UserError(f"{key} cannot be tuned: trials of a run differ in how it trains, not in what it is.")
    return settings


def _names(proposals: list[dict[str, Any]]) -> list[str]:
    """A folder's name for each of the settings, ``optimizer.lr=0.001`` where that is one."""
    names = ["+".join(f"{key}={value}" for key, value in settings.items()) for settings in proposals]
    if all(re.fullmatch(r"[\w+=-][\w.+=-]*", name) and len(name) <= _LONGEST_NAME for name in names):
        return names
    return [f"settings_{hashlib.sha256(json.dumps(each).encode()).hexdigest()[:12]}" for each in proposals]


def _at_edge(settings: dict[str, Any], proposals: list[dict[str, Any]]) -> list[str]:
    """Keys of which the value is the least or the greatest of the numbers that were tried."""
    edge = []
    for key, value in settings.items():
        values = {each[key] for each in proposals if is_number(each[key])}
        if is_number(value) and len(values) > 1 and value in (min(values), max(values)):
            edge.append(key)
    return edge


def _identity(cell: Cell, apart: Sequence[str]) -> str:
    decisive = {key: value for key, value in essential(cell.config).items() if not belongs(key, apart)}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]
