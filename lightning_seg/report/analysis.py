"""All results of a report, worked out once; pages, figures and tables only show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lightning_seg.report import reading_words, reasons
from lightning_seg.report.answer import ROPE, failed_run_sentences, scope_of, sentences
from lightning_seg.report.cases import Case, load_cases
from lightning_seg.report.comparison import Comparison, compare, compared_rows, coverage, failed_runs, splits
from lightning_seg.report.draws import DRAWS, Draws, draw, draw_rows
from lightning_seg.report.elsewhere import Elsewhere, elsewhere
from lightning_seg.report.failures import Failures, find_failures
from lightning_seg.report.families import Measures, measures
from lightning_seg.report.groups import groupings
from lightning_seg.report.kept import Kept, load_kept
from lightning_seg.report.next_step import next_step
from lightning_seg.report.published import load_published
from lightning_seg.report.ranking import Ranking, overall, rank, table_by
from lightning_seg.report.readings import Readings, read_all
from lightning_seg.report.records import Study, load_curves, metrics_of
from lightning_seg.report.statistics import variance_shares
from lightning_seg.report.subgroups import ForWhom, divisions
from lightning_seg.report.trials import Trials, read_trials
from lightning_seg.report.trials import sentences as trial_words
from lightning_seg.report.verdict import Verdict, judge_comparison, judge_rows
from lightning_seg.report.yardstick import DICE, Yardstick
from lightning_seg.wording import counted


@dataclass
class Certainty:
    """How sure the comparison of losses is.

    Attributes:
        verdict: the analysis.
        drawn: draws of the study; None where there is no noise to draw from.
        equivalence: probabilities that the best loss is better than, equivalent to and worse than each other one; None
            where nothing is tested.
        answer: paragraphs.
    """

    verdict: Verdict
    drawn: Draws | None
    equivalence: pd.DataFrame | None
    answer: list[str]

    @property
    def unit_text(self) -> str:
        """What the tests and intervals count."""
        texts = {
            "block": "The unit of analysis is the block, a dataset x model cell averaged over its paired repeats, "
            "never the single run; what models share by their splits is noise of its own.",
            "repeat": "The unit of analysis is the repeat, since there is one dataset x model cell: what is shown "
            "holds for it alone.",
            "dataset": "The unit of analysis is the dataset, since one repeat does not show what models share by its "
            "split.",
            "row": "The unit of analysis is the row of the table, of which no repeats are known.",
            "none": "Without repeats there is no unit of analysis: nothing is tested.",
        }
        return texts[self.verdict.unit]


@dataclass
class Analysis:
    """What a study's records say.

    Attributes:
        certainty: tests and intervals; None where no loss can be compared.
        variance: shares of variance; None likewise.
        overall: metric x loss means.
        by_dataset, by_model: the paper's tables with their scores.
        next_step: what to run next, and the lines for it or None.
        for_whom: the losses on parts of the images.
        failing: single test images that one can learn from.
        measures: the losses by boundaries and lesions found; None where runs have no measures of masks.
        elsewhere: the losses on other datasets and on images made worse; None where no run was tested there.
        by_size, by_contrast, failures, ranking: see :mod:`lightning_seg.report.reasons`.
        calibration: how true probabilities are, by loss and bin, over what ``calibration_over`` says.
        kept: what runs have kept of their predictions.
        readings: the same records at other thresholds, and studies that are set beside this one.
        trials: what was tuned for each loss.
        readings_text: sentences on readings and trials, the first of which says whether the answer holds in all of
            them; none where there is one reading.
        beside_published: level ("dataset" or "model") -> losses beside those of the published table of that level;
            without a level at which fewer than two losses, or no row, are shared.
        comparable: those levels of it at which means over the other one are of published rows alone.
        notes: sentences on what could not be read, does not agree, or is left out.
    """

    study: Study
    comparison: Comparison
    coverage: pd.DataFrame
    splits: pd.DataFrame
    failed_runs: pd.DataFrame
    certainty: Certainty | None
    variance: pd.DataFrame | None
    overall: pd.DataFrame
    by_dataset: Ranking | None
    by_model: Ranking | None
    next_step: tuple[str, str | None]
    failed_runs_text: list[str]
    for_whom: ForWhom
    measures: Measures | None
    failing: Failures
    elsewhere: Elsewhere | None
    by_size: pd.DataFrame
    by_contrast: pd.DataFrame
    failures: pd.DataFrame
    ranking: pd.DataFrame
    curves: pd.DataFrame
    costs: pd.DataFrame
    cases: list[Case]
    calibration: pd.DataFrame
    calibration_over: str
    kept: Kept
    readings: Readings
    trials: Trials
    readings_text: list[str]
    beside_published: dict[str, pd.DataFrame]
    comparable: list[str]
    notes: list[str]
    rope: float


def analyse(
    study: Study,
    draws: int = DRAWS,
    rope: float = ROPE,
    seed: int = 0,
    beside: Sequence[Path] = (),
    groups: pd.DataFrame | None = None,
    yardstick: Yardstick = DICE,
) -> Analysis:
    """Work out everything that the report shows of a study.

    Args:
        draws: draws of the study, for the stability of ranks.
        rope: difference that matters (0-1).
        seed: of the resampling.
        beside: folders of studies that are set beside it, as further readings (of Dice).
        groups: a user's table that divides the test images, of :func:`lightning_seg.report.groups.read_groups`.
        yardstick: by what losses are compared.
    """
    comparison = compare(study, yardstick)
    losses, pairs = comparison.losses, comparison.scores
    comparable = len(losses) > 0 and len(pairs) > 0
    runs = compared_rows(study.runs, pairs)
    images = reasons.compared_images(study.images, pairs)
    unpaired = reasons.image_matrices(images, losses)[1]
    notes = [*study.problems, *study.differences]
    if unpaired:
        notes.append(
            f"In {counted(unpaired, 'repeat')} the losses were not tested on the same images: they are no true pairs, "
            "and their differences are noisier than they need to be."
        )
    cases, unread = load_cases(study, losses)
    notes += unread
    kept = load_kept(study, runs)
    readings = read_all(study, comparison, kept, beside) if yardstick == DICE else Readings()
    trials = read_trials(study, losses)
    notes += [*kept.problems, *readings.notes, *trials.problems]
    certainty = _certainty(comparison, draws, rope, seed) if comparable else None
    failing = find_failures(study, runs, images, certainty.verdict.losses if certainty else losses)
    notes += failing.notes
    failed = failed_runs(study.runs)
    blocks = comparison.blocks() if comparable else pd.DataFrame()
    step: tuple[str, str | None] = ("Start the study; finished runs will appear here.", None)
    if certainty:
        step = next_step(study, comparison, certainty.verdict, rope)
    title, shown = yardstick.title, metrics_of(study.runs)
    by_dataset = rank(table_by(blocks, "dataset"), title=title) if comparable else None
    by_model = rank(table_by(blocks, "model"), title=title) if comparable else None
    return Analysis(
        study=study,
        comparison=comparison,
        coverage=coverage(study.runs),
        splits=splits(study.runs),
        failed_runs=failed,
        certainty=certainty,
        variance=variance_shares(pairs) if comparable and len(losses) > 1 else None,
        overall=overall({name: comparison.pairs[name] for name in shown}) if comparable else pd.DataFrame(),
        by_dataset=by_dataset,
        by_model=by_model,
        next_step=step,
        failed_runs_text=failed_run_sentences(failed, study.runs["loss"].value_counts()),
        for_whom=_for_whom(images, comparison, groups),
        measures=measures(comparison) if comparable else None,
        failing=failing,
        elsewhere=elsewhere(study.runs, comparison, certainty.verdict if certainty else None),
        by_size=reasons.dice_along(images, "size"),
        by_contrast=reasons.dice_along(images, "contrast") if "contrast" in images else pd.DataFrame(),
        failures=reasons.failures(images),
        ranking=reasons.image_ranking(images),
        curves=reasons.mean_curves(load_curves(study, runs)),
        costs=reasons.costs(runs),
        cases=cases,
        calibration=kept.reliability if len(kept.reliability) else reasons.calibration(cases),
        calibration_over=_calibration_over(kept, len(cases)),
        kept=kept,
        readings=readings,
        trials=trials,
        readings_text=_readings_text(readings, trials),
        beside_published=_beside(by_dataset, by_model) if yardstick == DICE else {},
        comparable=_comparable(by_dataset, by_model),
        notes=notes,
        rope=rope,
    )


def analyse_rows(rows: pd.DataFrame, scope: str, draws: int = DRAWS, rope: float = ROPE) -> Certainty:
    """The same tests on a published table, rows x losses.

    Args:
        scope: what its rows are, such as "12 models".
    """
    verdict = judge_rows(rows)
    return Certainty(
        verdict=verdict,
        drawn=draw_rows(rows, draws),
        equivalence=_equivalence(verdict, rope),
        answer=sentences(verdict, scope, rope, f"over these {scope}"),
    )


def _certainty(comparison: Comparison, draws: int, rope: float, seed: int) -> Certainty:
    pairs, ratio = comparison.scores, comparison.test_to_train
    verdict = judge_comparison(comparison)
    return Certainty(
        verdict=verdict,
        drawn=draw(pairs, draws, seed, ratio),
        equivalence=_equivalence(verdict, rope),
        answer=sentences(verdict, scope_of(pairs), rope),
    )


def _for_whom(images: pd.DataFrame, comparison: Comparison, groups: pd.DataFrame | None) -> ForWhom:
    found, notes = groupings(images, groups)
    if len(comparison.losses) < 2:
        return ForWhom([], notes)
    by = comparison.yardstick
    scores = images.assign(**{by.name: by.of(images[[by.name]])[by.name]})
    return ForWhom(divisions(scores, found, by.name, comparison.test_to_train), notes)


def _calibration_over(kept: Kept, cases: int) -> str:
    if len(kept.reliability):
        return f"all pixels of the test images of {counted(len(kept.runs), 'run')}"
    return f"the pixels of {counted(cases, 'example image')}"


def _readings_text(readings: Readings, trials: Trials) -> list[str]:
    tuned = readings.readings[0].verdict if readings.readings and readings.readings[0].tuned else None
    return [*reading_words.sentences(readings.readings), *trial_words(trials, tuned)]


def _equivalence(verdict: Verdict, rope: float) -> pd.DataFrame | None:
    return verdict.here.probabilities(verdict.losses[0], rope) if verdict.unit != "none" else None


def _beside(by_dataset: Ranking | None, by_model: Ranking | None) -> dict[str, pd.DataFrame]:
    """Per level, mean Dice of the losses over the rows that the published table of that level shares."""
    published = load_published()
    levels = {"dataset": (by_dataset, published.by_dataset), "model": (by_model, published.by_model)}
    found = {}
    for level, (ranking, printed) in levels.items():
        if ranking is None:
            continue
        losses = [loss for loss in printed.columns if loss in ranking.means.columns]
        rows = [row for row in printed.index if row in ranking.means.index]
        if len(losses) < 2 or not rows:
            continue
        table = pd.DataFrame(
            {"study": ranking.means.loc[rows, losses].mean(), "published": printed.loc[rows, losses].mean()}
        )
        table["difference"] = table["study"] - table["published"]
        table["study_rank"] = table["study"].rank(ascending=False)
        table["published_rank"] = table["published"].rank(ascending=False)
        found[level] = table.sort_values("study_rank").rename_axis("loss")
    return found


def _comparable(by_dataset: Ranking | None, by_model: Ranking | None) -> list[str]:
    """The levels whose means are over nothing but published networks, or datasets, as the published means are."""
    if by_dataset is None or by_model is None:
        return []
    published = load_published()
    held = {
        "dataset": by_model.means.index.isin(published.by_model.index),
        "model": by_dataset.means.index.isin(published.by_dataset.index),
    }
    return [level for level, known in held.items() if known.all()]
