"""Builds a report's folder: page, figures, tables and tidy data."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lightning_seg.files import refuse_links, write_text
from lightning_seg.metrics.measures import MEASURES
from lightning_seg.report.analysis import Analysis, analyse, analyse_rows
from lightning_seg.report.answer import ROPE
from lightning_seg.report.draws import DRAWS
from lightning_seg.report.figures import certainty as certainty_figures
from lightning_seg.report.figures import paper, reasons
from lightning_seg.report.figures.style import Figure
from lightning_seg.report.figures.style import save as save_figure
from lightning_seg.report.fill import fill_measures
from lightning_seg.report.groups import read_groups
from lightning_seg.report.losses import loss_figures
from lightning_seg.report.measure_tables import measure_tables
from lightning_seg.report.page import published_page, study_page
from lightning_seg.report.published import load_published, rank_published
from lightning_seg.report.reading_tables import reading_tables
from lightning_seg.report.readings import check_beside
from lightning_seg.report.records import image_counts, load_study, measures_of, metrics_of, only_losses, write_tables
from lightning_seg.report.subgroup_tables import subgroup_tables
from lightning_seg.report.tables import Table, certainty_tables, published_tables, study_tables
from lightning_seg.report.tables import save as save_table
from lightning_seg.report.yardstick import DICE, yardstick


def build_report(
    study_dir: Path,
    output_dir: Path | None = None,
    draws: int = DRAWS,
    rope: float = ROPE,
    seed: int = 0,
    refresh: int | None = None,
    losses: Sequence[str] = (),
    published: bool = False,
    own_figures: Sequence[Callable[[Analysis], Figure]] = (),
    groups: Path | None = None,
    metric: str = "dice",
    beside: Sequence[Path] = (),
) -> Path:
    """Read a study's records and write its report.

    Args:
        study_dir: the study's folder.
        output_dir: the report's folder; by default ``report`` in the study's, or ``report-<loss>-<loss>...``, and of
            another metric ``report..._by_<metric>``.
        draws: draws of the study, for the stability of ranks.
        rope: difference that matters, in Dice (0-1).
        seed: of the resampling.
        refresh: seconds after which the page loads itself again; None for never.
        losses: those to compare, as if the study had no others; none for all.
        published: whether to show the paper's tables in full beside the study's.
        own_figures: what draws further figures, after the report's own.
        groups: a CSV file of test images, by whose columns they are divided.
        metric: by what losses are compared: a metric, or a measure of masks.
        beside: folders of studies that are set beside it: whether its answer holds with their settings too.

    Returns:
        path of ``index.html``.

    Raises:
        UserError: there is no such folder, no run with one of the losses, no such metric, or ``groups`` cannot be used.
    """
    divided = read_groups(groups) if groups else None
    check_beside(study_dir, beside)
    unmeasured = fill_measures(study_dir) if metric in MEASURES else []
    study = load_study(study_dir, images_of=metric)
    study.problems += unmeasured
    by = yardstick(metric, [*metrics_of(study.runs), *measures_of(study.runs)])
    if losses:
        study = only_losses(study, losses)
    output_dir = output_dir or study_dir / ("-".join(["report", *losses]) + (f"_by_{metric}" if by != DICE else ""))
    top = study_dir if output_dir.is_relative_to(study_dir) else output_dir
    for name in ("figures", "tables", "wandb"):
        refuse_links(output_dir / name, top)
    output_dir.mkdir(parents=True, exist_ok=True)
    write_tables(study, output_dir)
    analysis = analyse(study, draws, rope, seed, beside, divided, by)
    further = [*subgroup_tables(analysis.for_whom), *measure_tables(analysis.measures)]
    tables = study_tables(analysis) | reading_tables(analysis) | {table.name: table for table in further}
    if published:
        printed = load_published()
        for table in published_tables(printed, *rank_published(printed)):
            shown = replace(table, name=f"published_{table.name}", title=f"{table.title}, as published")
            tables[shown.name] = shown
    own = [draw(analysis) for draw in own_figures]
    names = [figure.name for figure in own]
    figures = [*study_figures(analysis), *own]
    return _write(output_dir, figures, tables, lambda drawn: study_page(analysis, drawn, tables, refresh, names))


def build_published_report(output_dir: Path, draws: int = DRAWS, rope: float = ROPE) -> Path:
    """Write the report of the published tables; returns the path of ``index.html``."""
    published = load_published()
    by_dataset, by_model = rank_published(published)
    certainties = []
    for level, table in (("models", published.by_model), ("datasets", published.by_dataset)):
        scope = f"{len(table)} {level}"
        certainties.append((f"_{level}", f"Over {scope}", analyse_rows(table, scope, draws, rope)))
        without = analyse_rows(table.drop(columns="focal"), scope, draws, rope)
        certainties.append((f"_{level}_without_focal", f"Over {scope}, without Focal", without))
    shown = published_tables(published, by_dataset, by_model)
    figures = [
        paper.overall_bars(published.overall, published.derived),
        paper.by_dataset_table(by_dataset),
        paper.by_model_table(by_model),
    ]
    for suffix, _, found in certainties:
        shown += certainty_tables(found, rope, suffix)
        figures.append(certainty_figures.critical_differences(found.verdict.omnibus, f"critical_difference{suffix}"))
    tables = {table.name: table for table in shown}
    for name in ("figures", "tables"):
        refuse_links(output_dir / name, output_dir.parent)
    output_dir.mkdir(parents=True, exist_ok=True)
    return _write(
        output_dir,
        figures,
        tables,
        lambda drawn: published_page(by_dataset, by_model, certainties, drawn, tables),
    )


def study_figures(analysis: Analysis) -> list[Figure]:
    """All figures that the study's records allow."""
    figures = []
    certainty = analysis.certainty
    if analysis.cases:
        losses = certainty.verdict.losses if certainty else analysis.comparison.losses
        figures.append(paper.examples(analysis.cases, image_counts(analysis.study.runs)))
        figures.append(paper.boundaries(analysis.cases, losses))
        figures += [paper.case_grid(analysis.cases, losses, threshold) for threshold in ("sigmoid", "mean")]
    if certainty and analysis.by_dataset and analysis.by_model:
        figures.append(paper.overall_bars(analysis.overall))
        figures += [paper.by_dataset_table(analysis.by_dataset), paper.by_model_table(analysis.by_model)]
    if certainty and len(certainty.verdict.losses) > 1:
        if certainty.verdict.omnibus.units > 1:
            figures.append(certainty_figures.critical_differences(certainty.verdict.omnibus))
        figures.append(certainty_figures.pair_map(certainty))
        if certainty.drawn is not None:
            figures.append(certainty_figures.intervals(certainty.drawn, certainty.verdict))
            figures.append(certainty_figures.stability(certainty.drawn))
    if analysis.variance is not None:
        figures.append(certainty_figures.variance(analysis.variance))
    if len(analysis.by_size):
        figures.append(reasons.along(analysis.by_size, "size"))
    if len(analysis.by_contrast):
        figures.append(reasons.along(analysis.by_contrast, "contrast"))
    if len(analysis.failures):
        figures.append(reasons.failure_rates(analysis.failures))
    if len(analysis.calibration):
        figures.append(reasons.reliability(analysis.calibration, analysis.calibration_over))
    if len(analysis.curves):
        figures.append(reasons.curves(analysis.curves))
    if len(analysis.costs):
        figures.append(reasons.cost_and_accuracy(analysis.costs))
    if analysis.comparison.losses:
        figures += loss_figures(analysis.study, analysis.comparison.losses)
    return figures


def _write(
    output_dir: Path,
    figures: list[Figure],
    tables: dict[str, Table],
    page: Callable[[dict[str, tuple[Figure, str]]], str],
) -> Path:
    drawn = {figure.name: (figure, save_figure(figure, output_dir / "figures")) for figure in figures}
    for table in tables.values():
        save_table(table, output_dir / "tables")
    index = output_dir / "index.html"
    write_text(index, page(drawn))
    return index
