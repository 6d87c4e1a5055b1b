"""Uploads the runs that were logged offline, by ``wandb sync``, each once."""

import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lightning_seg.dashboard.offline import foreign_file
from lightning_seg.dashboard.project import RUN_FOLDERS
from lightning_seg.errors import UserError
from lightning_seg.files import refuse_links
from lightning_seg.runs.claim import is_claimed
from lightning_seg.wording import printable

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0  # for the upload of one run, and again for the server
_BATCH = 16  # runs for one start of wandb


def find_offline(study: Path) -> tuple[list[Path], list[Path]]:
    """The offline runs that have not been uploaded: those that have ended, oldest first, and those that still go on.

    The study's summary run comes last.
    """
    folders = [path for path in study.glob(f"{RUN_FOLDERS}/offline-run-*") if _waits(path) and _stays_in(path, study)]
    running = [path for path in folders if is_claimed(path.parents[1])]
    ended = sorted((path for path in folders if path not in running), key=lambda path: path.name)
    summaries = [path for path in sorted(study.glob("report/wandb/offline-run-*")) if _waits(path)]
    return ended + [path for path in summaries if _stays_in(path, study)], sorted(running)


def upload(folders: list[Path]) -> Iterator[tuple[Path, str]]:
    """Upload offline runs; what W&B took is marked by its own ``.synced`` file and not uploaded again.

    Yields:
        each folder with the reason of its failure, or "" where it was uploaded.
    """
    left = list(folders)
    try:
        for batch in _batches(folders):
            _sync(batch)
            for folder in batch:
                reason = _sync([folder]) if _waits(folder) else ""  # alone, so that the reason is its own
                yield folder, (reason or "W&B gave no reason") if _waits(folder) else ""
                left.remove(folder)
    except TimeoutError as error:  # the next ones would wait as long
        for folder in left:
            yield folder, str(error) if _waits(folder) else ""


def _stays_in(folder: Path, study: Path) -> bool:
    """Whether W&B would upload and write none of others' files for a run; if it would, that is said."""
    reason = _reach(folder, study)
    if reason is not None:
        log.warning("%s is not uploaded: %s.", printable(folder), printable(reason))
    return reason is None


def _reach(folder: Path, study: Path) -> str | None:
    """Why W&B would reach out of a run's folder; ``None`` if it would not.

    It uploads what lies in ``files`` and what its own file of the run names, and marks that file. Its own links, such
    as ``latest-run``, lead to what lies beside them.
    """
    try:
        refuse_links(folder, study)
    except UserError as error:
        return str(error).partition(":")[0]
    home = folder.parent.resolve()
    for path in (*folder.parent.iterdir(), *folder.iterdir(), *(folder / "files").rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            return f"{path} is a link"
        if path.exists() and not (path.is_file() or path.is_dir()):
            return f"{path} is no file"
    return foreign_file(folder)


def _waits(folder: Path) -> bool:
    return any(not path.with_name(f"{path.name}.synced").exists() for path in folder.glob("*.wandb"))


def _batches(folders: list[Path]) -> Iterator[list[Path]]:
    """Folders in order, in batches; the folders of one run, which was resumed, are uploaded one after the other."""
    batch: dict[str, Path] = {}
    for folder in folders:
        run = folder.name.rpartition("-")[2]
        if len(batch) == _BATCH or run in batch:
            yield list(batch.values())
            batch = {}
        batch[run] = folder
    if batch:
        yield list(batch.values())


def _sync(folders: list[Path]) -> str:
    """Run ``wandb sync``; returns its last error, or "" without one. Its exit code does not tell of failed runs.

    Raises:
        TimeoutError: it does not end, as where the server has gone.
    """
    command = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
    patience = PATIENCE_SECONDS * (1 + len(folders))
    # W&B reads settings from its folder, such as the server that is sent the key: none that came with a study.
    with tempfile.TemporaryDirectory() as own:
        try:
            ended = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=patience,
                stdin=subprocess.DEVNULL,
                env=os.environ | {"WANDB_DIR": own, "WANDB_SILENT": "false", "NO_COLOR": "1"},  # errors must be said
            )
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"not uploaded, W&B did not end within {patience:.0f} s") from None
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in ended.stderr.splitlines() if line.strip()]
    errors = [line.partition("ERROR")[2].strip() for line in lines if "ERROR" in line]
    if errors:
        return errors[-1]
    return lines[-1] if ended.returncode and lines else ""
