"""``lightning-seg prepare``: published datasets, downloaded or taken from where they are, and verified."""

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.markup import escape

from lightning_seg.cli.shared import say
from lightning_seg.errors import UserError
from lightning_seg.terminal import errors
from lightning_seg.wording import filled, printable


def prepare(
    datasets: Annotated[
        list[str],
        typer.Argument(
            metavar="DATASET", help="isic, wound, clinicdb, kvasir, breast_benign, breast_malignant, or all."
        ),
    ],
    given: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="The dataset's archive or folder, if you have it: nothing is downloaded then.",
        ),
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="Where datasets lie.")] = Path("data"),
    cache: Annotated[
        bool, typer.Option(help="Decode the images as well, so that the first run starts at once.")
    ] = True,
    image_size: Annotated[
        int, typer.Option(metavar="PIXELS", min=16, help="Side in pixels to which they are resized for that.")
    ] = 224,
) -> None:
    """Download published datasets, or take them from where you have them, and verify them."""
    from lightning_seg.catalogue import DATASETS
    from lightning_seg.data.cache import open_cache
    from lightning_seg.data.prepare import prepare as prepare_source
    from lightning_seg.data.prepare import source_of

    data_dir = data_dir.expanduser()
    names = list(DATASETS) if "all" in datasets else datasets
    unknown = [name for name in names if name not in DATASETS]
    if unknown:
        raise UserError(f"{unknown[0]!r} cannot be prepared; choose from {', '.join(DATASETS)}, or all.")
    sources = {source_of(name).name: source_of(name) for name in names}
    if given is not None and len(sources) > 1:
        raise UserError("--from goes with one dataset (or the two breast sets, which come in one archive).")
    console = errors()
    check = partial(open_cache, size=image_size, directory=data_dir / "cache") if cache else None
    failed = []
    with _without_warnings_of_parts(), _cleaning_up_when_terminated():
        for source in sources.values():
            try:
                wanted = [name for name in names if name in source.readers]
                prepare_source(source, data_dir, given, console, check, wanted)
            except UserError as error:
                if len(sources) == 1:
                    raise
                told = filled(f"{source.name}: {printable(error, lines=True)}", console.width)
                console.print(f"[red]{escape(told)}[/]", highlight=False, soft_wrap=True)
                failed.append(source.name)
    if data_dir != Path("data") and len(failed) < len(sources):
        say(f"Train on what lies there with data_dir={data_dir} .", console)
    if failed:
        raise UserError(f"{len(failed)} of {len(sources)} could not be prepared: {', '.join(failed)}.")


@contextmanager
def _without_warnings_of_parts() -> Iterator[None]:
    """Readers warn of datasets that are not whole; ``prepare`` says it itself, once."""
    logger = logging.getLogger("lightning_seg.data.dataset")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _cleaning_up_when_terminated() -> Iterator[None]:
    """SIGTERM unwinds the program as Ctrl-C does, so that what is half-made is removed."""

    def stop(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
