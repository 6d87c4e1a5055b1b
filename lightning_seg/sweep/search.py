"""Hydra's multirun as a search: Optuna chooses the settings of each run."""

import logging
import sys
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lightning_seg.errors import UserError
from lightning_seg.runs import stop
from lightning_seg.sweep.cells import FlatComposer, compose_cells, grid_axes, refuse_shared_folders

log = logging.getLogger(__name__)


class SearchSweeper(Sweeper):
    """The Optuna plugin's sweeper, with what a search over runs of this package needs around it.

    Args:
        options: of the plugin's sweeper.
    """

    def __init__(self, **options: Any) -> None:
        from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper  # of the extra

        self.optuna = OptunaSweeper(**options)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config: DictConfig = config
        self.loader: ConfigLoader = hydra_context.config_loader
        self.optuna.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        """Search.

        Raises:
            UserError: the lowest validation Dice is looked for, trials would share a folder, every trial failed, or
                one of them stopped the search.
        """
        if self.config.retry:
            raise UserError("retry is for grids; in a search, a trial that fails does not count.")
        options = self.config.hydra.sweeper
        if "minimize" in str(options.direction):
            raise UserError(
                "hydra.sweeper.direction is minimize, but a run returns its best validation Dice: leave it at maximize."
            )
        parser = OverridesParser.create(config_loader=self.loader)
        params = [f"{key!s}={value}" for key, value in (options.params or {}).items()]
        ends = [argument for override in parser.parse_overrides([*params, *arguments]) for argument in _ends(override)]
        axes = grid_axes(parser.parse_overrides(ends))
        refuse_shared_folders(list(compose_cells(axes, FlatComposer(self.loader, self.config))))
        stop.listen()
        with stop.shared(Path(self.config.hydra.sweep.dir)) as argument:
            try:
                self.optuna.sweep([*arguments, argument])
            except KeyboardInterrupt:
                if not stop.signalled():  # but a trial: its disk is full, or fail_fast is on
                    raise UserError(
                        "The search stops after the failure above; put its cause right and give the same command again."
                    ) from None
                # The sampler's seed is fixed, so that the same line asks for the same trials.
                again = "chooses further trials" if options.storage else stop.GOES_ON
                print(f"interrupted; the same command {again}", file=sys.stderr)
                sys.exit(stop.INTERRUPTED)
            except ValueError as error:
                if "No trials are completed" not in str(error):
                    raise
                raise UserError("Every trial failed; error.txt in its folder says why, for each of them.") from error


def _ends(override: Override) -> list[str]:
    """An override with the first and the last of the values that it searches."""
    if not override.is_sweep_override():
        return [override.input_line or ""]
    value = override.value()
    if isinstance(value, IntervalSweep):
        values = [str(value.start), str(value.end)]
    else:
        values = list(override.sweep_string_iterator())
    return [f"{override.get_key_element()}={','.join(dict.fromkeys((values[0], values[-1])))}"]
