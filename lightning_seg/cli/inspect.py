"""``lightning-seg inspect``: what a dataset holds, as a table and a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from lightning_seg.cli.shared import loading, say
from lightning_seg.errors import UserError
from lightning_seg.wording import printable

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from lightning_seg.data.inspect import Inspection


def inspect(
    data: Annotated[
        str, typer.Argument(help="A dataset of the configuration, or your own folder of images and masks.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Configuration, such as dataset.root=... or data.groups=groups.csv."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page to write; by default inspect/<name>.html.")
    ] = None,
) -> None:
    """Look at a dataset: sizes, lesions, masks, duplicates, siblings across splits; a table here and a page."""
    with loading():
        from lightning_seg.config.compose import compose_config
        from lightning_seg.config.rules import check
        from lightning_seg.data.inspect import write_page
        from lightning_seg.files import check_output_file, mark_output

    console = Console()
    cfg = compose_config([*dataset_overrides(data), *(overrides or [])])
    check(cfg)
    path = output.expanduser() if output else Path("inspect") / f"{cfg.dataset.name}.html"
    check_output_file(path, (".html", ".htm"))  # before all images are read
    found = look_at(cfg, console)
    try:
        mark_output(path.parent, [path.name])
        write_page(found, path)
    except OSError as error:
        raise UserError(
            f"The page cannot be written to {path} ({error.strerror or error}); name another place with --output."
        ) from error
    say(f"The page with pictures: {path}", console)
    if found.bad:
        raise typer.Exit(1)


def dataset_overrides(data: str) -> list[str]:
    """The configuration that names a dataset, or a folder of one's own images and masks.

    Raises:
        UserError: it is a file.
    """
    from lightning_seg.config.overrides import override_value

    path = Path(data).expanduser()
    if path.is_dir():
        return ["dataset=folder", f"dataset.root={override_value(data)}"]
    if path.exists():
        raise UserError(f"{data} is a file; name the folder that holds the images and masks.")
    return [f"dataset={override_value(data)}"]


def look_at(cfg: "DictConfig", console: Console) -> "Inspection":
    """Inspect the configured dataset and print what was found.

    Raises:
        UserError: the dataset cannot be opened, or none of its images can be read.
    """
    with loading():
        from lightning_seg.config.build import build
        from lightning_seg.data.inspect import inspect_dataset, summary_table
        from lightning_seg.data.split import Fractions

        dataset = build(cfg.dataset, "dataset")
    found = inspect_dataset(
        dataset,
        Fractions(**cfg.data.fractions),
        cfg.seed,
        range(5),
        groups=cfg.data.get("groups"),
        split=cfg.data.split,
        cache_dir=cfg.data.cache_dir,
    )
    console.print(summary_table(found))
    for line in found.bad_lines:
        console.print(Text(printable(line), style="red"))
    return found
