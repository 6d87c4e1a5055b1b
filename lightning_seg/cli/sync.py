"""``lightning-seg sync``: uploads a study's offline W&B runs."""

import os
from pathlib import Path

import typer
from rich.console import Console

from lightning_seg.cli.shared import WANDB_LOGIN, OutputDirOption, StudyArgument, say
from lightning_seg.errors import UserError
from lightning_seg.studies.folder import find_study
from lightning_seg.terminal import errors, tracked
from lightning_seg.training.wandb_run import SERVER, has_login
from lightning_seg.wording import counted


def sync(
    study: StudyArgument = "default",
    output_dir: OutputDirOption = Path("multirun"),
) -> None:
    """Upload the study's offline W&B runs, each once; stopped or failed, the same command goes on."""
    from lightning_seg.dashboard.upload import find_offline, upload

    console = Console()
    waiting, running = find_offline(find_study(output_dir, study).path)
    if running:
        console.print(f"left for later, since they go on: {len(running)}", highlight=False)
    if not waiting:
        console.print("Nothing to upload.")
        return
    if not has_login():
        raise UserError(f"Uploading needs a W&B login (waiting: {counted(len(waiting), 'run')}): {WANDB_LOGIN}.")
    _check_server()
    failed = 0
    for folder, reason in tracked(upload(waiting), "Uploading", len(waiting)):
        if reason:
            failed += 1
            say(f"{folder}: {reason}", errors())
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
