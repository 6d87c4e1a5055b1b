"""``lightning-seg new``: a part of one's own to begin with."""

from pathlib import Path
from typing import Annotated

import typer


def new(
    kind: Annotated[str, typer.Argument(help="loss, model or dataset.")],
    name: Annotated[str, typer.Argument(help="Lower case letters, digits and underscores.")],
) -> None:
    """Write a loss, model or dataset of your own into this folder: class, configuration and a test that passes."""
    from lightning_seg.parts.scaffold import new_part

    for path in new_part(kind, name, Path()):
        typer.echo(f"wrote {path}")
    typer.echo(f"Try it: python -m pytest tests/test_{name}.py\nUse it: lightning-seg train {kind}={name}")
