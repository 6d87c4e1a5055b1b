"""``lightning-seg gallery``: pictures of the losses."""

from pathlib import Path
from typing import Annotated

import typer


def gallery(
    losses: Annotated[
        list[str] | None, typer.Argument(metavar="LOSS", help="Which; by default all, your own included.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the figures.")] = Path(
        "gallery"
    ),
) -> None:
    """Draw the losses: value and slope against logit and overlap, and their pull on difficult masks."""
    from lightning_seg.catalogue import BASIC_LOSSES, is_compound
    from lightning_seg.config.named import build_loss
    from lightning_seg.config.plugins import choices
    from lightning_seg.files import check_output, mark_output
    from lightning_seg.report.figures.losses import gallery as draw
    from lightning_seg.report.figures.style import file_names, save
    from lightning_seg.report.responses import respond

    every = sorted(choices("loss"), key=lambda name: (name not in BASIC_LOSSES, not is_compound(name)))
    names = losses or [name for name in every if name != "monai"]
    figures = draw({name: respond(build_loss(name)) for name in names})
    files = [name for figure in figures for name in file_names(figure)]
    check_output(output, files)
    mark_output(output, files)
    for figure in figures:
        save(figure, output)
        typer.echo(f"{output / figure.name}.png: {figure.title}")
