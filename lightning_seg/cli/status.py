"""``lightning-seg status``: how far a study is."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Annotated

import typer

from lightning_seg.cli.shared import OutputDirOption, StudyArgument
from lightning_seg.errors import UserError
from lightning_seg.studies.folder import StudyFolder, find_study

_LOOK_SECONDS = 5.0


def status(
    study: StudyArgument = "default",
    output_dir: OutputDirOption = Path("multirun"),
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for other programs.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print it as CSV.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again until all runs have ended, or Ctrl-C.")] = False,
) -> None:
    """Show which runs of a study are finished, failed, running or missing."""
    from lightning_seg.studies.status import print_status

    if as_json + as_csv + watch > 1:
        raise UserError("--json, --csv and --watch exclude one another: give one of them.")
    found = find_study(output_dir, study)
    if as_json or as_csv:
        typer.echo(_text(found, as_csv), nl=False)
    elif watch:
        _watch(found)
    else:
        print_status(found)


def _text(study: StudyFolder, as_csv: bool) -> str:
    from lightning_seg.studies.status import as_rows
    from lightning_seg.wording import as_cell

    rows = as_rows(study)
    if not as_csv:
        return json.dumps({"study": study.path.name, "cells": rows}, indent=1) + "\n"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0] if rows else [])
    writer.writerows([as_cell(value) for value in row.values()] for row in rows)
    return text.getvalue()


def _watch(study: StudyFolder) -> None:
    """Print it again and again, over itself where there is a terminal."""
    from rich.console import Console

    from lightning_seg.runs.remembered import remembering
    from lightning_seg.studies.status import print_status

    console = Console()
    try:
        with remembering():
            while True:
                console.clear()
                if print_status(study, console):
                    return
                time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        console.print()
