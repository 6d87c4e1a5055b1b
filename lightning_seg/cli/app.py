"""The ``lightning-seg`` command: everything that is not training, and training as well."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lightning_seg.cli.advise import advise
from lightning_seg.cli.dashboard import dashboard, sync
from lightning_seg.cli.data import inspect, prepare
from lightning_seg.cli.inference import evaluate, export, gallery, models, new, predict
from lightning_seg.cli.plan import plan
from lightning_seg.cli.report import report
from lightning_seg.studies.folder import find_study

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which pixel-wise loss should a lesion-segmentation model be trained with?",
)

StudyArgument = Annotated[str, typer.Argument(help="Name of the study.")]
OutputOption = Annotated[Path, typer.Option("--output-dir", help="Where studies lie.")]


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    help="Train one run, or with -m a grid; the same as train.py. `lightning-seg train --help` shows its choices.",
)
def train(context: typer.Context) -> None:
    """Hand all arguments to the Hydra application."""
    from lightning_seg.cli.train import main as train_main

    sys.argv = ["lightning-seg train", *context.args]
    train_main()


@app.command(help="Show which runs of a study are finished, failed, running or missing.")
def status(study: StudyArgument = "default", output_dir: OutputOption = Path("multirun")) -> None:
    """Print the study's table."""
    from lightning_seg.studies.status import print_status

    print_status(find_study(output_dir, study))


for command in (
    advise,
    plan,
    prepare,
    inspect,
    report,
    dashboard,
    sync,
    predict,
    evaluate,
    export,
    models,
    gallery,
    new,
):
    app.command()(command)


def main() -> None:
    """Entry point of the console script: an error is one sentence and exit code 2, as in training."""
    try:
        app()
    except Exception as error:
        from lightning_seg.cli.train import fail  # here: it loads Hydra

        fail(error)


if __name__ == "__main__":
    main()
