"""A study with a built report, as W&B's commands find it, and a stand-in for W&B's server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from lightning_seg.cli.app import app
from lightning_seg.errors import UserError
from lightning_seg.training import wandb_run
from tests.dashboard.server import StandIn


@pytest.fixture(autouse=True)
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home without a login, in which W&B keeps its own files too, and no settings of another test."""
    wandb.teardown()
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(wandb_run.unreachable, "set", lambda: None)
    (tmp_path / "home").mkdir()
    yield
    wandb.teardown()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The stand-in, with a login for it."""
    server = StandIn()
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of two datasets and two losses; of one run more, W&B knows nothing."""
    study = tmp_path / "multirun" / "lesions"
    for dataset in ("isic", "wound"):
        for loss in ("dice", "gamma=2"):
            (study / dataset / "unet" / loss / "repeat_0" / "wandb").mkdir(parents=True)
    (study / "isic" / "unet" / "unlogged" / "repeat_0").mkdir(parents=True)
    return study


@pytest.fixture
def report(study: Path) -> Path:
    """The folder of the study's report."""
    report = study / "report"
    for folder in ("tables", "figures"):
        (report / folder).mkdir(parents=True)
    (report / "tables" / "losses.csv").write_text("Loss,Mean,Verdict\nDice,0.8125,highest mean\nGamma,,worse\n")
    (report / "tables" / "coverage.csv").write_text("Dataset,Finished\nISIC,2\n")
    for name in ("pairs", "intervals"):
        Image.new("RGB", (8, 6)).save(report / "figures" / f"{name}.png")
    (report / "index.html").write_text("<p>the first answer</p>")
    return report


@pytest.fixture
def command(study: Path) -> Callable[..., Result]:
    """Runs ``lightning-seg <command> lesions`` in this process."""

    def invoke(name: str, *arguments: Any) -> Result:
        result = CliRunner().invoke(
            app, [name, study.name, "--output-dir", str(study.parent), *map(str, arguments)], env={"COLUMNS": "200"}
        )
        assert result.exception is None or isinstance(result.exception, UserError | SystemExit)
        return result

    return invoke


def log_offline(folder: Path, name: str, rows: int = 3) -> Path:
    """Log a run offline below ``folder`` and return W&B's folder of it."""
    with wandb.init(
        project="lightning-seg",
        mode="offline",
        id=name,
        dir=folder,
        reinit="create_new",
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
    ) as run:
        for epoch in range(rows):
            run.log({"val_dice": epoch / 4, "epoch": epoch + 1})
    wandb.teardown()  # the file is whole
    return Path(run.dir).parent
