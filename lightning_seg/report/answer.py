"""The answer in words: generated from the tests, and never stronger than they are."""

import re
from dataclasses import dataclass, field
from math import ceil, inf

import numpy as np
import pandas as pd

from lightning_seg.report.names import MODELS, dataset_name, loss_name, model_name
from lightning_seg.report.statistics import (
    ALPHA,
    Omnibus,
    Resolution,
    count_pairs,
    fewest_blocks,
    holm,
    interaction,
    omnibus,
    pairwise,
    pairwise_repeats,
    resolution,
    signed_rank,
)

ROPE = 0.005
# More repeats than this are no advice; further models or datasets are.
_MOST_REPEATS = 20


@dataclass
class Verdict:
    """What the tests support.

    Attributes:
        losses: compared losses, best mean first.
        winner: the one loss that is better than every other, or None.
        group: losses that cannot be told apart from the one with the best mean (itself first).
        worse: loss -> (mean difference to the best, adjusted p) of those that are worse.
        unit: "block", "repeat" or "none" (nothing can be tested).
        omnibus, pairs, resolution: the tests behind it.
        depends: level ("dataset", "model") -> p-value that loss differences depend on it.
        reversals: (level, name, loss, difference, adjusted p): there, the loss beats the overall best.
    """

    losses: list[str]
    winner: str | None
    group: list[str]
    worse: dict[str, tuple[float, float]]
    unit: str
    omnibus: Omnibus
    pairs: pd.DataFrame
    resolution: Resolution
    depends: dict[str, float] = field(default_factory=dict)
    reversals: list[tuple[str, str, str, float, float]] = field(default_factory=list)


def judge(pairs: pd.DataFrame) -> Verdict:
    """Test a study's pairs table, (dataset, model, repeat) x losses."""
    blocks = pairs.groupby(level=["dataset", "model"], observed=True).mean()
    if len(blocks) >= fewest_blocks(pairs.shape[1]):
        verdict = _conclude(blocks, pairwise(blocks), "block", resolution(pairs))
        verdict.depends = {level: interaction(blocks, level) for level in ("dataset", "model")}
        if verdict.losses:
            verdict.reversals = _reversals(blocks, verdict.losses[0])
        return verdict
    repeated = len(pairs) > len(blocks)
    units = pairs if repeated else blocks
    tested = pairwise_repeats(pairs) if len(pairs) else pairwise(pairs)
    return _conclude(units, tested, "repeat" if repeated else "none", resolution(pairs))


def judge_rows(rows: pd.DataFrame) -> Verdict:
    """Test a table of which no repeats are known (rows x losses), such as a published one."""
    index = pd.MultiIndex.from_arrays([rows.index, ["all"] * len(rows)], names=["dataset", "model"])
    return _conclude(rows, pairwise(rows), "block", resolution(rows.set_axis(index)))


def _conclude(units: pd.DataFrame, pairs: pd.DataFrame, unit: str, found: Resolution) -> Verdict:
    means = units.mean()
    losses = sorted(units.columns, key=lambda loss: (-means[loss], loss))
    overall = omnibus(units)
    # A pair of losses counts only where blocks say that the losses differ at all. Repeats are no independent units of
    # Friedman's test; there the adjusted pairs stand alone.
    differ = unit == "repeat" or (unit == "block" and overall.p_f < ALPHA)
    to_best = pairs[pairs["a"] == losses[0]].set_index("b") if losses else pairs
    worse = {
        loss: (float(row["difference"]), float(row["p_holm"]))
        for loss, row in to_best.iterrows()
        if differ and row["p_holm"] < ALPHA
    }
    group = [loss for loss in losses if loss not in worse]
    winner = losses[0] if len(losses) > 1 and len(group) == 1 else None
    return Verdict(losses, winner, group, worse, unit, overall, pairs, found)


def _reversals(blocks: pd.DataFrame, best: str) -> list[tuple[str, str, str, float, float]]:
    """Datasets and models in which another loss is better than the overall best, Holm over all that are looked at."""
    looked_at = []
    for level in ("dataset", "model"):
        for name, group in blocks.groupby(level=level, observed=True):
            if len(group) < fewest_blocks(2):
                continue
            for loss in blocks.columns.drop(best):
                delta = group[loss] - group[best]
                p, _ = signed_rank(delta.to_numpy())
                looked_at.append((level, str(name), str(loss), float(delta.mean()), p))
    if not looked_at:
        return []
    adjusted = holm(np.array([row[-1] for row in looked_at]))
    return [(*row[:-1], float(p)) for row, p in zip(looked_at, adjusted, strict=True) if p < ALPHA and row[3] > 0]


def sentences(verdict: Verdict, scope: str, rope: float = ROPE) -> list[str]:
    """The verdict as paragraphs of plain words.

    Args:
        scope: what was compared, such as "6 datasets x 12 models, 5 repeats".
        rope: difference that matters, in Dice (0-1).
    """
    losses, found = verdict.losses, verdict.resolution
    if not losses:
        return ["No loss has a usable run yet: nothing can be concluded."]
    if len(losses) == 1:
        return [f"Only {loss_name(losses[0])} has usable runs: there is nothing to compare it with."]
    best = losses[0]
    if verdict.unit == "none":
        return [
            f"{loss_name(best)} has the highest mean Dice over {scope}, but without repeats nobody can tell the losses "
            "from the luck of a single run: nothing can be concluded about which is better.",
        ]
    text = [_group_sentence(verdict, scope)]
    if verdict.worse:
        text.append(_worse_sentence(verdict))
    text.append(_resolution_sentence(found, rope))
    if verdict.unit == "repeat":
        text.append(
            f"With fewer than {fewest_blocks(len(losses))} dataset x model blocks the repeats are the units, paired by "
            "their split and corrected for re-splitting the same images (Nadeau and Bengio): the result holds for "
            "these datasets and models and says nothing about others."
        )
    text += _dependence_sentences(verdict)
    return text


def _group_sentence(verdict: Verdict, scope: str) -> str:
    best = loss_name(verdict.losses[0])
    if verdict.winner:
        largest = max(p for _, p in verdict.worse.values())
        return (
            f"{best} is better than each of the other {len(verdict.losses) - 1} losses over {scope} "
            f"(all adjusted p <= {_p(largest)})."
        )
    others = [loss_name(loss) for loss in verdict.group[1:]]
    if len(verdict.group) == len(verdict.losses) and verdict.unit == "repeat":
        smallest = verdict.pairs["p_holm"].min()
        return (
            f"Over {scope}, no loss can be told apart from {best}, which has the highest mean Dice (smallest adjusted "
            f"p of any pair {_equals(smallest)}): there is no winner."
        )
    if len(verdict.group) == len(verdict.losses):
        if verdict.omnibus.p_f < ALPHA:
            return (
                f"The losses differ as a whole over {scope} (Iman-Davenport p {_equals(verdict.omnibus.p_f)}), yet "
                f"none can be told apart from {best}, which has the highest mean Dice: there is no winner."
            )
        return (
            f"Over {scope} the {len(verdict.losses)} losses cannot be told apart (Iman-Davenport p "
            f"{_equals(verdict.omnibus.p_f)}): {best} has the highest mean Dice, but there is no winner."
        )
    return (
        f"Over {scope}, {best} has the highest mean Dice; {_join(others)} cannot be told apart from it. "
        f"Any of these {len(verdict.group)} losses may be the best one."
    )


def _worse_sentence(verdict: Verdict) -> str:
    best = loss_name(verdict.losses[0])
    parts = [
        f"{loss_name(loss)} by {100 * difference:.2f} Dice points (p {_equals(p)})"
        for loss, (difference, p) in sorted(verdict.worse.items(), key=lambda item: item[1][0])
    ]
    return f"Worse than {best}: {_join(parts)}."


def _resolution_sentence(found: Resolution, rope: float) -> str:
    if found.detectable == inf:
        return (
            f"With {found.units} blocks, adjusting for {count_pairs(found.losses)} pairs leaves no pair that could "
            "reach 5 %, however large its difference: the losses cannot be told apart one by one."
        )
    n = count_pairs(found.losses)
    text = (
        f"A typical pair of losses has to differ by {100 * found.detectable:.2f} Dice points to be told apart with "
        f"80 % power here, after adjusting for {n} pair{'s' if n > 1 else ''}"
    )
    if found.detectable <= rope:
        return f"{text}; differences that matter ({100 * rope:g} points) would most likely have been seen."
    return f"{text}: smaller differences may exist and go unseen."


def _dependence_sentences(verdict: Verdict) -> list[str]:
    text = []
    for level, p in verdict.depends.items():
        if p < ALPHA:
            text.append(
                f"The differences between losses depend on the {level} (p {_equals(p)}): blocks of one {level} "
                "resemble each other, so tests and intervals that count every block as independent are somewhat too "
                f"sure, and the answer for a new {level} may be another."
            )
    for level, name, loss, difference, p in verdict.reversals:
        shown = dataset_name(name) if level == "dataset" else model_name(name)
        text.append(
            f"On {shown}, {loss_name(loss)} is better than {loss_name(verdict.losses[0])} by {100 * difference:.2f} "
            f"Dice points (p {_equals(p)})."
        )
    return text


def next_runs(
    verdict: Verdict, study: str, datasets: list[str], models: list[str], repeats: int, rope: float = ROPE
) -> tuple[str, str | None]:
    """What to run next to settle the question: a sentence, and the command where one helps.

    Args:
        datasets: those of the study; ``models`` likewise.
        repeats: how many repeats of each run the study has.
    """
    if len(verdict.losses) < 2:
        return "Run at least two losses with the same repeats.", _command(study, datasets, models, ["bce", "dice"], 5)
    if verdict.winner:
        return "The question is settled for these datasets and models; nothing more has to be run.", None
    found = verdict.resolution
    group = verdict.group
    if verdict.unit == "none":
        return "Repeat the runs: five repeats show how much of a difference is luck.", _command(
            study, datasets, models, verdict.losses, 5
        )
    wanted = found.repeats_for(rope, most=_MOST_REPEATS)
    if found.detectable <= rope:
        return (
            f"A difference of {100 * rope:g} Dice points would most likely have been seen: what is left between "
            f"{_join([loss_name(loss) for loss in group])} is smaller, and more runs would hardly change a decision.",
            None,
        )
    if wanted is not None and wanted > repeats:
        return (
            f"{wanted} repeats find a difference of {100 * rope:g} Dice points with 80 % power; the losses that are "
            "known to be worse need no more runs. Repeats that are finished are skipped.",
            _command(study, datasets, models, group, wanted),
        )
    blocks = fewest_blocks(found.losses) if found.fixed_blocks else found.units_for(rope)
    models_needed = ceil(blocks / len(datasets)) if blocks else inf
    known = [*models, *(model for model in MODELS if model not in models)]
    reason = (
        "the same images re-split tell little more"
        if found.fixed_blocks
        else "the losses' differences vary from block to block"
    )
    if models_needed > len(known):
        return (
            f"More repeats alone cannot find a difference of {100 * rope:g} Dice points, since {reason}"
            + (f"; about {blocks} dataset x model blocks would (now {found.units})" if blocks else "")
            + ". Add datasets.",
            None,
        )
    return (
        f"More repeats alone cannot find a difference of {100 * rope:g} Dice points, since {reason}; {blocks} dataset "
        f"x model blocks let them count as units (now {found.units}).",
        # Settings of the models that were run say nothing about other models.
        _command(re.sub(r" model\.\S+", "", study), datasets, known[len(models) : int(models_needed)], group, repeats),
    )


def _command(study: str, datasets: list[str], models: list[str], losses: list[str], repeats: int) -> str:
    numbers = ",".join(str(repeat) for repeat in range(repeats))
    return (
        f"python train.py -m study={study} dataset={','.join(datasets)} model={','.join(models)} "
        f"loss={','.join(losses)} repeat={numbers}"
    )


def _p(value: float) -> str:
    return "0.0001" if value < 0.0001 else f"{value:.2g}"


def _equals(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def scope_of(pairs: pd.DataFrame) -> str:
    """What a pairs table covers, in words: "6 datasets x 12 models, 5 repeats"."""
    blocks = pairs.groupby(level=["dataset", "model"], observed=True).size()
    datasets, models = (len(blocks.index.unique(level)) for level in ("dataset", "model"))
    least, most = int(np.min(blocks)), int(np.max(blocks))
    repeats = f"{most}" if least == most else f"{least}-{most}"
    crossed = datasets * models == len(blocks)
    cells = "" if crossed else f" ({len(blocks)} blocks)"
    return (
        f"{datasets} {'dataset' if datasets == 1 else 'datasets'} x {models} {'model' if models == 1 else 'models'}"
        f"{cells}, {repeats} {'repeat' if repeats == '1' else 'repeats'}"
    )


def trouble_sentences(trouble: pd.DataFrame, runs: pd.Series) -> list[str]:
    """Failed, diverged and collapsed runs, loss by loss, so that none hides in a mean.

    Args:
        trouble: of :func:`lightning_seg.report.comparison.trouble`.
        runs: number of runs of every loss.
    """
    kinds = {
        "failed": "failed",
        "diverged": "diverged",
        "unreadable": "left unreadable records",
        "background": "collapsed to background everywhere",
        "lesion": "collapsed to lesion everywhere",
    }
    text = []
    for loss, row in trouble.iterrows():
        parts = [f"{row[kind]} {words}" for kind, words in kinds.items() if row[kind]]
        if parts:
            text.append(f"{loss_name(str(loss))}: of {runs[loss]} runs, {_join(parts)} ({row['cells']}).")
    return text
