"""The page on the architecture says what the code is."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rooms() -> ModuleType:
    """``scripts/draw_rooms.py``."""
    specification = importlib.util.spec_from_file_location("draw_rooms", ROOT / "scripts" / "draw_rooms.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_picture_of_the_rooms_is_current(rooms: ModuleType) -> None:
    assert rooms.PICTURE.read_text(encoding="utf-8") == rooms.draw(), "run python scripts/draw_rooms.py"


def test_no_arrow_runs_up(rooms: ModuleType) -> None:
    level = {room: number for number, row in enumerate(rooms.layers()) for room in row}
    assert all(level[room] < level[used] for room, uses in rooms.arrows().items() for used in uses)


def test_every_room_has_its_paragraph(rooms: ModuleType) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = set(re.findall(r"\*\*(\w+)\*\*", page))
    assert told == {room for row in rooms.layers() for room in row}
