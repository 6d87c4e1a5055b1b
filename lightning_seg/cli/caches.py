"""``lightning-seg caches``: what decoded datasets take, and which of them are of no use any more."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lightning_seg.wording import printable


def caches(
    data_dir: Annotated[Path, typer.Option(help="Where datasets lie; their caches are in cache/ below it.")] = Path(
        "data"
    ),
    remove: Annotated[bool, typer.Option("--remove", help="Remove those of data that have changed since.")] = False,
) -> None:
    """Show the decoded datasets and their sizes; remove those of data that have changed, if asked to."""
    from lightning_seg.data.caches import kept_caches, remove_outdated

    console = Console()
    directory = data_dir.expanduser() / "cache"
    if remove:
        removed = remove_outdated(directory)
        freed = sum(cache.bytes for cache in removed) / 2**20
        console.print(f"{len(removed)} removed, {freed:,.0f} MiB", highlight=False)
    table = Table("", "MiB", "", title=escape(f"Caches in {directory}"), title_justify="left")
    states = {None: "its data are not at hand", True: "of data that have changed: --remove", False: "in use"}
    for cache in kept_caches(directory):
        table.add_row(escape(printable(cache.path.name)), f"{cache.bytes / 2**20:,.1f}", states[cache.outdated])
    console.print(table if table.row_count else escape(f"There are no caches in {directory}."), highlight=False)
