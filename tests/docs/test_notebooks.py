"""The notebooks run, one after the other, in one folder: the last uses what the first has trained."""

import json
from pathlib import Path

import pytest

from lightning_seg import load_study

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
ORDER = ("first_study", "my_images", "use_the_winner")
SMALLER = {
    '"trainer.max_epochs": 8': '"trainer.max_epochs": 1',
    '"data.image_size": 64': '"data.image_size": 32',
    '"dataset.count": 120': '"dataset.count": 20',
    "repeats=3": "repeats=1",
    "repeats=2": "repeats=1",
    '"model.width": 8': '"model.width": 4',
    "count=40": "count=20",
}


def code_of(name: str) -> list[str]:
    """The code cells, with what makes them small; none has been saved with output."""
    cells = [
        cell
        for cell in json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    assert not any(cell["outputs"] for cell in cells)
    text = ["".join(cell["source"]) for cell in cells]
    for usual, small in SMALLER.items():
        text = [cell.replace(usual, small) for cell in text]
    return text


@pytest.mark.slow
def test_the_notebooks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    for name in ORDER:
        known: dict[str, object] = {"__name__": "__main__"}
        for cell in code_of(name):
            exec(compile(cell, name, "exec"), known)
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(ORDER)
    assert (tmp_path / "multirun/first/report/index.html").is_file()
    assert set(load_study("first").runs["status"]) == set(load_study("mine").runs["status"]) == {"finished"}
