"""The commands that deal with data: ``prepare`` and ``inspect``."""

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from lightning_seg.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from lightning_seg.data.inspect import Inspection


def prepare(
    datasets: Annotated[
        list[str],
        typer.Argument(help="isic, wound, clinicdb, kvasir, breast_benign, breast_malignant, or all."),
    ],
    given: Annotated[
        Path | None,
        typer.Option("--from", help="The dataset's archive or folder, if you have it: nothing is downloaded then."),
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="Where datasets lie.")] = Path("data"),
    cache: Annotated[
        bool, typer.Option(help="Decode the images as well, so that the first run starts at once.")
    ] = True,
    image_size: Annotated[int, typer.Option(min=16, help="Side in pixels to which they are resized for that.")] = 224,
) -> None:
    """Download published datasets, or take them from where you have them, and verify them."""
    from lightning_seg.data.cache import open_cache
    from lightning_seg.data.prepare import DATASETS, source_of
    from lightning_seg.data.prepare import prepare as prepare_source

    names = list(DATASETS) if "all" in datasets else datasets
    unknown = [name for name in names if name not in DATASETS]
    if unknown:
        raise UserError(f"{unknown[0]!r} cannot be prepared; choose from {', '.join(DATASETS)}, or all.")
    sources = {source_of(name).name: source_of(name) for name in names}
    if given is not None and len(sources) > 1:
        raise UserError("--from goes with one dataset (or the two breast sets, which come in one archive).")
    console = Console(stderr=True)
    check = partial(open_cache, size=image_size, directory=data_dir / "cache") if cache else None
    failed = []
    with _without_warnings_of_parts(), _cleaning_up_when_terminated():
        for source in sources.values():
            try:
                prepare_source(source, data_dir, given, console, check)
            except UserError as error:
                if len(sources) == 1:
                    raise
                console.print(f"[red]{source.name}[/]: {escape(str(error))}", highlight=False)
                failed.append(source.name)
    if data_dir != Path("data") and len(failed) < len(sources):
        console.print(f"Train on what lies there with data_dir={data_dir} .", highlight=False)
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


def inspect(
    data: Annotated[
        str, typer.Argument(help="A dataset of the configuration, or your own folder of images and masks.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Configuration, such as dataset.root=... or data.groups=groups.csv.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The page to write; by default inspect/<name>.html.")] = None,
) -> None:
    """Look at a dataset: sizes, lesions, masks, duplicates, siblings across splits; a table here and a page."""
    from lightning_seg.config.compose import check, compose_config
    from lightning_seg.data.inspect import write_page
    from lightning_seg.output import check_output, mark_output

    console = Console()
    cfg = compose_config([*dataset_overrides(data), *(overrides or [])])
    check(cfg)
    path = output or Path("inspect") / f"{cfg.dataset.name}.html"
    if path.is_dir():  # told before all images are read
        raise UserError(f"--output {path} is a folder; name the page in it, such as {path / 'page.html'}.")
    check_output(path.parent, [path.name])
    found = look_at(cfg, console)
    try:
        mark_output(path.parent, [path.name])
        write_page(found, path)
    except OSError as error:
        raise UserError(
            f"The page cannot be written to {path} ({error.strerror or error}); name another place with --output."
        ) from error
    console.print(f"The page with pictures: {path}", highlight=False)
    if found.bad:
        raise typer.Exit(1)


def dataset_overrides(data: str) -> list[str]:
    """The configuration that names a dataset, or a folder of one's own images and masks."""
    from lightning_seg.config.overrides import override_value

    if not Path(data).expanduser().is_dir():
        return [f"dataset={override_value(data)}"]
    return ["dataset=folder", f"dataset.root={override_value(data)}"]


def look_at(cfg: "DictConfig", console: Console) -> "Inspection":
    """Inspect the configured dataset and print what was found.

    Raises:
        UserError: the dataset cannot be opened, or none of its images can be read.
    """
    from lightning_seg.config.build import build
    from lightning_seg.data.inspect import inspect_dataset, summary_table
    from lightning_seg.data.split import Fractions

    dataset = build(cfg.dataset, "dataset")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"Reading {dataset.name}", total=len(dataset.ids()))
        found = inspect_dataset(
            dataset,
            Fractions(**cfg.data.fractions),
            cfg.seed,
            range(5),
            groups=cfg.data.get("groups"),
            cache_dir=cfg.data.cache_dir,
            progress=lambda done: progress.update(task, completed=done),
        )
    console.print(summary_table(found))
    for line in found.bad_lines:
        console.print(line, style="red", markup=False, highlight=False)
    return found
