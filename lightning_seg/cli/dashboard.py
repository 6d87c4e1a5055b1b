"""``lightning-seg dashboard`` and ``lightning-seg sync``: a study on Weights & Biases."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lightning_seg.errors import UserError
from lightning_seg.studies.folder import find_study
from lightning_seg.training.wandb_run import SERVER, has_login, in_one_line

_LOGIN = "run `wandb login` once, or set WANDB_API_KEY"


def dashboard(
    study: Annotated[str, typer.Argument(help="Name of the study.")] = "default",
    output_dir: Annotated[Path, typer.Option("--output-dir", help="Where studies lie.")] = Path("multirun"),
    project: Annotated[
        str | None, typer.Option(help="W&B project; by default that of the study's runs.", show_default=False)
    ] = None,
    entity: Annotated[
        str | None, typer.Option(help="W&B user or team; by default that of the study's runs.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the dashboard's description here, as JSON, instead.", show_default=False)
    ] = None,
) -> None:
    """Make the study's dashboard in W&B, or bring it up to date, and print its address."""
    from lightning_seg.dashboard.project import logged_losses, project_of

    console = Console()
    directory = find_study(output_dir, study)
    if not logged_losses(directory):
        raise UserError(f"No run of study {study!r} was logged to W&B: train with logger=default.")
    try:
        from lightning_seg.dashboard import panels
    except ImportError as error:
        raise UserError(
            f"The dashboard needs wandb-workspaces ({error}): pip install 'lightning-seg[dashboard]'."
        ) from None
    found_project, found_entity = project_of(directory)
    project, entity = project or found_project, entity or found_entity
    if not (directory / "report" / "tables").is_dir():
        console.print(f"No tables: `lightning-seg report {study} --wandb` makes them.", highlight=False)
    if output is not None:
        from lightning_seg.files import write_text

        specification = panels.specification(panels.describe(directory, project, entity))
        write_text(output, json.dumps(specification, indent=1) + "\n")
        console.print(output, soft_wrap=True)
        return
    if not has_login():
        raise UserError(f"A dashboard is saved in W&B, which needs a login: {_LOGIN}; --output writes a file without.")
    try:
        import wandb

        described = panels.describe(directory, project, entity or wandb.Api().default_entity)
        console.print(panels.save(described, directory), soft_wrap=True)
    except Exception as error:
        raise UserError(f"W&B did not save the dashboard ({in_one_line(error)}): nothing was changed here.") from error


def sync(
    study: Annotated[str, typer.Argument(help="Name of the study.")] = "default",
    output_dir: Annotated[Path, typer.Option("--output-dir", help="Where studies lie.")] = Path("multirun"),
) -> None:
    """Upload the study's offline W&B runs, each once; stopped or failed, the same command goes on."""
    from lightning_seg.dashboard.upload import find_offline, upload

    console = Console()
    waiting, running = find_offline(find_study(output_dir, study))
    if running:
        console.print(f"left for later, since they go on: {len(running)}", highlight=False)
    if not waiting:
        console.print("Nothing to upload.")
        return
    if not has_login():
        raise UserError(f"Uploading needs a W&B login ({len(waiting)} runs wait): {_LOGIN}.")
    _check_server()
    failed = 0
    columns = (TextColumn("uploading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        for folder, reason in progress.track(upload(waiting), total=len(waiting)):
            if reason:
                failed += 1
                progress.console.print(f"{folder}: {reason}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(waiting) - failed} uploaded, {failed} failed", highlight=False)
    if failed:
        raise typer.Exit(1)


def _check_server() -> None:
    """Ask the server once: ``wandb sync`` would wait for it without end."""
    import requests

    address = os.environ.get("WANDB_BASE_URL", SERVER)
    try:
        requests.get(address, timeout=20)
    except requests.RequestException as error:
        raise UserError(f"W&B at {address} cannot be reached ({type(error).__name__}): try again later.") from None
