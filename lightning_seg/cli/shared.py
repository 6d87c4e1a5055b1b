"""What several commands share: arguments and remarks."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lightning_seg.machine.processes import uncollected
from lightning_seg.terminal import busy, on_errors, to_copy
from lightning_seg.wording import printable

RunArgument = Annotated[
    Path, typer.Argument(help="A run's folder or weights file, or a cell's folder: the mean of its repeats.")
]
WithOption = Annotated[
    list[Path] | None, typer.Option("--with", metavar="RUN", help="One more run to average with; repeatable.")
]
FlipsOption = Annotated[bool, typer.Option("--flips", help="Average over four mirrored views of each image.")]
BatchOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Images at a time; by default as in the run's own test.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ... or mps.")]
ThresholdOption = Annotated[
    str,
    typer.Option(
        help="Probability above which a pixel is lesion: a number, or validation for the one with the highest Dice on "
        "the run's own validation images."
    ),
]
StudyArgument = Annotated[str, typer.Argument(help="Name of the study, or its folder.")]
OutputDirOption = Annotated[Path, typer.Option("--output-dir", help="Where studies lie.")]

WANDB_LOGIN = "run `wandb login` once, or set WANDB_API_KEY"


def say(text: object, console: Console | None = None) -> None:
    """Print a line that may hold names from anywhere: as it is, in one piece, without markup or control characters."""
    line = printable(text, lines=True)
    if console is None:
        typer.echo(line)
    else:
        console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say_commands(commands: str, console: Console) -> None:
    """Print commands, one a line, that are there to be copied."""
    say(to_copy(commands, console), console)


def note(remark: str | None) -> None:
    if remark is not None:
        typer.echo(on_errors(f"note: {printable(remark)}"), err=True)


def skip(console: Console, sentence: str) -> None:
    say(f"skipped: {printable(sentence)}", console)


@contextmanager
def loading() -> Iterator[None]:
    """What a command imports only once it needs it."""
    with busy("loading"), uncollected():
        yield


def say_report(study: Path, console: Console) -> None:
    """Build the report of a study that this process has trained, and print the path of its page."""
    from lightning_seg.report.build import build_report

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # which training has let speak
    say(f"\nThe report: {build_report(study)}", console)
