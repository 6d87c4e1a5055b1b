"""What `advise` says: which published setting a dataset is like, and what came out of a study."""

from collections.abc import Sequence
from pathlib import Path

from lightning_seg.advise.features import Features, Likeness
from lightning_seg.advise.halving import Halving, Rule, Stop
from lightning_seg.advise.settling import Answer, Settling
from lightning_seg.advise.studying import Settled
from lightning_seg.catalogue import dataset_name, loss_name
from lightning_seg.report import reading_words
from lightning_seg.report.answer import failed_run_sentences, scope_of, sentences
from lightning_seg.report.comparison import compare, compared_rows, failed_runs
from lightning_seg.report.kept import load_kept
from lightning_seg.report.next_step import next_step
from lightning_seg.report.published import load_published
from lightning_seg.report.readings import read_all
from lightning_seg.report.records import load_study
from lightning_seg.report.statistics import omnibus
from lightning_seg.report.thresholds import CHOSEN
from lightning_seg.report.trials import read_trials
from lightning_seg.report.trials import sentences as trial_words
from lightning_seg.report.verdict import judge_comparison
from lightning_seg.wording import counted, fixed

_UNLIKE = 1.0  # distance from which on no published set is called similar


def likeness_sentences(features: Features, ranked: Sequence[Likeness]) -> list[str]:
    """Which published dataset is nearest, by which traits, and what the paper's tables say there."""
    nearest, second = ranked[0], ranked[1]
    name = dataset_name(nearest.name)
    opening = f"Of the six published datasets it is most like {name}"
    if nearest.distance > _UNLIKE:
        opening = f"It is unlike all six published datasets; the nearest is {name}"
    there = nearest.features
    part = f", from {nearest.measured_on} of its images" if nearest.measured_on < there.images else ""
    pairs = [
        f"{counted(features.images, 'image')} ({there.images:,})",
        f"lesions of {_percent(features.area)} of the image in the median ({_percent(there.area)})",
        f"contrast {features.contrast:.2f} ({there.contrast:.2f})",
        f"{_percent(features.darker)} of lesions darker than around them ({_percent(there.darker)})",
        f"{_colour(features.colour)} ({_colour(there.colour)})",
    ]
    return [
        f"{opening} (distance {nearest.distance:.1f}; next {dataset_name(second.name)}, {second.distance:.1f}): "
        f"{', '.join(pairs)}. In brackets: {name}{part}.",
        *_published_sentences(nearest.name),
    ]


def promising_losses(dataset: str) -> list[str]:
    """The losses in the published order on a dataset, the best first."""
    return [str(loss) for loss in load_published().by_dataset.loc[dataset].sort_values(ascending=False).index]


def _published_sentences(dataset: str) -> list[str]:
    table = load_published().by_dataset
    row = table.loc[dataset].sort_values(ascending=False)
    first = ", ".join(f"{loss_name(str(loss))} {value:.4f}" for loss, value in row.head(3).items())
    others = table.drop(columns="focal")
    spread = 100 * (row.drop("focal").max() - row.drop("focal").min())
    return [
        f"There the paper prints mean Dice over 12 models x 5 repeats: {first} first, {loss_name(str(row.index[-1]))} "
        f"{row.iloc[-1]:.4f} last.",
        f"What that supports: over the six datasets the ten losses differ (Friedman p = {omnibus(table).p:.2g}), but "
        f"without Focal the other nine are not found to differ (p = {omnibus(others).p:.2g}); on "
        f"{dataset_name(dataset)} they lie within {spread:.1f} Dice points, printed without any spread over "
        "repeats. It is no reason to leave out any loss but perhaps Focal.",
    ]


def halved_study_sentences(study: Path) -> tuple[list[str], list[str]]:
    """What stands in place of a halving's answer where the networks have learned nothing, and what after it.

    Returns:
        that they have learned nothing, if so; failed, diverged and collapsed runs of each loss.
    """
    found = load_study(study)
    verdict = judge_comparison(compare(found))
    before = [f"{verdict.nothing_learned} Train longer, or on larger images."] if verdict.nothing_learned else []
    return before, failed_run_sentences(failed_runs(found.runs), found.runs["loss"].value_counts())


def study_sentences(study: Path, chosen_threshold: bool = False) -> tuple[list[str], str | None]:
    """The report's answer in words, with what to run next, and the report's lines for that.

    Args:
        study: its folder.
        chosen_threshold: answer at the threshold that validation images choose, where runs have kept what that needs.
    """
    found = load_study(study)
    comparison = compare(found)
    pairs = comparison.pairs["dice"]
    if not len(pairs):
        return ["No repeat has usable runs of the losses: nothing can be concluded.", *comparison.left_out], None
    kept = load_kept(found, compared_rows(found.runs, pairs))
    readings = read_all(found, comparison, kept)
    chosen = [reading for reading in readings.readings if reading.threshold == CHOSEN and chosen_threshold]
    verdict = chosen[0].verdict if chosen else judge_comparison(comparison)
    advice, lines = next_step(found, comparison, verdict)
    at = "At the threshold that validation images choose for each run:"
    first, *rest = sentences(verdict, scope_of(pairs))
    text = [
        f"{at} {first}" if chosen else first,
        *rest,
        *reading_words.sentences(readings.readings),
        *trial_words(read_trials(found, comparison.losses), verdict),
        *failed_run_sentences(failed_runs(found.runs), found.runs["loss"].value_counts()),
        *comparison.left_out,
        f"Next: {advice}",
    ]
    return text, lines


def dropped_sentences(before: Halving, after: Halving) -> list[str]:
    """What a look has decided."""
    new = after.dropped[len(before.dropped) :]
    text = [
        f"After {counted(gone.repeats, 'repeat')} {loss_name(gone.loss)} is dropped: surely worse than "
        f"{loss_name(gone.rival)} ({fixed(100 * gone.difference)} Dice points behind)."
        for gone in new
    ]
    if after.repeats > before.repeats and not new:
        text.append(f"After {counted(after.repeats, 'repeat')} no further loss is surely worse than another.")
    return text


def halving_sentences(end: Halving, rule: Rule, models: int, out_of_time: bool) -> list[str]:
    """The halving's answer.

    Args:
        end: where it ended.
        rule: by which.
        models: how many were averaged.
        out_of_time: whether it ended because the time is up.
    """
    if not end.repeats:
        return ["The first look was not reached: nothing can be concluded."]
    names = [loss_name(loss) for loss in end.left]
    runs = models * (sum(gone.repeats for gone in end.dropped) + end.repeats * len(end.left))
    full = models * (len(end.dropped) + len(end.left)) * rule.looks[-1]
    scope = f"after {counted(end.repeats, 'repeat')} of {counted(models, 'model')}"
    points, rope = 100 * (end.gap or 0.0), 100 * rule.rope
    if end.stop is Stop.WINNER:
        text = [f"{names[0]} is the best of the {len(end.dropped) + 1} losses {scope}: every other was surely worse."]
    elif end.stop is Stop.ALIKE:
        text = [
            f"{', '.join(names)} have the very same Dice in each of {counted(end.repeats, 'repeat')}: their networks "
            "have most likely learned nothing yet, and nothing can be concluded. Train longer, or on larger images."
        ]
    else:
        doubt = (
            f"{names[0]} leads {scope}; {', '.join(names[1:])} may still be better, by at most {points:.2f} Dice points"
        )
        why = {
            Stop.EQUIVALENT: f", which is within what matters ({rope:g} points): take any of them.",
            Stop.HOPELESS: ". More repeats of these images would most likely not settle it; more images, or further "
            "models, may.",
            Stop.SPENT: f". {rule.looks[-1]} repeats, the most that were planned, do not settle it.",
            None: ". The time is up; the same command with more --hours goes on." if out_of_time else ".",
        }
        text = [doubt + why[end.stop]]
    text += [
        f"{loss_name(gone.loss)} was dropped after {counted(gone.repeats, 'repeat')}: {fixed(100 * gone.difference)} "
        f"Dice points behind {loss_name(gone.rival)}."
        for gone in end.dropped
    ]
    if end.stop is Stop.ALIKE:
        return text
    text.append(
        f"The best loss has been dropped, or the bound above is wrong, with a probability of at most "
        f"{_percent(rule.error_rate)} over all looks (corrected resampled t-tests, Bonferroni over rivals and looks), "
        "supposing that all losses are about equally noisy and their noise is roughly normal; a best loss that is much "
        f"noisier than the others is dropped more often. It took {counted(runs, 'run')}; {rule.looks[-1]} repeats of "
        f"all losses are {full}."
    )
    return text


def left_sentences(before: Settling, after: Settling) -> list[str]:
    """What a unit has decided."""
    new = after.dropped[len(before.dropped) :]
    return [
        f"{loss_name(gone.loss)} gets no more runs: {fixed(100 * gone.difference)} Dice points behind after "
        f"{gone.units} dataset x model x repeat, the full grid would almost surely call it worse."
        for gone in new
    ]


def settled_sentences(settled: Settled, study: Path) -> list[str]:
    """The answer of a study that ends when it is settled."""
    end, (done, all_runs) = settled.end, settled.runs
    cost = f"{counted(done, 'run', 'were', of=all_runs)} needed."
    if not end.seen:
        return ["Nothing is finished yet, and nothing can be concluded."]
    nothing_learned, failures = halved_study_sentences(study)
    if nothing_learned:
        return [*nothing_learned, *failures]
    names = [loss_name(loss) for loss in end.losses]
    chance = end.chance or 0.0
    if end.answer is Answer.WINNER:
        text = [f"{names[0]} is the best: with a chance of {_percent(chance)} the full grid tells it from every other."]
    elif end.answer is Answer.NONE:
        text = [
            f"{names[0]} leads, but no loss is the best of all: with a chance of {_percent(1 - chance)} even the full "
            f"grid does not tell it from every other. In doubt are {', '.join(names)}."
        ]
    elif end.answer is Answer.ENDED:
        text, cost = (
            ["All runs that were left are there; the report answers."],
            f"{done} of {counted(all_runs, 'run')}.",
        )
    else:
        why = "the time is up" if settled.out_of_time else "runs have failed"
        text, cost = (
            [f"Not settled yet, and {why}; the same command goes on."],
            f"{counted(done, 'run', 'are', of=all_runs)} there.",
        )
    return [*text, cost, *failures]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"  # no exponent


def _colour(colour: float) -> str:
    return "grey" if colour < 0.01 else f"colour {colour:.2f}"
