"""The report's page: one HTML file that needs nothing else."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import lightning_seg
from lightning_seg.catalogue import METRIC_NAMES, METRICS, dataset_name, loss_name, model_name
from lightning_seg.report.analysis import Analysis, Certainty
from lightning_seg.report.answer import NOTHING_USABLE, scope_of, split_answer
from lightning_seg.report.command_lines import report_line
from lightning_seg.report.drawing import Shown
from lightning_seg.report.pictures import gallery
from lightning_seg.report.published import CITATION
from lightning_seg.report.ranking import Ranking
from lightning_seg.report.records import image_counts
from lightning_seg.report.tables import Table

Drawn = Mapping[str, Shown]


def study_page(
    analysis: Analysis,
    figures: Drawn,
    tables: Mapping[str, Table],
    refresh: int | None = None,
    own_figures: Sequence[str] = (),
    made: str | None = None,
) -> str:
    """The page of a study.

    Args:
        figures: by name.
        refresh: seconds after which the page loads itself again; None for never.
        own_figures: names of the figures that are not the report's own.
        made: when, as the page says it; by default now.
    """
    pairs = analysis.comparison.scores
    losses = analysis.certainty.verdict.losses if analysis.certainty else analysis.comparison.losses
    runs = analysis.study.runs
    lead, rest = split_answer(analysis.certainty.answer if analysis.certainty else [NOTHING_USABLE])
    rest = [*rest, *analysis.for_whom.told]
    if analysis.measures and analysis.measures.disagrees:
        rest.append(analysis.measures.sentence)
    if analysis.elsewhere and analysis.elsewhere.beaten:
        rest.append(analysis.elsewhere.sentences[0])
    return _render(
        "study.html",
        title=f"Study {analysis.study.name}",
        scope=scope_of(pairs) if len(pairs) else "nothing to compare yet",
        analysis=analysis,
        lead=lead,
        rest=rest,
        typed=_typed(runs),
        figures=figures,
        tables=tables,
        gallery=gallery(analysis.cases, losses, image_counts(runs)),
        ties=_ties(analysis.by_dataset, analysis.by_model),
        facts=_facts(runs),
        embedded=_embedded({"cells": _cells(analysis), "runs": _runs(runs), "metrics": METRIC_NAMES}),
        bundle_line=report_line(analysis.study, "--bundle"),
        refresh=refresh,
        own_figures=own_figures,
        made=made,
    )


def published_page(
    by_dataset: Ranking,
    by_model: Ranking,
    certainties: Sequence[tuple[str, str, Certainty]],
    figures: Drawn,
    tables: Mapping[str, Table],
) -> str:
    """The page of the published tables.

    Args:
        certainties: (suffix of its figures and tables, heading, results) of every tested table.
    """
    return _render(
        "published.html",
        title="The published tables",
        scope="6 datasets x 12 models x 10 losses, as printed",
        by_dataset=by_dataset,
        by_model=by_model,
        certainties=certainties,
        figures=figures,
        tables=tables,
        ties=_ties(by_dataset, by_model),
        embedded=_embedded({}),
        bundle_line=None,
        refresh=None,
        made=None,
    )


def _render(template: str, made: str | None, **context: Any) -> str:
    environment = Environment(
        loader=PackageLoader("lightning_seg.report", "web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"loss": loss_name, "dataset": dataset_name, "model": model_name, "exact": _exact}
    web = resources.files("lightning_seg.report").joinpath("web")
    return environment.get_template(template).render(
        style=Markup(web.joinpath("page.css").read_text(encoding="utf-8")),
        script=Markup(web.joinpath("page.js").read_text(encoding="utf-8")),
        version=lightning_seg.__version__,
        made=made or datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        citation=CITATION,
        **context,
    )


def _embedded(data: Mapping[str, Any]) -> Markup:
    """JSON that may stand in a script element whatever texts it holds."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _exact(value: Any) -> str:
    """A number in full, for sorting and for hovering."""
    return repr(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _cells(analysis: Analysis) -> list[list[Any]]:
    """(dataset, model, loss, repeats, the four metrics, standard deviation of Dice over repeats) of compared cells."""
    pairs = analysis.comparison.pairs
    if pairs["dice"].empty:
        return []
    groups = {metric: pairs[metric].groupby(level=["dataset", "model"], observed=True) for metric in METRICS}
    means = {metric: group.mean() for metric, group in groups.items()}
    spread, sizes = groups["dice"].std(), groups["dice"].size()
    rows = []
    for dataset, model in means["dice"].index:
        for loss in means["dice"].columns:
            values = [_short(means[metric].at[(dataset, model), loss]) for metric in METRICS]
            deviation = _short(spread.at[(dataset, model), loss])
            names = [dataset_name(dataset), model_name(model), loss_name(loss)]
            rows.append([*names, int(sizes.at[(dataset, model)]), *values, deviation])
    return rows


def _runs(runs: pd.DataFrame) -> list[list[Any]]:
    columns = ["dataset", "model", "loss", "repeat", "status", "collapse", *(f"test_{m}" for m in METRICS)]
    columns += ["epochs", "seconds_fit", "error"]
    rows = []
    for dataset, model, loss, repeat, status, collapse, *numbers, error in runs[columns].astype(object).to_numpy():
        state = f"{status}, all {collapse}" if collapse else status
        row = [dataset_name(dataset), model_name(model), loss_name(loss), int(repeat), state]
        rows.append([*row, *(_short(number) for number in numbers), str(error)])
    return rows


def _typed(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """(name shown, argument that chooses it) of the losses, networks and datasets that are shown by another name."""
    named = (("loss", loss_name), ("model", model_name), ("dataset", dataset_name))
    return [
        (name(value), f"{key}={value}")
        for key, name in named
        for value in sorted(map(str, runs[key].unique()))
        if name(value) != value
    ]


def _short(number: Any) -> float | None:
    return None if pd.isna(number) else round(float(number), 6)


def _facts(runs: pd.DataFrame) -> dict[str, list[tuple[str, int]]]:
    """Versions and devices of the records with how many runs they made."""
    facts = {}
    for name, column in (("Versions", "versions"), ("Devices", "device")):
        counts = runs[column].dropna().value_counts()
        facts[name] = [(_readable(str(value)), int(count)) for value, count in counts.items()]
    return facts


def _readable(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return ", ".join(f"{key} {value}" for key, value in found.items() if value) if isinstance(found, dict) else text


def _ties(*rankings: Ranking | None) -> list[str]:
    return [tie for ranking in rankings if ranking for tie in ranking.ties]
