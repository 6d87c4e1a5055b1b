"""Uploads the runs that were logged offline, by ``wandb sync``, each once."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lightning_seg.dashboard.project import RUN_FOLDERS
from lightning_seg.errors import UserError
from lightning_seg.files import refuse_links
from lightning_seg.runs.claim import is_claimed

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
    """Whether a run lies in the study, not behind a link, and W&B would upload and write none of others' files.

    It uploads what lies in ``files``, and writes a log beside the run. Its own links there, such as ``latest-run``,
    lead to what lies beside them.
    """
    try:
        refuse_links(folder, study)
    except UserError:
        return False
    home = folder.parent.resolve()
    links = [path for path in (*folder.parent.iterdir(), *(folder / "files").rglob("*")) if path.is_symlink()]
    return all(path.resolve().is_relative_to(home) for path in links)


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
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=patience,
            stdin=subprocess.DEVNULL,
            # Its own log goes beside the first run, not into the working directory; errors must be said.
            env=os.environ | {"WANDB_DIR": str(folders[0].parents[1]), "WANDB_SILENT": "false", "NO_COLOR": "1"},
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"not uploaded, W&B did not end within {patience:.0f} s") from None
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in ended.stderr.splitlines() if line.strip()]
    errors = [line.partition("ERROR")[2].strip() for line in lines if "ERROR" in line]
    if errors:
        return errors[-1]
    return lines[-1] if ended.returncode and lines else ""
