"""The dashboard of a study: a W&B report with panels per dataset and loss, described in code."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import wandb_workspaces.expr as expr
import wandb_workspaces.reports.v2 as reports

from lightning_seg.catalogue import METRICS
from lightning_seg.dashboard.project import logged_losses
from lightning_seg.dashboard.summary import JOB_TYPE
from lightning_seg.errors import UnreadableError
from lightning_seg.files import read_json, write_json

DASHBOARD = "dashboard.json"  # in the study's folder: the saved dashboard, so that the next one takes its place
# Of the report's tables, those that answer the study's question, in reading order.
_TABLES = ("losses", "overall", "dataset_by_loss", "model_by_loss", "pairs", "coverage")
_WIDTH = 24  # of a row of panels, in W&B's grid units
# Filters take the server's own keys, in which a configuration's first key is followed by "value".
_STUDY, _DATASET, _LOSS = "study.value", "dataset.value.name", "loss.value.name"


def describe(study: Path, project: str, entity: str | None) -> reports.Report:
    """The dashboard: the report's tables and figures, then for each dataset its losses side by side and one by one.

    Curves are averaged over the runs that share a loss (for a dataset), or a model (for a dataset and a loss).
    """
    name = study.resolve().name

    def grid(title: str, panels: Sequence[Any], *filters: Any) -> Any:
        of_study = [_is(_STUDY, name), *filters]
        runs = reports.Runset(name=title, filters=expr.And(*of_study))  # of the dashboard's own project
        return reports.PanelGrid(runsets=[runs], panels=_in_rows(panels))

    blocks: list[Any] = [reports.TableOfContents()]
    tables = [table for table in _TABLES if (study / "report" / "tables" / f"{table}.csv").is_file()]
    figures = sorted(f"figure_{path.stem}" for path in (study / "report" / "figures").glob("*.png"))
    if tables:
        shown = [_wide(reports.WeavePanelSummaryTable(table_name=f"table_{table}")) for table in tables]
        shown.append(_wide(reports.MediaBrowser(title="Figures", media_keys=figures)))
        blocks += [reports.H1("Report"), grid("summary", shown, expr.Metric("JobType") == JOB_TYPE)]
    for dataset, losses in logged_losses(study).items():
        here = _is(_DATASET, dataset)
        blocks += [reports.H1(dataset), grid(dataset, [*_curves("loss.name"), *_bars("loss.name")], here)]
        for loss in losses:
            panels = [*_curves("model.name"), *_bars("model.name"), _wide(_examples())]
            cell = grid(f"{dataset} {loss}", panels, here, _is(_LOSS, loss))
            blocks.append(reports.H2(f"{dataset}: {loss}", collapsed_blocks=[cell]))
    return reports.Report(
        project=project,
        entity=entity or "",
        title=f"Study {name}"[:128],
        description="Made by lightning-seg dashboard; made again, it takes this one's place.",
        blocks=blocks,
        width="fluid",
    )


def specification(dashboard: reports.Report) -> dict[str, Any]:
    """What is sent to W&B, as JSON values."""
    return json.loads(dashboard._to_model().model_dump_json(by_alias=True, exclude_none=True))


def save(dashboard: reports.Report, study: Path) -> str:
    """Save the dashboard in W&B, in place of the one that the study has already, and return its address."""
    record = study / DASHBOARD
    with suppress(FileNotFoundError, UnreadableError):  # then a new one is made
        known = read_json(record)
        same = isinstance(known, dict) and isinstance(known.get("id"), str)
        if same and (known.get("project"), known.get("entity")) == (dashboard.project, dashboard.entity):
            dashboard.id = known["id"]
    dashboard.save()
    saved = {"id": dashboard.id, "project": dashboard.project, "entity": dashboard.entity, "url": dashboard.url}
    write_json(record, saved)
    return dashboard.url


def _is(key: str, name: str) -> Any:
    # The library writes filters as text and reads them again, where a quote in a name would end it.
    return expr.Config(key) == re.sub(r"[^\w .-]", lambda sign: f"\\U{ord(sign[0]):08x}", name)


def _curves(grouped_by: str) -> list[Any]:
    return [
        reports.LinePlot(
            title=metric,
            x="epoch",
            y=[metric],
            groupby=reports.Config(grouped_by),
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            aggregate=True,
        )
        for metric in ("val_dice", "train_loss")
    ]


def _bars(grouped_by: str) -> list[Any]:
    return [
        reports.BarPlot(
            title=f"test_{metric}",
            metrics=[f"test_{metric}"],
            groupby=reports.Config(grouped_by),
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            aggregate=True,
        )
        for metric in METRICS
    ]


def _examples() -> Any:
    return reports.MediaBrowser(title="Example predictions", media_keys=["test_examples"], num_columns=4)


def _wide(panel: Any) -> Any:
    panel.layout.w = _WIDTH
    panel.layout.h = 10
    return panel


def _in_rows(panels: Sequence[Any]) -> list[Any]:
    """The panels, laid out from left to right, rows filled up."""
    x = y = height = 0
    for panel in panels:
        if x + panel.layout.w > _WIDTH:
            x, y, height = 0, y + height, 0
        panel.layout.x, panel.layout.y = x, y
        x += panel.layout.w
        height = max(height, panel.layout.h)
    return list(panels)
