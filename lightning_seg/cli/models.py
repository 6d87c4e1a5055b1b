"""``lightning-seg models``: the table of networks."""

from typing import Annotated

import typer
from rich.console import Console


def models(
    names: Annotated[list[str] | None, typer.Argument(help="Which; by default all, your own included.")] = None,
    time: Annotated[bool, typer.Option("--time", help="Time one image on this CPU, too; builds each network.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """List the networks: paper, encoder, parameters, cost and licence of the weights they start from."""
    from lightning_seg.parts.models import as_markdown, as_table, measure, model_names

    entries = [measure(name, timed=time) for name in names or model_names()]
    if markdown:
        typer.echo(as_markdown(entries), nl=False)
    else:
        Console().print(as_table(entries))
