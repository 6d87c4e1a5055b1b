"""A study from Python: the command in a process of its own, a progress bar here."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from rich.console import Console

from lightning_seg.config.overrides import settings_overrides
from lightning_seg.errors import UserError
from lightning_seg.report.study import LoadedStudy, load_study
from lightning_seg.sweep.cells import Cell, grid_cells
from lightning_seg.terminal import Bars
from lightning_seg.wording import printable

_LOOK_SECONDS = 0.5

Choice = str | Path | Sequence[str | Path]


def run_study(
    *,
    dataset: Choice = "synthetic",
    model: Choice = "unet",
    loss: Choice = "iou_focal",
    repeats: int = 5,
    study: str = "default",
    output_dir: str | Path = "multirun",
    settings: Mapping[str, Any] | None = None,
) -> LoadedStudy:
    """Train every combination, as ``lightning-seg train -m`` does, and read what comes of it.

    What has finished is not trained again, so the same call goes on where one was stopped.

    Args:
        dataset: as in ``dataset=<name>``, or the folder of one's own images and masks; or several.
        model: as on the command line; one or several.
        loss: the same.
        repeats: how many repeats, each with a split and a start of its own.
        study: its name, which is its folder's.
        output_dir: where studies lie.
        settings: other keys, such as ``{"trainer.max_epochs": 8, "trainer": "cpu"}``.

    Returns:
        the study: its tables, and its answer.

    Raises:
        UserError: something is wrong with the arguments or the data, or runs have failed; the message says which.
    """
    grids = [
        [*named, *_swept("model", model), *_swept("loss", loss), f"repeat={','.join(map(str, range(repeats)))}"]
        for named in _datasets(dataset)
    ]
    common = settings_overrides({"study": study, "output_dir": str(output_dir), **(settings or {})})
    commands = [[*common, *grid] for grid in grids]
    cells = [cell for command in commands for cell in grid_cells(command)]
    with Bars(Console(), transient=False) as bar:
        task = bar.add_task(f"Study {printable(study)}", total=len(cells), completed=sum(map(_has_ended, cells)))
        for command in commands:
            _run(command, lambda: bar.update(task, completed=sum(map(_has_ended, cells))))
    return load_study(Path(output_dir).expanduser() / study)


def _datasets(dataset: Choice) -> list[list[str]]:
    """Arguments for the published ones together, and for each folder."""
    names = [str(each) for each in _several(dataset)]
    folders = [name for name in names if Path(name).expanduser().is_dir()]
    published = [name for name in names if name not in folders]
    return [
        *([_swept("dataset", published)] if published else []),
        *(["dataset=folder", *settings_overrides({"dataset.root": name})] for name in folders),
    ]


def _swept(key: str, choice: Choice) -> list[str]:
    return [f"{key}={','.join(map(str, _several(choice)))}"]


def _several(choice: Choice) -> Sequence[str | Path]:
    return [choice] if isinstance(choice, str | Path) else choice


def _has_ended(cell: Cell) -> bool:
    return cell.folder.result.is_file()


def _run(arguments: list[str], look: Callable[[], object]) -> None:
    """The command, until it ends; a stop here is passed on, so that runs end as with Ctrl-C."""
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "lightning_seg.cli.app", "train", "-m", *arguments],
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a notebook's stop reaches it once, from here
        )
        try:
            while process.poll() is None:
                time.sleep(_LOOK_SECONDS)
                look()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        look()
        if process.returncode:
            raise UserError(_reason(told))


def _reason(told: IO[str]) -> str:
    """The error, or the end of what was told."""
    told.seek(0)
    lines = told.read().rstrip().splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return printable(errors[-1]) if errors else "\n".join(printable(line) for line in lines[-12:])
