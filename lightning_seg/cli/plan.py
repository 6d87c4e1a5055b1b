"""``lightning-seg plan``: what a grid will take."""

from typing import Annotated

import typer

from lightning_seg.cli.completion import complete
from lightning_seg.terminal import busy
from lightning_seg.wording import printable


def plan(
    overrides: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE",
            help="The same as for train: experiment=paper model=unet,fcn ...",
            autocompletion=complete,
        ),
    ],
    price_per_hour: Annotated[float | None, typer.Option(help="Of this device, to see costs.")] = None,
    side_by_side: Annotated[
        bool,
        typer.Option(
            "--side-by-side",
            help="Time runs of each model at once as well: two on a GPU; on a CPU one a core (hydra/launcher=cpus).",
        ),
    ] = False,
    multirun: Annotated[bool, typer.Option("-m", "--multirun", help="As for train; changes nothing.")] = False,
) -> None:
    """Estimate a grid's time, memory, disk and cost from steps timed on this device; trains nothing."""
    with busy("composing the grid") as mark:
        from lightning_seg.planning.estimate import make_plan
        from lightning_seg.planning.tables import print_plan
        from lightning_seg.sweep.tuning import grid_and_trials

        cells, trials = grid_and_trials(overrides)
        together = side_by_side or "hydra/launcher=cpus" in overrides
        made = make_plan([*trials, *cells], together, lambda which: mark.update(f"timing {printable(which)}"))
    print_plan(made, price_per_hour)
