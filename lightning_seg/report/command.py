"""``lightning-seg report``: from run records to the page."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lightning_seg.errors import UserError
from lightning_seg.report.build import build_published_report, build_report
from lightning_seg.report.records import find_runs

_REFRESH_SECONDS = 60


def report(
    study: Annotated[str | None, typer.Argument(help="Name of the study.", show_default=False)] = None,
    output_dir: Annotated[Path, typer.Option("--output-dir", help="Where studies lie.")] = Path("multirun"),
    published: Annotated[bool, typer.Option("--published", help="Report on the paper's printed tables.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Build again whenever runs end, until Ctrl-C.")] = False,
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap draws.")] = 10_000,
    rope: Annotated[float, typer.Option(min=0.0, max=100.0, help="Dice points below which losses are equal.")] = 0.5,
) -> None:
    """Write a study's report and print the path of its page."""
    console = Console()
    if published and (study or watch):
        raise UserError("--published reports on the paper's tables: give neither a study nor --watch with it.")
    if published:
        console.print(build_published_report(output_dir / "published" / "report", draws, rope / 100), soft_wrap=True)
        return
    if study is None:
        raise UserError("Name the study to report on, or give --published for the paper's tables.")
    directory = output_dir / study
    if not directory.is_dir():
        known = sorted(path.name for path in output_dir.iterdir() if path.is_dir()) if output_dir.is_dir() else []
        choices = f"studies there are {', '.join(known)}" if known else "train a run first"
        raise UserError(f"There is no study {study!r} in {output_dir}; {choices}.")
    seen = _state(directory)
    refresh = _REFRESH_SECONDS if watch else None
    console.print(build_report(directory, draws=draws, rope=rope / 100, refresh=refresh), soft_wrap=True)
    while watch:
        try:
            time.sleep(_REFRESH_SECONDS / 4)
            if (now := _state(directory)) != seen:
                seen = now
                build_report(directory, draws=draws, rope=rope / 100, refresh=refresh)
                console.print(f"built again with {len(seen)} ended runs")
        except KeyboardInterrupt:
            return


def _state(directory: Path) -> frozenset[tuple[str, int]]:
    """The ended runs and when they ended."""
    ended = set()
    for run in find_runs(directory):
        for name in ("result.json", "error.txt"):
            try:
                ended.add((str(run / name), (run / name).stat().st_mtime_ns))
            except OSError:
                continue
    return frozenset(ended)
