"""Builds a report's folder: page, figures, tables and tidy data."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lightning_seg.files import refuse_links, write_text
from lightning_seg.metrics.measures import MEASURES
from lightning_seg.report.analysis import Analysis, analyse, analyse_rows
from lightning_seg.report.answer import ROPE
from lightning_seg.report.current import report_dir
from lightning_seg.report.drawing import Drawing, draw_all
from lightning_seg.report.draws import DRAWS
from lightning_seg.report.elsewhere_tables import elsewhere_tables
from lightning_seg.report.failing_tables import failing_tables
from lightning_seg.report.failures import SUSPECTS, write_suspects
from lightning_seg.report.figures import certainty as certainty_figures
from lightning_seg.report.figures import paper, reasons
from lightning_seg.report.figures.style import Figure
from lightning_seg.report.fill import fill_measures
from lightning_seg.report.groups import read_groups
from lightning_seg.report.leftover import keep_only
from lightning_seg.report.losses import losses_drawing
from lightning_seg.report.measure_tables import measure_tables
from lightning_seg.report.page import published_page, study_page
from lightning_seg.report.published import load_published, rank_published
from lightning_seg.report.reading_tables import reading_tables
from lightning_seg.report.readings import check_beside
from lightning_seg.report.records import image_counts, load_study, measures_of, metrics_of, only_losses, write_tables
from lightning_seg.report.subgroup_tables import subgroup_tables
from lightning_seg.report.tables import Table, certainty_tables, file_names, published_tables, study_tables
from lightning_seg.report.tables import save as save_table
from lightning_seg.report.yardstick import yardstick


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
    formats: Collection[str] = (),
    made: str | None = None,
) -> Path:
    """Read a study's records and write its report.

    Args:
        study_dir: the study's folder.
        output_dir: the report's folder; by default in the study's, see
            :func:`lightning_seg.report.current.report_dir`.
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
        formats: ``svg``, ``pdf``, ``png``: with any of them, all figures are written as files, also those that the
            page shows in another form. Else the page's own are, as SVG.
        made: when, as the page says it; by default now.

    Returns:
        path of ``index.html``.

    Raises:
        UserError: there is no such folder, no run with one of the losses, no such metric, or ``groups`` cannot be used.
    """
    output_dir = output_dir or report_dir(study_dir, losses, metric, beside)
    analysis = read_analysis(study_dir, draws, rope, seed, losses, groups, metric, beside)
    return write_report(analysis, output_dir, refresh, published, own_figures, formats, made)


def read_analysis(
    study_dir: Path,
    draws: int = DRAWS,
    rope: float = ROPE,
    seed: int = 0,
    losses: Sequence[str] = (),
    groups: Path | None = None,
    metric: str = "dice",
    beside: Sequence[Path] = (),
    kept_in: Path | None = None,
) -> Analysis:
    """Read a study's records and work out what they say; see :func:`build_report`.

    Args:
        kept_in: see :class:`lightning_seg.report.records.Study`.
    """
    divided = read_groups(groups) if groups else None
    check_beside(study_dir, beside)
    unmeasured = fill_measures(study_dir) if metric in MEASURES else []
    study = load_study(study_dir, images_of=metric)
    study.problems += unmeasured
    study.kept_in = kept_in
    by = yardstick(metric, [*metrics_of(study.runs), *measures_of(study.runs)])
    if losses:
        study = only_losses(study, losses)
    return analyse(study, draws, rope, seed, beside, divided, by)


def write_report(
    analysis: Analysis,
    output_dir: Path,
    refresh: int | None = None,
    published: bool = False,
    own_figures: Sequence[Callable[[Analysis], Figure]] = (),
    formats: Collection[str] = (),
    made: str | None = None,
) -> Path:
    """Write what the records say as page, figures, tables and tidy data; see :func:`build_report`."""
    study_dir = analysis.study.directory
    top = study_dir if output_dir.is_relative_to(study_dir) else output_dir
    for name in ("figures", "tables", "wandb"):
        refuse_links(output_dir / name, top)
    output_dir.mkdir(parents=True, exist_ok=True)
    write_tables(analysis.study, output_dir)
    further = [*subgroup_tables(analysis.for_whom), *measure_tables(analysis.measures)]
    further += failing_tables(analysis.failing.kinds, analysis.failing.suspects)
    write_suspects(analysis.failing, output_dir)
    further += elsewhere_tables(analysis.elsewhere)
    tables = study_tables(analysis, published) | reading_tables(analysis) | {table.name: table for table in further}
    if published:
        printed = load_published()
        for table in published_tables(printed, *rank_published(printed)):
            renamed = replace(table, name=f"published_{table.name}", title=f"{table.title}, as published")
            tables[renamed.name] = renamed
    own = [Drawing(draw, (analysis,), kept=False) for draw in own_figures]
    drawn = draw_all([*study_figures(analysis), *own], output_dir / "figures", formats)
    names = [*drawn][len(drawn) - len(own) :]
    page = study_page(analysis, drawn, tables, refresh, names, made)
    return _write(output_dir, tables, page, [SUSPECTS] if len(analysis.failing.suspects) else [])


def build_published_report(
    output_dir: Path, draws: int = DRAWS, rope: float = ROPE, formats: Collection[str] = ()
) -> Path:
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
        Drawing(paper.overall_points, (published.overall, published.derived)),
        Drawing(paper.by_dataset_table, (by_dataset,), "fig2b_dataset_by_loss"),
        Drawing(paper.by_model_table, (by_model,), "fig2c_model_by_loss"),
    ]
    for suffix, _, found in certainties:
        shown += certainty_tables(found, rope, suffix)
        name = f"critical_difference{suffix}"
        figures.append(Drawing(certainty_figures.critical_differences, (found.verdict.omnibus, name)))
    tables = {table.name: table for table in shown}
    for name in ("figures", "tables"):
        refuse_links(output_dir / name, output_dir.parent)
    output_dir.mkdir(parents=True, exist_ok=True)
    drawn = draw_all(figures, output_dir / "figures", formats)
    return _write(output_dir, tables, published_page(by_dataset, by_model, certainties, drawn, tables))


def study_figures(analysis: Analysis) -> list[Drawing]:
    """All figures that the study's records allow."""
    certainty = analysis.certainty
    losses = certainty.verdict.losses if certainty else analysis.comparison.losses
    drawings = _figures_of_cases(analysis, losses)
    if certainty and analysis.by_dataset and analysis.by_model:
        shown = certainty.drawn.intervals() if certainty.drawn is not None else None
        metric = analysis.comparison.yardstick.name
        drawings.append(Drawing(paper.overall_points, (analysis.overall, (), shown, metric)))
        drawings.append(Drawing(paper.by_dataset_table, (analysis.by_dataset,), "fig2b_dataset_by_loss"))
        drawings.append(Drawing(paper.by_model_table, (analysis.by_model,), "fig2c_model_by_loss"))
    if certainty and len(losses) > 1:
        if certainty.verdict.omnibus.units > 1:
            drawings.append(Drawing(certainty_figures.critical_differences, (certainty.verdict.omnibus,)))
        drawings.append(Drawing(certainty_figures.pair_map, (certainty.verdict,)))
        if certainty.drawn is not None:
            drawings.append(Drawing(certainty_figures.intervals, (certainty.drawn, certainty.verdict)))
            drawings.append(Drawing(certainty_figures.stability, (certainty.drawn,)))
    if analysis.variance is not None:
        drawings.append(Drawing(certainty_figures.variance, (analysis.variance,)))
    drawings += _figures_of_reasons(analysis)
    if analysis.comparison.losses:
        drawings.append(losses_drawing(analysis.study, analysis.comparison.losses))
    return drawings


def _figures_of_cases(analysis: Analysis, losses: Sequence[str]) -> list[Drawing]:
    """The page shows them as pictures to choose from."""
    if not analysis.cases:
        return []
    return [
        Drawing(paper.examples, (analysis.cases, image_counts(analysis.study.runs)), "fig1_examples"),
        Drawing(paper.boundaries, (analysis.cases, losses), "boundaries"),
        Drawing(paper.case_grid, (analysis.cases, losses, "sigmoid"), "fig3a_cases_sigmoid"),
        Drawing(paper.case_grid, (analysis.cases, losses, "mean"), "fig3b_cases_mean"),
    ]


def _figures_of_reasons(analysis: Analysis) -> list[Drawing]:
    drawings = []
    if len(analysis.by_size):
        drawings.append(Drawing(reasons.along, (analysis.by_size, "size")))
    if len(analysis.by_contrast):
        drawings.append(Drawing(reasons.along, (analysis.by_contrast, "contrast")))
    if len(analysis.failures):
        drawings.append(Drawing(reasons.failure_rates, (analysis.failures,)))
    if len(analysis.calibration):
        drawings.append(Drawing(reasons.reliability, (analysis.calibration, analysis.calibration_over)))
    if len(analysis.curves):
        drawings.append(Drawing(reasons.curves, (analysis.curves,)))
    if len(analysis.costs):
        drawings.append(Drawing(reasons.cost_and_accuracy, (analysis.costs,)))
    return drawings


def _write(output_dir: Path, tables: Mapping[str, Table], page: str, lists: Sequence[str] = ()) -> Path:
    for table in tables.values():
        save_table(table, output_dir / "tables")
    files = [f"tables/{name}" for table in tables.values() for name in file_names(table)]
    keep_only(output_dir, [*lists, *files])
    index = output_dir / "index.html"
    write_text(index, page)
    return index
