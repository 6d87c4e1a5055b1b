"""``lightning-seg models``: the table of networks, and how they start."""

from typing import Annotated

import typer
from rich.console import Console

from lightning_seg.terminal import tracked


def models(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL", help="Which; by default all, your own included. With --start, settings too: dataset=wound"
        ),
    ] = None,
    time: Annotated[bool, typer.Option("--time", help="Time one image on this CPU, too; builds each network.")] = False,
    start: Annotated[
        bool, typer.Option("--start", help="What each predicts before the first step, and which loss corrects it.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """List the networks: paper, encoder, parameters, cost and licence of the weights they start from."""
    from lightning_seg.errors import UserError
    from lightning_seg.parts import first_logits
    from lightning_seg.parts.models import as_markdown, as_table, measure, model_names

    settings = [name for name in names or [] if "=" in name]
    chosen = [name for name in names or [] if "=" not in name] or model_names()
    if settings and not start:
        raise UserError(f"{settings[0]} is no network; settings are for --start alone.")
    if start:
        starts = [first_logits.measure_start(name, settings) for name in tracked(chosen, "Starting", len(chosen))]
        text, table = first_logits.as_markdown(starts), first_logits.as_table(starts)
    else:
        entries = [measure(name, timed=time) for name in chosen]
        text, table = as_markdown(entries), as_table(entries)
    if markdown:
        typer.echo(text, nl=False)
    else:
        Console().print(table)
