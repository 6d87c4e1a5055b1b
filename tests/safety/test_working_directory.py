"""Commands that are started in a folder that somebody has sent, in which there is no ``conf``."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_seg.cli import app as application
from lightning_seg.cli.models import models
from lightning_seg.cli.plan import plan
from lightning_seg.cli.train import train_with
from lightning_seg.machine.processes import find_modules_as_here
from lightning_seg.planning import estimate
from tests.inference.calls import invoke
from tests.sweep.test_plan import TIMING

MODULES = ("wandb", "joblib", "torch", "lightning_seg", "evil", "sitecustomize", "conf", "hydra_plugins/evil")


@pytest.fixture
def received(tmp_path: Path, ran: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of modules that make a file when they are imported."""
    folder = tmp_path / "received"
    (folder / "hydra_plugins").mkdir(parents=True)
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(ran)!r}, 'w')\n")
    (folder / "matplotlibrc").write_text("backend: module://evil\ntext.usetex: True\n")
    (folder / ".env").write_text("TOKEN=1\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return folder


def test_modules_of_the_working_directory_are_not_run_by_child_processes(
    received: Path, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    subprocess.run([sys.executable, "-m", "evil"], check=False)
    assert ran.exists(), "the payload does not run where nothing keeps it"
    ran.unlink()
    find_modules_as_here()
    for how in (("-m", "evil"), ("-c", "import evil")):
        assert subprocess.run([sys.executable, *how], stderr=subprocess.DEVNULL, check=False).returncode
    assert not ran.exists()


@pytest.mark.parametrize("main", [lambda: application.main(), lambda: train_with(["--help"])])
def test_every_command_keeps_them_out(main: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.delenv("PYTHONSAFEPATH")
    monkeypatch.setattr(application, "app", lambda: None)
    main()
    assert os.environ["PYTHONSAFEPATH"] == "1"


def test_models_and_plan_run_nothing_of_it(received: Path, ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_time", lambda cell, together: [TIMING])
    assert invoke(models, "unet", "--markdown")[0] == 0
    assert invoke(plan, "model=unet", "loss=bce", "repeat=0", "dataset.count=12")[0] == 0
    assert not ran.exists()


def test_no_file_of_it_makes_figures_run_latex(received: Path, ran: Path) -> None:
    program = "; ".join(
        [
            "from matplotlib import rcParams",
            "assert rcParams['text.usetex']",
            "import lightning_seg.report.figures.style",
            "assert not rcParams['text.usetex']",
        ]
    )
    environment = os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0
    assert not ran.exists()
