"""The ``lightning-seg`` command: everything that is not training, and training as well."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

import lightning_seg
from lightning_seg.cli.advise import advise
from lightning_seg.cli.caches import caches
from lightning_seg.cli.completion import complete
from lightning_seg.cli.convert import convert
from lightning_seg.cli.dashboard import dashboard
from lightning_seg.cli.evaluate import evaluate
from lightning_seg.cli.export import export
from lightning_seg.cli.gallery import gallery
from lightning_seg.cli.inspect import inspect
from lightning_seg.cli.models import models
from lightning_seg.cli.new import new
from lightning_seg.cli.plain import Command, Group
from lightning_seg.cli.plan import plan
from lightning_seg.cli.predict import predict
from lightning_seg.cli.prepare import prepare
from lightning_seg.cli.report import report
from lightning_seg.cli.status import status
from lightning_seg.cli.study import study
from lightning_seg.cli.sync import sync
from lightning_seg.cli.verify import verify
from lightning_seg.machine.processes import find_modules_as_here

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Which pixel-wise loss should a lesion-segmentation model be trained with?",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"lightning-seg {lightning_seg.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What stands before any command."""


_TRAINING = "Train"
_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {  # in the order of a first study
    _TRAINING: (status, advise, study, plan),
    "Data": (prepare, inspect, convert, caches),
    "Answers": (report, verify, dashboard, sync),
    "Trained networks": (predict, evaluate, export),
    "Parts": (models, gallery, new),
}


@app.command(
    rich_help_panel=_TRAINING,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    help="Train one run, or with -m a grid; the same as train.py. `lightning-seg train --help` shows its choices.",
)
def train(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="key=value, group=choice and flags.", autocompletion=complete)
    ] = None,
) -> None:
    """Hand all arguments to the Hydra application."""
    from lightning_seg.cli.train import main as train_main

    sys.argv = ["lightning-seg train", *(arguments or [])]
    train_main()


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """A command that says so where it is interrupted."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt as error:
            from lightning_seg.runs.stop import INTERRUPTED

            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from error

    return run


for panel, commands in _COMMANDS.items():
    for command in commands:
        app.command(cls=Command, rich_help_panel=panel)(_interruptible(command))


def main() -> None:
    """Entry point of the console script: an error is one sentence and exit code 2, as in training."""
    find_modules_as_here()
    try:
        app()
    except Exception as error:
        from lightning_seg.cli.train import fail  # here: it loads Hydra

        fail(error)


if __name__ == "__main__":
    main()
