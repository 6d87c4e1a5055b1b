"""The losses of a study are drawn as its records say that they were set."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_seg.catalogue import LOSSES
from lightning_seg.losses import FocalLoss
from lightning_seg.report.losses import losses_drawing, response_of
from lightning_seg.report.records import Study, load_study
from lightning_seg.report.responses import respond
from tests.report.make_study import make_study


def study_of(folder: Path, losses: dict[str, dict[str, Any]]) -> Study:
    """A study whose records hold these settings of their losses."""
    study = make_study(folder, datasets=["isic"], models=["fcn"], losses=[*losses], repeats=1, cases=0)
    for name, settings in losses.items():
        path = study / "isic" / "fcn" / name / "repeat_0" / "result.json"
        record = json.loads(path.read_text())
        record["config"]["loss"] = {"name": name, **settings}
        path.write_text(json.dumps(record))
    return load_study(study)


def drawn(study: Study) -> list[str]:
    figure = losses_drawing(study, study.runs["loss"].tolist()).figures()[0]
    return [line.get_label() for line in figure.canvas.axes[0].lines if not str(line.get_label()).startswith("_")]


def test_a_loss_is_as_its_runs_had_set_it(tmp_path: Path) -> None:
    focal = {"_target_": "lightning_seg.losses.FocalLoss", "alpha": 0.3, "gamma": 4.0}
    study = study_of(tmp_path / "study", {"focal": focal, "bce": {}})
    found, wanted = response_of("focal", focal), respond(FocalLoss(alpha=0.3, gamma=4.0))
    assert found is not None and np.array_equal(found.by_logit, wanted.by_logit)
    assert drawn(study) == ["BCE", "Focal"]  # BCE recorded nothing: the packaged one


def test_a_loss_of_ones_own_is_drawn_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "a_mine.yaml").write_text("name: a_mine\n_target_: torch.nn.BCEWithLogitsLoss\n")
    study = study_of(tmp_path / "study", {"a_mine": {"_target_": "torch.nn.BCEWithLogitsLoss"}, "dice": {}})
    assert drawn(study) == ["Dice", "a_mine"]


@pytest.mark.parametrize("target", ["os.mkdir", "pathlib.Path.touch", "absent.Loss", "torch.nn.Linear"])
def test_records_call_nothing_but_losses(tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nested = {"_target_": "lightning_seg.losses.WeightedSum", "weights": {"a": 1.0}}
    nested["terms"] = {"a": {"_target_": target, "_args_": ["made"]}}
    study = study_of(tmp_path / "study", {"mine": nested})
    assert response_of("mine", nested) is None
    assert not (tmp_path / "made").exists()
    assert len(drawn(study)) == len(LOSSES)
    assert "build mine on this machine" in losses_drawing(study, ["mine"]).figures()[0].caption
