"""``lightning-seg new``: a part of one's own to begin with."""

from importlib.util import find_spec
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
    if find_spec("pytest") is not None:
        typer.echo(f"Try it: python -m pytest tests/test_{name}.py")
    else:
        typer.echo(f"Try it: pip install pytest, then python -m pytest tests/test_{name}.py")
    typer.echo(f"Use it: lightning-seg train {kind}={name}")
