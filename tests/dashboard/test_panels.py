"""The dashboard: what is described, and what W&B is sent."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from lightning_seg.errors import UserError

pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed")


def grids(blocks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name of the set of runs -> panel grid, also of grids that lie below a heading."""
    found = {}
    for block in blocks:
        if block["type"] == "panel-grid":
            found[block["metadata"]["runSets"][0]["name"]] = block["metadata"]
        found |= grids(block.get("collapsedChildren") or [])
    return found


def conditions(grid: dict[str, Any]) -> dict[str, str]:
    (runs,) = grid["runSets"]
    return {f"{item['key']['section']}:{item['key']['name']}": item["value"] for item in runs["filters"]["filters"]}


def panels(grid: dict[str, Any]) -> list[dict[str, Any]]:
    return grid["panelBankSectionConfig"]["panels"]


def test_every_dataset_and_loss_has_its_panels(study: Path, report: Path, command: Any, tmp_path: Path) -> None:
    result = command("dashboard", "--output", tmp_path / "dashboard.json")
    assert result.exit_code == 0, result.output
    described = json.loads((tmp_path / "dashboard.json").read_text())
    assert described["displayName"] == "Study lesions" and described["project"]["name"] == "lightning-seg"
    found = grids(described["spec"]["blocks"])
    cells = [f"{dataset} {loss}" for dataset in ("isic", "wound") for loss in ("dice", "gamma=2")]
    assert set(found) == {"summary", "isic", "wound", *cells}

    assert conditions(found["summary"]) == {"config:study.value": "lesions", "run:jobType": "summary"}
    assert conditions(found["wound"]) == {"config:study.value": "lesions", "config:dataset.value.name": "wound"}
    assert conditions(found["isic gamma=2"]) == {
        "config:study.value": "lesions",
        "config:dataset.value.name": "isic",
        "config:loss.value.name": "gamma=2",
    }
    assert not any("unlogged" in name for name in found)

    *tables, figures = panels(found["summary"])
    assert [text in json.dumps(tables[n]) for n, text in enumerate(("table_losses", "table_coverage"))] == [True, True]
    assert figures["config"]["mediaKeys"] == ["figure_intervals", "figure_pairs"]
    for name, key in (("isic", "loss.value.name"), ("isic dice", "model.value.name")):
        curves = [panel["config"] for panel in panels(found[name]) if panel["viewType"] == "Run History Line Plot"]
        bars = [panel["config"] for panel in panels(found[name]) if panel["viewType"] == "Bar Chart"]
        assert [config["metrics"] for config in curves] == [["val_dice"], ["train_loss"]]
        assert {config["xAxis"] for config in curves} == {"epoch"}
        assert [config["metrics"] for config in bars] == [[f"test_{m}"] for m in ("dice", "iou", "precision", "recall")]
        assert {key in config["groupBy"] for config in (*curves, *bars)} == {True}
        assert {config["groupAgg"] for config in (*curves, *bars)} == {"mean"}
    assert panels(found["isic dice"])[-1]["config"]["mediaKeys"] == ["test_examples"]
    for grid in found.values():  # no panel lies on another
        taken = [
            (x, y)
            for place in (panel["layout"] for panel in panels(grid))
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(taken) == len(set(taken)) and max(x for x, _ in taken) < 24


def test_without_a_report_its_part_is_left_out_and_said(command: Any, tmp_path: Path) -> None:
    result = command("dashboard", "--output", tmp_path / "dashboard.json")
    assert "lightning-seg report lesions --wandb" in result.output
    described = json.loads((tmp_path / "dashboard.json").read_text())
    assert "summary" not in grids(described["spec"]["blocks"])


def test_saved_again_it_takes_its_own_place(study: Path, report: Path, command: Any, server: Any) -> None:
    for _ in range(2):
        result = command("dashboard", "--project", "mine")
        assert result.exit_code == 0, (result.output, result.exception)
        assert f"{server.url}/me/mine/reports/Study-lesions--V1" in result.output
    first, second = server.named("upsertView")
    assert (first["id"], second["id"]) == (None, "V1")
    assert (first["projectName"], first["entityName"], first["type"]) == ("mine", "me", "runs")
    assert set(grids(json.loads(first["spec"])["blocks"])) >= {"summary", "isic", "wound dice"}
    # Of another project it is another dashboard.
    assert command("dashboard", "--project", "other").exit_code == 0
    assert server.named("upsertView")[-1]["id"] is None


def test_a_server_that_refuses_gives_a_sentence(command: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "answer", lambda *_: None)
    result = command("dashboard")
    assert isinstance(result.exception, UserError) and "W&B did not save the dashboard" in str(result.exception)


def test_without_a_login_a_sentence_says_what_to_do(command: Any) -> None:
    result = command("dashboard")
    assert isinstance(result.exception, UserError)
    assert "wandb login" in str(result.exception) and "--output" in str(result.exception)


def test_a_study_that_was_never_logged(study: Path, command: Any, tmp_path: Path) -> None:
    for folder in study.glob("*/*/*/*/wandb"):
        folder.rmdir()
    result = command("dashboard", "--output", tmp_path / "dashboard.json")
    assert isinstance(result.exception, UserError) and "logger=default" in str(result.exception)


def test_without_the_package_a_sentence_says_what_to_install(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.startswith("wandb_workspaces"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    import lightning_seg.dashboard as package

    monkeypatch.delitem(__import__("sys").modules, "lightning_seg.dashboard.panels", raising=False)
    monkeypatch.delattr(package, "panels", raising=False)
    monkeypatch.setattr(builtins, "__import__", absent)
    result = command("dashboard", "--output", tmp_path / "dashboard.json")
    assert isinstance(result.exception, UserError) and "pip install" in str(result.exception)
