"""``lightning-seg verify``: whether a bundle says what follows from its data."""

from pathlib import Path
from typing import Annotated

import typer

from lightning_seg.cli.shared import say
from lightning_seg.terminal import busy
from lightning_seg.wording import counted

_MOST_SHOWN = 20


def verify(bundle: Annotated[Path, typer.Argument(help="The zip file of `report STUDY --bundle`.")]) -> None:
    """Work out a bundle's answer again, and name every number in it that is another; exit code 1 if there is one."""
    with busy("working the answer out again"):
        from lightning_seg.bundle.verify import verify_bundle

        found = verify_bundle(bundle.expanduser())
    if found.answer:
        say(f"answer: {found.answer}")
        say(f"data: sha256 {found.digest}")
    for remark in found.remarks:
        say(f"note: {remark}")
    for fault in found.faults[:_MOST_SHOWN]:
        say(f"fault: {fault}")
    if len(found.faults) > _MOST_SHOWN:
        say(f"and {counted(len(found.faults) - _MOST_SHOWN, 'more fault')}")
    if found.faults:
        raise typer.Exit(1)
    say(f"verified: {counted(found.files, 'file')}; every table, figure and sentence follows from the data")
