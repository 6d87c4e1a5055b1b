"""How the tests call a command and read what it wrote."""

import csv
from collections.abc import Callable
from pathlib import Path

import typer
from typer.testing import CliRunner


def invoke(command: Callable[..., None], *arguments: object) -> tuple[int, str]:
    """Exit code and output of a command of ``lightning-seg``; errors pass through as they are."""
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
