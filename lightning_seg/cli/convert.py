"""``lightning-seg convert``: any readable data as plain images and masks."""

from pathlib import Path
from typing import Annotated

import typer

from lightning_seg.errors import UserError
from lightning_seg.files import refuse_file_name
from lightning_seg.terminal import errors
from lightning_seg.wording import counted


def convert(
    data: Annotated[str, typer.Argument(help="Your own folder of images with masks or annotations, or a dataset.")],
    output: Annotated[Path, typer.Argument(help="The new folder, for images/<id>.png and masks/<id>.png.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Configuration, such as dataset.lesion=2 or dataset.window=minmax."),
    ] = None,
) -> None:
    """Write images and masks as plain PNG: 8 bits, lesions white on black, in two folders."""
    from lightning_seg.cli.inspect import dataset_overrides
    from lightning_seg.config.build import build
    from lightning_seg.config.compose import compose_config
    from lightning_seg.config.rules import check
    from lightning_seg.data.convert import write_plain

    console = errors()
    cfg = compose_config([*dataset_overrides(data), *(overrides or [])])
    check(cfg)
    target = output.expanduser()
    refuse_file_name(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} exists already; name a new folder.")
    dataset = build(cfg.dataset, "dataset")
    if (reading := dataset.reading()) is not None:
        console.print(reading, highlight=False, markup=False)
    count = write_plain(dataset, target)
    masks = "its mask" if count == 1 else "masks"
    console.print(f"{counted(count, 'image')} and {masks}: {target}", highlight=False, markup=False)
