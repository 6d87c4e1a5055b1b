"""``lightning-seg status``: how far a study is."""

from pathlib import Path

from lightning_seg.cli.shared import OutputDirOption, StudyArgument
from lightning_seg.studies.folder import find_study


def status(study: StudyArgument = "default", output_dir: OutputDirOption = Path("multirun")) -> None:
    """Show which runs of a study are finished, failed, running or missing."""
    from lightning_seg.studies.status import print_status

    print_status(find_study(output_dir, study))
