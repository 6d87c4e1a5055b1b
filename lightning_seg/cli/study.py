"""``lightning-seg study``: a grid that ends when its answer is settled."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lightning_seg.cli.shared import say, say_commands, say_report

if TYPE_CHECKING:
    from lightning_seg.advise.studying import Grid


def study(
    overrides: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE", help="The same as for train: experiment=paper model=unet,fcn ..."),
    ],
    until_settled: Annotated[
        bool,
        typer.Option(
            "--until-settled", help="End when the full grid would most likely give no other answer than is known."
        ),
    ] = False,
    hours: Annotated[float, typer.Option(min=0.001, help="Time that this call may take.")] = 8.0,
    multirun: Annotated[bool, typer.Option("-m", "--multirun", help="As for train; changes nothing.")] = False,
) -> None:
    """Train a grid in the order in which runs tell most, and end when its answer is settled."""
    from lightning_seg.advise.settling import Bounds
    from lightning_seg.advise.studying import Grid

    never = Bounds(told=1.0, untold=-1.0, dropped=1.0)
    run_until_settled(Grid(overrides, None if until_settled else never), hours, Console())


def run_until_settled(grid: "Grid", hours: float, console: Console) -> None:
    """Train what is left of a grid until its answer is settled or the time is up, and give the answer and the report.

    Raises:
        typer.Exit: a training has failed or was stopped.
    """
    from lightning_seg.advise.studying import settle
    from lightning_seg.advise.words import left_sentences, settled_sentences
    from lightning_seg.cli.train import train_with
    from lightning_seg.report.command_lines import quoted
    from lightning_seg.runs.stop import INTERRUPTED

    def tell(sentences: list[str]) -> None:
        for sentence in sentences:
            say(sentence, console)

    settled = settle(
        grid,
        hours * 3600,
        tell=lambda before, after: tell(left_sentences(before, after)),
        announce=lambda arguments: say_commands(f"\nlightning-seg train {' '.join(map(quoted, arguments))}", console),
        train=train_with,
    )
    if settled.code == INTERRUPTED:
        console.print("Stopped; the same command goes on from here.")
        raise typer.Exit(settled.code)
    tell(["", *settled_sentences(settled, grid.study)])
    if settled.runs[0]:
        say_report(grid.study, console)
    if settled.code:
        console.print("Some runs failed (above); the same command tries them again.")
        raise typer.Exit(settled.code)
