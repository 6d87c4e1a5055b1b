"""The W&B run that carries a study's report: its tables, its figures and its page."""

import io
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import wandb
from PIL import Image

from lightning_seg.files import MOST_TABLE_BYTES, open_plain, read_bytes
from lightning_seg.training.wandb_run import run_id, start_run
from lightning_seg.wording import printable

log = logging.getLogger(__name__)

JOB_TYPE = "summary"
_MOST_FIGURE_BYTES = 64 * 2**20


def log_summary(
    report: Path,
    study: str,
    project: str,
    entity: str | None = None,
    mode: Literal["auto", "online", "offline"] = "auto",
) -> Path:
    """Log a built report as the study's summary run; logged again, the same run shows the new report.

    Tables are logged as ``table_<name>``, figures as ``figure_<name>``, the page as an artifact of type "report".

    Args:
        report: the report's folder; W&B's local files go below it.
        study: the study's name, from which the run's id follows.
        project, entity: of W&B; entity ``None`` for the login's own.
        mode: as for :func:`lightning_seg.training.wandb_run.start_run`.

    Returns:
        the local folder of the W&B run.
    """
    for superseded in _own(report, "wandb/offline-run-*"):
        if superseded.is_dir():
            shutil.rmtree(superseded)
    tables = _logged("table", _own(report, "tables/*.csv"), _table)
    figures = _logged("figure", _own(report, "figures/*.png"), _figure)
    with start_run(
        mode,
        project=project,
        entity=entity,
        name=f"{study} summary",
        group=study,
        job_type=JOB_TYPE,
        tags=[study, JOB_TYPE],
        id=run_id(study, JOB_TYPE),
        config={"study": study},
        dir=report,
    ) as run:
        run.log({**tables, **figures})
        # A copy beside the run's files: an upload that comes later must not find another report's page.
        folder = Path(run.dir).parent
        page = shutil.copy(report / "index.html", folder / "index.html")
        artifact = wandb.Artifact(f"report-{re.sub(r'[^A-Za-z0-9_.-]', '_', study)}", type="report")
        artifact.add_file(str(page), skip_cache=True, policy="immutable")
        run.log_artifact(artifact)
    return folder


def _own(report: Path, pattern: str) -> list[Path]:
    """What lies in the report, sorted; no links, by which a received study might have others' files uploaded."""
    return [path for path in sorted(report.glob(pattern)) if not path.is_symlink()]


def _logged(kind: str, paths: list[Path], read: Callable[[Path], Any]) -> dict[str, Any]:
    """What is logged of files, by its name; a received study may hold some that are not what they are called."""
    found = {}
    for path in paths:
        try:
            found[f"{kind}_{path.stem}"] = read(path)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            log.warning("%s is not logged (%s).", printable(path), printable(error))
    return found


def _figure(path: Path) -> wandb.Image:
    # Given the path, Pillow would open whatever the file holds, and hand EPS to another program.
    with open_plain(path, _MOST_FIGURE_BYTES) as file, Image.open(file, formats=("PNG",)) as image:
        return wandb.Image(image)


def _table(path: Path) -> wandb.Table:
    frame = pd.read_csv(io.BytesIO(read_bytes(path, MOST_TABLE_BYTES)))
    rows = [[None if pd.isna(value) else value for value in row] for row in frame.astype(object).to_numpy().tolist()]
    return wandb.Table(columns=[str(column) for column in frame.columns], data=rows, allow_mixed_types=True)
