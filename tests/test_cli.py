"""The command line as a whole."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lightning_seg.cli import app
from lightning_seg.errors import UserError

HEAVY = {"torch", "torchvision", "lightning", "hydra", "pandas", "scipy", "matplotlib", "wandb", "wandb_workspaces"}


def test_help_loads_no_heavy_library() -> None:
    program = "import sys, lightning_seg.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "lightning_seg" in loaded.stdout.split()
    assert set(loaded.stdout.split()) & HEAVY == set()


@pytest.mark.parametrize("command", ["status", "report", "dashboard", "sync"])
def test_an_absent_study_is_told_with_those_that_there_are(command: str, tmp_path: Path) -> None:
    def sentence() -> str:
        result = CliRunner().invoke(app, [command, "absent", "--output-dir", str(tmp_path)])
        assert isinstance(result.exception, UserError)
        return str(result.exception)

    assert sentence() == f"There is no study 'absent' in {tmp_path}; train a run first."
    (tmp_path / "mine").mkdir()
    assert sentence() == f"There is no study 'absent' in {tmp_path}; studies there are mine."
