"""Which W&B project a study's runs are in, and which of its runs were logged."""

from contextlib import suppress
from pathlib import Path

from lightning_seg.errors import UserError
from lightning_seg.files import refuse_links
from lightning_seg.runs.folder import RunFolder

PROJECT = "lightning-seg"  # where no run says another
RUN_FOLDERS = "*/*/*/repeat_*/wandb"  # below the study; present in runs that were logged


def project_of(study: Path) -> tuple[str, str | None]:
    """Project and entity (``None``: the login's own) of the study's first ended run with W&B, else the default ones."""
    for folder in _logged(study):
        record = RunFolder(folder.parent).record()
        logger = record.config.get("logger") if record is not None else None
        if isinstance(logger, dict) and isinstance(settings := logger.get("wandb"), dict):
            project, entity = settings.get("project"), settings.get("entity")
            return project if isinstance(project, str) and project else PROJECT, (
                entity if isinstance(entity, str) else None
            )
    return PROJECT, None


def _logged(study: Path) -> list[Path]:
    """W&B's folders of the runs, but behind links."""
    found = []
    for folder in sorted(study.glob(RUN_FOLDERS)):
        with suppress(UserError):
            refuse_links(folder, study)
            found.append(folder)
    return found


def logged_losses(study: Path) -> dict[str, list[str]]:
    """Dataset -> losses of the runs that were logged, in alphabetical order."""
    cells = sorted({(*folder.relative_to(study).parts[:1], folder.parts[-3]) for folder in _logged(study)})
    return {dataset: [loss for name, loss in cells if name == dataset] for dataset, _ in cells}
