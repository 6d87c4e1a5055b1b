"""A finished run as a colleague might send it, and payloads that leave a file where they run."""

import json
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra

FIXTURE = Path(__file__).parents[1] / "fixtures" / "study_0_1_0"
Edit = Callable[[dict[str, Any]], object]


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """The file that exists once a payload has run."""
    return tmp_path / "ran"


@pytest.fixture
def payload(tmp_path: Path, ran: Path) -> Path:
    """A pickle that makes the file when it is read."""
    path = tmp_path / "extra.pt"
    path.write_bytes(pickle.dumps(Touch(ran)))
    return path


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The study of version 0.1.0 as a received one, below the working directory."""
    place = tmp_path / "multirun" / "before"
    shutil.copytree(FIXTURE, place)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    GlobalHydra.instance().clear()
    yield place
    GlobalHydra.instance().clear()


@pytest.fixture
def run(study: Path) -> Path:
    """The folder of one of its runs, which has kept its weights."""
    return study / "synthetic" / "unet" / "dice" / "repeat_0"


def edit(path: Path, change: Edit) -> None:
    """Change a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
