"""What watches a study reads no run twice, and all that changes."""

import json
import os
from pathlib import Path

import pytest

from lightning_seg.report import kept, records
from lightning_seg.report.records import load_curves, load_study
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.remembered import remembering
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.studies.status import read_study
from tests.report.make_study import collapse_run, make_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path / "demo", ["isic"], ["fcn"], ["bce", "dice"], repeats=2, cases=0, epochs=3)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that are read, by address, and their curves."""
    seen: list[str] = []

    def noting(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def note(first: Path | RunFolder, *rest: object) -> object:
            seen.append(first.address if isinstance(first, RunFolder) else f"{first.parent.name} {first.name}")
            return real(first, *rest)

        monkeypatch.setattr(owner, name, note)

    noting(records, "_read_run")
    noting(records, "_read_curve")
    noting(kept, "_summary")
    noting(RunFolder, "look")
    return seen


def test_a_report_reads_again_what_has_changed_alone(study: Path, read: list[str]) -> None:
    changed = study / "isic" / "fcn" / "dice" / "repeat_1"
    with remembering():
        first = load_study(study)
        load_curves(first)
        read.clear()
        again = load_study(study)
        assert load_curves(again).equals(load_curves(first)) and read == []
        assert again.runs.equals(first.runs) and again.images.equals(first.images)
        collapse_run(changed)
        (study / "isic" / "fcn" / "bce" / "repeat_2").mkdir()  # begun meanwhile: looked at each time
        found = [load_study(study) for _ in range(2)][1]
    assert sorted(set(read)) == ["isic/fcn/bce/repeat_2", "isic/fcn/dice/repeat_1"]
    fresh = load_study(study)
    assert found.runs.equals(fresh.runs) and found.images.equals(fresh.images)
    assert "background" in set(found.runs["collapse"])


def test_status_looks_again_at_what_has_changed_alone(study: Path, read: list[str]) -> None:
    result = study / "isic" / "fcn" / "dice" / "repeat_1" / "result.json"
    with remembering():
        read_study(StudyFolder(study))
        read.clear()
        read_study(StudyFolder(study))
        assert read == []
        record = json.loads(result.read_text())
        result.write_text(json.dumps(record | {"status": "diverged"}))
        os.utime(result, ns=(0, 0))  # as if nothing had been written: the change of state tells
        cells, _ = read_study(StudyFolder(study))
    assert read == ["isic/fcn/dice/repeat_1"]
    assert [each.status for each in cells["isic", "fcn", "dice"].results] == ["finished", "diverged"]


def test_nothing_is_kept_where_nothing_is_watched(study: Path, read: list[str]) -> None:
    for _ in range(2):
        read.clear()
        load_study(study)
        assert len([address for address in read if address.startswith("isic/fcn")]) >= 4
