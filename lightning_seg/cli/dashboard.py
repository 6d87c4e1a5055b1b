"""``lightning-seg dashboard``: a study's dashboard on Weights & Biases."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lightning_seg.cli.shared import WANDB_LOGIN, OutputDirOption, StudyArgument, say
from lightning_seg.errors import UserError
from lightning_seg.extras import install_line
from lightning_seg.files import check_output_file, mark_output, write_json
from lightning_seg.studies.folder import find_study
from lightning_seg.training.wandb_run import has_login, in_one_line


def dashboard(
    study: StudyArgument = "default",
    output_dir: OutputDirOption = Path("multirun"),
    project: Annotated[
        str | None, typer.Option(help="W&B project; by default that of the study's runs.", show_default=False)
    ] = None,
    entity: Annotated[
        str | None, typer.Option(help="W&B user or team; by default that of the study's runs.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the dashboard's description here, as JSON, instead.", show_default=False
        ),
    ] = None,
) -> None:
    """Make the study's dashboard in W&B, or bring it up to date, and print its address."""
    from lightning_seg.dashboard.project import logged_losses, project_of

    console = Console()
    if output is not None:
        check_output_file(output, (".json",))
    directory = find_study(output_dir, study).path
    if not logged_losses(directory):
        raise UserError(f"No run of study {study!r} was logged to W&B: train with logger=default.")
    try:
        from lightning_seg.dashboard import panels
    except ImportError as error:
        raise UserError(f"The dashboard needs wandb-workspaces ({error}): {install_line('dashboard')}.") from None
    found_project, found_entity = project_of(directory)
    project, entity = project or found_project, entity or found_entity
    if not (directory / "report" / "tables").is_dir():
        say(f"No tables: `lightning-seg report {study} --wandb` makes them.", console)
    if output is not None:
        specification = panels.specification(panels.describe(directory, project, entity))
        mark_output(output.parent, [output.name])
        write_json(output, specification)
        say(output, console)
        return
    if not has_login():
        raise UserError(
            f"A dashboard is saved in W&B, which needs a login: {WANDB_LOGIN}; --output writes a file without."
        )
    try:
        import wandb

        described = panels.describe(directory, project, entity or wandb.Api().default_entity)
        say(panels.save(described, directory), console)
    except Exception as error:
        raise UserError(f"W&B did not save the dashboard ({in_one_line(error)}): nothing was changed here.") from error
