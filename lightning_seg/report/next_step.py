"""What to run next to settle the question: a sentence, and the command lines for it where there are any."""

import json
from collections.abc import Sequence
from itertools import islice, product
from math import inf

import pandas as pd

from lightning_seg.catalogue import NETWORKS, dataset_name, loss_name, model_name
from lightning_seg.data.split import Fractions, count_repeats
from lightning_seg.errors import UserError
from lightning_seg.report.answer import ROPE, join
from lightning_seg.report.command_lines import Run, quoted, report_line, train_lines
from lightning_seg.report.comparison import BLOCK, Comparison, compare, unusable
from lightning_seg.report.power import Power
from lightning_seg.report.records import KEYS, Study, only_losses
from lightning_seg.report.verdict import Verdict, judge_comparison
from lightning_seg.runs.folder import RunFolder
from lightning_seg.wording import counted, fixed

# More repeats than this are no advice; further models or datasets are.
_MOST_REPEATS = 20
_USUAL_REPEATS = 5
# Further models are advised where they bring the detectable difference below this share of what it is.
_WORTHWHILE = 0.9

Step = tuple[str, str | None]


def next_step(study: Study, comparison: Comparison, verdict: Verdict, rope: float = ROPE) -> Step:
    """What to run next, with the lines for it; where nothing is left to compare, how the best loss is used.

    Returns:
        a sentence, and lines for the shell; None where the records do not even name what can be typed.
    """
    text, lines = _to_settle(study, comparison, verdict, rope)
    if lines is None and verdict.losses:
        more, lines = _longer(study) if verdict.nothing_learned else _use(study, verdict)
        text = f"{text} {more}" if lines else text
    return text, lines


def _to_settle(study: Study, comparison: Comparison, verdict: Verdict, rope: float) -> Step:
    """What would settle the question, on the losses that are still in doubt alone.

    Those are compared on the repeats that they share, whatever the others lack. Taking them out of the larger
    comparison and testing them again can err once more; both together are wrong in at most twice 5 % of studies.

    Args:
        comparison: of the study; ``verdict`` likewise.
        rope: difference that matters, in Dice (0-1).

    Returns:
        a sentence, and lines for the shell or None.
    """
    losses = verdict.losses
    if len(losses) < 2:
        wanted = sorted({*losses, "bce", "dice"})
        runs = _runs(_cells(study), wanted, _numbers(study, _USUAL_REPEATS))
        return _with_lines("Run at least two losses with the same repeats.", study, runs)
    if verdict.nothing_learned:
        return (
            "Train longer (trainer.max_epochs, early_stopping.patience) or on larger images (data.image_size) before "
            "losses are compared; further runs like these tell nothing.",
            None,
        )
    narrowed = 1 < len(verdict.group) < len(losses)
    doubtful = only_losses(study, verdict.group) if narrowed else study
    first = _repair(doubtful) or _finish(doubtful)
    if first:
        return first
    if verdict.disputes:
        return (
            "First see why the runs that the answer names end so low (their train.log and curves); further runs like "
            "these leave mean and ranks on different sides.",
            None,
        )
    if verdict.winner:
        return "Nothing more has to be run for these datasets and models; others may give another answer.", None
    own = compare(doubtful, comparison.yardstick) if narrowed else comparison
    found = judge_comparison(own).power if narrowed else verdict.power
    if narrowed and _is_worth_comparing_alone(comparison, own, verdict.power, found, rope):
        return (
            f"{_names(own.losses)}, which are still in doubt, share "
            f"{counted(len(own.blocks()), 'dataset x model block')} and {counted(len(own.scores), 'repeat')} of them "
            f"(all losses: {len(comparison.blocks())} and {len(comparison.scores)}): compare them alone before "
            "anything more is run.",
            report_line(study, "--losses", ",".join(verdict.group)),
        )
    text, runs = _complete(doubtful, own) or _further(doubtful, own, found, verdict.unit, rope)
    if not runs:
        return text, None
    text, lines = _with_lines(text, doubtful, runs)
    if narrowed:
        text += " Then compare these losses alone, since the others will lack the new runs."
        lines = "\n".join([*([lines] if lines else []), report_line(study, "--losses", ",".join(verdict.group))])
    return text, lines


def _repair(study: Study) -> Step | None:
    """Runs that have ended and count for nothing are skipped by the usual command."""
    broken = unusable(study.runs)
    if broken.empty:
        return None
    return _with_lines(
        f"First run {counted(len(broken), 'run')} again that cannot be compared, being without "
        "a finite Dice or made with other settings than the rest of the same dataset, model and repeat.",
        study,
        _known(broken),
        "rerun=true",
    )


def _finish(study: Study) -> Step | None:
    """Runs that were announced or begun."""
    runs = study.runs
    left = int((~runs["status"].isin(["finished", "diverged"])).sum())
    if not left:
        return None
    return _with_lines(
        f"First finish the study: {counted(left, 'run', 'are', of=len(runs))} not there yet. "
        "The same command skips finished runs and retries failed ones.",
        study,
        _known(runs),
    )


def _complete(study: Study, own: Comparison) -> tuple[str, list[Run]] | None:
    """Runs that no grid has announced, and without which others cannot be compared."""
    wanted = _runs(_cells(study), own.losses, sorted(study.runs["repeat"].unique()))
    lacking = len(set(wanted) - set(_known(study.runs)))
    if not lacking:
        return None
    return (
        f"First complete the blocks: {counted(lacking, 'run', 'are')} lacking, without "
        "which others cannot be compared. Runs that are finished are skipped.",
        wanted,
    )


def _further(study: Study, own: Comparison, found: Power, unit: str, rope: float) -> tuple[str, list[Run]]:
    """More repeats, or more models; no runs where neither helps."""
    losses, cells, repeats = own.losses, _cells(study), study.runs["repeat"].nunique()
    if unit == "none":
        numbers = _numbers(study, _USUAL_REPEATS)
        if len(numbers) < 2:
            return (
                "The split of these runs has no further repeats, and without them nobody can tell how much of a "
                "difference is luck: choose another (data.split).",
                [],
            )
        return (
            f"Repeat the runs: {len(numbers)} repeats show how much of a difference is luck.",
            _runs(cells, losses, numbers),
        )
    if found.detectable <= 0:
        title = own.yardstick.title
        return (
            f"Most pairs of losses have the very same {title} everywhere: what more runs would bring is not known.",
            [],
        )
    if found.detectable <= rope:
        return (
            f"A difference of {100 * rope:g} {own.yardstick.points} would most likely have been seen: what is left "
            f"between {_names(losses)} is smaller, and more runs would hardly change a decision.",
            [],
        )
    most = min(_MOST_REPEATS, len(_numbers(study, _MOST_REPEATS)))
    wanted = found.repeats_for(rope, most)
    if wanted is not None and wanted > repeats:
        return (
            f"{wanted} repeats find a difference of {100 * rope:g} {own.yardstick.points} with 80 % power; losses that "
            "are known to be worse need no more runs. Repeats that are finished are skipped.",
            _runs(cells, losses, _numbers(study, wanted)),
        )
    datasets = sorted(study.runs["dataset"].unique())
    known = sorted(study.runs["model"].unique())
    new = [model for model in NETWORKS if model not in known]
    reason = f"the split has only {most}" if most < _MOST_REPEATS else _why_repeats_do_not_do(own, found)
    opening = f"More repeats alone cannot find a difference of {100 * rope:g} {own.yardstick.points}, since {reason}"
    models = found.models_for(rope, len(known) + len(new)) or len(known) + len(new)
    reached = found.at(models=models)
    if models <= len(known) or reached > _WORTHWHILE * found.detectable:
        more = found.datasets_for(rope)
        would = f"; about {more} of them would (now {len(datasets)})" if more else ""
        return f"{opening}. Add datasets{would}.", []
    what = "that many would" if reached <= rope else f"they find differences from {fixed(100 * reached)} points on"
    further = new[: models - len(known)]
    text = f"{opening}; run further models, {models} in all (now {len(known)}): {what}."
    if any(NETWORKS[model].weights for model in further):
        text += " Some of them start from ImageNet weights, which are downloaded when they are first needed."
    return text, _runs(list(product(datasets, further)), losses, sorted(study.runs["repeat"].unique()))


def _why_repeats_do_not_do(own: Comparison, found: Power) -> str:
    if own.same_images:
        return "these few blocks vary too much with the seed"
    if found.datasets * found.models < 2:
        return "the same images re-split tell little more"
    return "the losses' differences vary from block to block"


def _is_worth_comparing_alone(
    comparison: Comparison, own: Comparison, before: Power, after: Power, rope: float
) -> bool:
    more = len(own.scores) > len(comparison.scores)
    return more or after.detectable <= rope < before.detectable


def _longer(study: Study) -> Step:
    """The same runs with twice the epochs, in a study of their own."""
    longest = study.runs["epochs"].max()
    if pd.isna(longest):
        return "", None
    epochs = f"trainer.max_epochs={2 * int(longest)}"
    lines = train_lines(study, _known(study.runs), epochs, name=f"{study.name}_longer")
    return "The same runs with twice the epochs:", lines


def _use(study: Study, verdict: Verdict) -> Step:
    """How the loss with the highest mean is used: by the weights of its best run, or by a training that keeps them."""
    best = verdict.losses[0]
    runs = study.runs[(study.runs["loss"] == best) & study.runs["best_val_dice"].notna()]
    if runs.empty:
        return "", None
    for path in runs.sort_values("best_val_dice", ascending=False)["path"]:
        folder = RunFolder(study.directory / path)
        if folder.weights.is_file():
            line = " ".join(map(quoted, ["lightning-seg", "predict", str(folder.path), "IMAGES"]))
            return f"To use {loss_name(best)} as it is, put your images or their folder in place of IMAGES:", line
    row = runs.loc[runs["best_val_dice"].idxmax()]
    run = Run(str(row["dataset"]), str(row["model"]), best, int(row["repeat"]))
    lines = train_lines(study, [run], "keep_weights=true", name=f"{study.name}_{best}")
    return f"To use {loss_name(best)} as it is, train it once more and keep the weights:", lines


def _with_lines(text: str, study: Study, runs: Sequence[Run], *more: str) -> Step:
    lines = train_lines(study, runs, *more)
    if lines is None:
        lines = train_lines(study, runs, *more, by_name=True)
        text += (
            " The records do not tell how such runs are called for. With the settings of the study, run "
            f"{join([dataset_name(name) for name in dict.fromkeys(run.dataset for run in runs)])} with "
            f"{join([model_name(name) for name in dict.fromkeys(run.model for run in runs)])}, "
            f"{_names(list(dict.fromkeys(run.loss for run in runs)))} and repeats "
            f"{join([str(number) for number in dict.fromkeys(run.repeat for run in runs)])}"
            f"{f' ({chr(44).join(more)})' if more else ''}."
        )
        if lines is not None:
            text += " Where they are chosen by the names of their results, and nothing else was set, that is:"
    return text, lines


def _names(losses: Sequence[str]) -> str:
    return join([loss_name(loss) for loss in losses])


def _cells(study: Study) -> list[tuple[str, str]]:
    return list(study.runs[BLOCK].drop_duplicates().itertuples(index=False, name=None))


def _known(runs: pd.DataFrame) -> list[Run]:
    return [Run(*run) for run in runs[KEYS].itertuples(index=False, name=None)]


def _runs(cells: Sequence[tuple[str, str]], losses: Sequence[str], repeats: Sequence[int]) -> list[Run]:
    return [Run(*cell, loss, int(repeat)) for cell, loss, repeat in product(cells, losses, repeats)]


def _numbers(study: Study, count: int) -> list[int]:
    """The repeats of the study, and the first unused numbers up to a count of them, as far as its splits have them."""
    known = [int(number) for number in sorted(study.runs["repeat"].unique())]
    splits = study.runs[["split", "fractions"]].dropna().drop_duplicates()
    end = min([count + len(known), *(_repeats_of(*split) for split in splits.itertuples(index=False, name=None))])
    unused = (number for number in range(int(end)) if number not in known)
    return sorted([*known, *islice(unused, max(0, count - len(known)))])


def _repeats_of(split: str, fractions: str) -> float:
    """How many repeats a split has; inf for as many as one likes, or where that is not known."""
    try:
        count = count_repeats(split, Fractions(**json.loads(fractions)))
    except (UserError, TypeError, ValueError, ArithmeticError):  # its file has gone, or the record is an older one
        return inf
    return inf if count is None else count
