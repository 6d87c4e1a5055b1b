"""The cells of a grid: what the command line asks for, as one flat configuration each."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from statistics import median
from typing import Any, cast

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_seg.config.arguments import prepared
from lightning_seg.config.compose import CONFIG_DIR, explain, group_of, nest
from lightning_seg.config.lean import Composer
from lightning_seg.config.rules import check_training
from lightning_seg.errors import UserError
from lightning_seg.runs.fingerprint import belongs, flatten
from lightning_seg.runs.folder import RunFolder, repeats_in
from lightning_seg.runs.record import Record
from lightning_seg.studies.cost import static_cost


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of the grid.

    Attributes:
        overrides: what is added to the command line for it.
        config: its flat configuration.
        references: the keys that refer to others, by name, as the configuration files have them.
    """

    overrides: tuple[str, ...]
    config: dict[str, Any]
    references: dict[str, Any] = field(default_factory=dict)

    @property
    def composed(self) -> dict[str, Any]:
        """The flat configuration with its references, as Hydra composes it."""
        kept = {key: value for key, value in self.config.items() if not belongs(key, self.references)}
        return kept | self.references

    @cached_property
    def folder(self) -> RunFolder:
        """Where the run's results go."""
        return RunFolder.of(self.config)

    def group(self, prefix: str) -> dict[str, Any]:
        """The keys of one configuration group, without their prefix."""
        return group_of(self.config, prefix)

    def key(self, *prefixes: str) -> str:
        """What cells have in common whose values of the keys with these prefixes are the same."""
        return repr([item for item in self.config.items() if item[0].startswith(prefixes)])


def grid_overrides(loader: ConfigLoader, params: DictConfig, arguments: list[str]) -> list[Override]:
    """What a grid is made of.

    Args:
        loader: Hydra's.
        params: what is swept by default.
        arguments: of the command line, which take precedence.

    Raises:
        UserError: an argument is wrong.
    """
    parser = OverridesParser.create(config_loader=loader)
    defaults = parser.parse_overrides(prepared(f"{key!s}={value}" for key, value in params.items()))
    return [*defaults, *parser.parse_overrides(arguments)]


def expand(loader: ConfigLoader, config: DictConfig, overrides: list[Override]) -> list[Cell]:
    """The cells of a grid.

    Args:
        loader: Hydra's.
        config: what it has loaded for the whole grid.
        overrides: of the grid.

    Raises:
        UserError: an argument is wrong, or two cells have the same folder.
    """
    cells = list(compose_cells(grid_axes(overrides), FlatComposer(loader, config)))
    refuse_shared_folders(cells)
    return cells


def grid_cells(overrides: list[str]) -> list[Cell]:
    """The cells that ``train.py -m`` with these arguments would run.

    Raises:
        UserError: an argument is wrong, or two cells have the same folder.
    """
    with loaded_grid(overrides) as (loader, config, parsed):
        return expand(loader, config, parsed)


@contextmanager
def loaded_grid(overrides: list[str]) -> Iterator[tuple[ConfigLoader, DictConfig, list[Override]]]:
    """What ``train.py -m`` with these arguments has at hand: Hydra's loader, what it has loaded, what the grid is of.

    Raises:
        UserError: an argument is wrong.
    """
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            config = loader.load_configuration("config", prepared(overrides), run_mode=RunMode.MULTIRUN)
            task = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)  # references are the cells'
            yield loader, config, grid_overrides(loader, config.hydra.sweeper.params, cast(list[str], task))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error


class FlatComposer:
    """Composes single cells: from command-line arguments to a checked flat configuration, interpolations left.

    Args:
        loader: Hydra's.
        config: what it has loaded for the whole grid.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self._composer = Composer(loader, config)

    def compose(self, overrides: Iterable[str]) -> dict[str, Any]:
        """The configuration, composed fast.

        Raises:
            UserError, HydraException, OmegaConfBaseException: an argument is wrong.
        """
        return self._checked(self._composer.compose(list(overrides)))

    def compose_in_full(self, overrides: Iterable[str]) -> dict[str, Any]:
        """The configuration, composed by Hydra itself; raises what :meth:`compose` does."""
        return self._checked(self._composer.compose_in_full(list(overrides)))

    @staticmethod
    def _checked(cfg: DictConfig) -> dict[str, Any]:
        check_training(cfg)
        return flatten(OmegaConf.to_container(cfg, resolve=False))


def grid_axes(overrides: list[Override]) -> list[list[tuple[str, ...]]]:
    """The axes of the grid, ``repeat`` first; each is the list of its values, as command-line arguments.

    Overrides of one configuration group (``model=smp model.arch=A,B``) belong to one axis, since together they decide
    what is composed. A later override replaces an earlier one of the same key.
    """
    values: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override():
            values[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            values[key] = [override.input_line or f"{key}={override.get_value_element_as_str()}"]
    groups: dict[str, list[list[str]]] = {"repeat": []}
    for key, options in values.items():
        groups.setdefault(bare(key).split(".")[0].split("@")[0], []).append(options)
    return [list(itertools.product(*members)) for members in groups.values() if members]


def bare(key: str) -> str:
    """The key of an argument, without the signs that add or remove it."""
    return key.lstrip("+~")


_Combination = tuple[tuple[str, ...], ...]  # one value of each axis
_Compose = Callable[[Iterable[str]], dict[str, Any]]


def compose_cells(
    axes: list[list[tuple[str, ...]]], composer: FlatComposer, combinations: Iterable[_Combination] | None = None
) -> Iterator[Cell]:
    """All cells, composed from few compositions.

    Composing takes about 0.1 s, too long for thousands of cells, so that they are assembled as :func:`_assembled` says.
    Hydra itself composes the last cell as well, whose values are not those of the first on any axis that has several.
    Where it says otherwise, it composes all that cells are assembled from, and where that is not enough, every cell.

    Args:
        axes: of :func:`grid_axes`.
        composer: of single cells.
        combinations: one value of each axis for each cell; all there are, unless told otherwise.
    """
    wanted = list(itertools.product(*axes) if combinations is None else combinations)
    if not wanted:
        return
    for combination, config in zip(wanted, _configs(axes, composer, wanted), strict=True):
        resolved = _resolved(config)
        # Mostly every key is kept; where a reference stands for a whole group, the group's values are.
        references = {key: value for key, value in config.items() if resolved.get(key) is not value}
        yield Cell(tuple(itertools.chain(*combination)), resolved, references)


def _configs(
    axes: list[list[tuple[str, ...]]], composer: FlatComposer, wanted: Sequence[_Combination]
) -> Iterator[dict[str, Any]]:
    """The flat configurations of combinations, by the fastest way that gives for the last of them what Hydra does."""
    last, first = wanted[-1], tuple(values[0] for values in axes)
    assembled = _assembled(axes, composer.compose)
    if last != first:  # which has been compared
        expected = composer.compose_in_full(itertools.chain(*last))
        if assembled(last) != expected:
            assembled = _assembled(axes, composer.compose_in_full)
            if assembled(last) != expected:
                return (composer.compose_in_full(itertools.chain(*each)) for each in wanted)
    return map(assembled, wanted)


def _assembled(axes: list[list[tuple[str, ...]]], compose: _Compose) -> Callable[[_Combination], dict[str, Any]]:
    """What makes flat configurations of combinations.

    Each value of each axis is composed once, with the first values of the other axes, and a cell is the first cell plus
    the changes that its values make; its interpolations are resolved afterwards. Where two axes change the same key,
    the cell is composed in full.
    """
    first = [values[0] for values in axes]
    base = compose(itertools.chain(*first))
    changes: list[dict[tuple[str, ...], dict[str, Any]]] = []
    for position, values in enumerate(axes):
        changes.append({values[0]: {}})
        for value in values[1:]:
            config = compose(itertools.chain(*first[:position], value, *first[position + 1 :]))
            changes[-1][value] = _changes(base, config)

    def assemble(combination: _Combination) -> dict[str, Any]:
        deltas = [change[value] for change, value in zip(changes, combination, strict=True)]
        if sum(map(len, deltas)) > len(set().union(*deltas)):
            return compose(itertools.chain(*combination))
        config = base | {key: value for delta in deltas for key, value in delta.items()}
        return {key: value for key, value in config.items() if value is not _GONE}

    return assemble


_GONE = object()


def _changes(base: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """What turns ``base`` into ``config``; keys that only ``base`` has become ``_GONE``."""
    changed = {key: value for key, value in config.items() if key not in base or base[key] != value}
    return changed | dict.fromkeys(base.keys() - config.keys(), _GONE)


def _resolved(flat: dict[str, Any]) -> dict[str, Any]:
    """A flat configuration with its interpolations resolved."""
    # Plain references are looked up: OmegaConf takes milliseconds, for each of thousands of cells.
    flat = {key: _look_up(value, flat) for key, value in flat.items()}
    return flatten(nested(flat)) if any("${" in str(value) for value in flat.values()) else flat


_REFERENCE = r"\$\{(\w[\w.]*)\}"


def _look_up(value: Any, flat: dict[str, Any]) -> Any:
    """A value that is a reference to one key, or text with references to texts in it, without them."""
    if not isinstance(value, str) or "${" not in value:
        return value
    if whole := re.fullmatch(_REFERENCE, value):
        return flat.get(whole[1], value)

    def text(reference: re.Match[str]) -> str:
        found = flat.get(reference[1])
        return found if isinstance(found, str) and "$" not in found and "\\" not in found else reference[0]

    if call := re.fullmatch(rf"\$\{{(\w+):{_REFERENCE}\}}", value):
        argument = flat.get(call[2])
        return _called(call[1], argument) if isinstance(argument, str) and _is_name(argument) else value
    if not re.fullmatch(rf"([^$\\]|{_REFERENCE})*", value):  # other resolvers, escapes: OmegaConf's
        return value
    return re.sub(_REFERENCE, text, value)


@cache
def _called(resolver: str, argument: str) -> Any:
    """What a resolver makes of a name."""
    return OmegaConf.create({"value": f"${{{resolver}:{argument}}}"}).value


def _is_name(text: str) -> bool:
    """Whether text is nothing else in OmegaConf's grammar, such as a number."""
    words = ("true", "false", "null", "nan", "inf")
    return re.fullmatch(r"[A-Za-z_]\w*", text) is not None and text.lower() not in words


def nested(flat: dict[str, Any]) -> DictConfig:
    """A configuration from its flat form."""
    return OmegaConf.create(nest(flat))


def refuse_shared_folders(cells: list[Cell]) -> None:
    """Look whether each cell writes to a folder of its own.

    Raises:
        UserError: two share one, and the second would never run.
    """
    by_folder: dict[RunFolder, Cell] = {}
    for cell in cells:
        other = by_folder.setdefault(cell.folder, cell)
        if other is not cell:
            values = [value for value in cell.overrides if value not in other.overrides]
            of_loss = any(value.lstrip("+").startswith("loss.") for value in values)
            remedy = ", or as loss=tversky(alpha=0.3),tversky(alpha=0.7) for one of a loss" if of_loss else ""
            raise UserError(
                f"Several runs ({', '.join(values) or 'the same values twice'} among them) have the folder "
                f"{cell.folder.path}; give each its own, such as with study='lr_${{optimizer.lr}}' for a sweep of "
                f"optimizer.lr{remedy}."
            )


def longest_first(cells: list[Cell]) -> list[Cell]:
    """Cells by repeat, and within one by how long a run of their dataset and model takes, longest first.

    Finished runs tell; where there is none, :func:`lightning_seg.studies.cost.static_cost` does, in the seconds that
    such costs took elsewhere in the grid. Side by side, a long run that starts last keeps all others waiting.
    """
    costs: dict[tuple[str, str], float] = {}
    seconds: dict[tuple[str, str], float] = {}
    for cell in cells:
        key = (cell.config["dataset.name"], cell.config["model.name"])
        if key not in costs:
            costs[key] = static_cost(*key)
            if taken := [record.total_seconds for record in _finished(cell)]:
                seconds[key] = max(taken)
    rate = median(seconds[key] / costs[key] for key in seconds) if seconds else 1.0
    expected = {key: seconds.get(key, rate * cost) for key, cost in costs.items()}
    return sorted(
        cells,
        key=lambda cell: (cell.config["repeat"], -expected[cell.config["dataset.name"], cell.config["model.name"]]),
    )


def _finished(cell: Cell) -> Iterator[Record]:
    """The records of a cell's dataset and model, whatever the loss."""
    losses = cell.folder.path.parents[1]
    for loss in losses.iterdir() if losses.is_dir() else ():
        yield from filter(None, (run.record() for run in repeats_in(loss)))
