"""The answer in words: generated from the analysis, and never stronger than it is.

The first sentence is the answer, for who reads no other. What to do in practice, how sure that is, and the statistics
follow, in this order.
"""

from math import ceil, inf

import numpy as np
import pandas as pd

from lightning_seg.catalogue import dataset_name, loss_name, model_name
from lightning_seg.report.contrasts import Scope
from lightning_seg.report.statistics import count_pairs, critical_difference
from lightning_seg.report.thresholds import HALF, ONE_CLASS, at
from lightning_seg.report.verdict import Dispute, Verdict
from lightning_seg.wording import counted, fixed

ROPE = 0.005
NOTHING_USABLE = "No loss has a usable run yet: nothing can be concluded."
_TO_DO = "What to do: "
# At most so many losses, or runs, are named one by one.
_NAMED = 5

_WIDER = {
    Scope.MODELS: "other models like these on these datasets",
    Scope.DATASETS: "other datasets like these",
}


def sentences(verdict: Verdict, scope: str, rope: float = ROPE, place: str = "") -> list[str]:
    """The verdict as paragraphs of plain words, the answer first.

    Args:
        scope: what was compared, such as "6 datasets x 12 models, 5 repeats".
        rope: difference that matters (0-1).
        place: for what the answer holds, such as "on these 6 datasets with these 12 models"; from ``scope`` if empty.
    """
    losses = verdict.losses
    if not losses:
        return [NOTHING_USABLE]
    if len(losses) == 1:
        return [f"Only {loss_name(losses[0])} has usable runs: there is nothing to compare it with."]
    if verdict.nothing_learned:
        return [verdict.nothing_learned]
    if verdict.unit == "none":
        return [
            f"{loss_name(losses[0])} has the highest mean {verdict.yardstick.title} over {scope}, but without repeats "
            "nobody can tell the losses from the luck of a single run: nothing can be concluded about which is better.",
        ]
    text = [headline(verdict, rope, place or place_of(scope))]
    text += [_dispute_sentence(verdict, dispute) for dispute in verdict.disputes]
    text.append(_practice(verdict, rope))
    text += _collapse_sentences(verdict, rope, place or place_of(scope))
    text += [_wider_sentence(verdict, wider) for wider in _WIDER if wider in verdict.scopes]
    text += _reversal_sentences(verdict)
    text.append(_resolution_sentence(verdict, rope))
    text.append(_method_sentence(verdict, scope))
    text += _rank_sentences(verdict)
    return text


def split_answer(answer: list[str]) -> tuple[list[str], list[str]]:
    """The paragraphs up to what is to be done, and those that say how far they hold."""
    place = next((n for n, text in enumerate(answer) if text.startswith(_TO_DO)), len(answer) - 1)
    return answer[: place + 1], answer[place + 1 :]


def headline(verdict: Verdict, rope: float, place: str) -> str:
    """The answer in one sentence."""
    losses, best, points = verdict.losses, loss_name(verdict.losses[0]), verdict.yardstick.points
    if verdict.disputes:
        others = _names([dispute.loss for dispute in verdict.disputes])
        return (
            f"No loss is recommended: {place}, {best} has the highest mean {verdict.yardstick.title}, but {others} "
            "mostly scored higher."
        )
    if verdict.winner:
        least = min(float(row.low) for row in verdict.pairs.itertuples() if row.a == losses[0])
        return (
            f"Use {best}: {place}, it is better than {_each(losses[1:])}, by at least {_down(least)} {points} "
            "(95 % confidence)."
        )
    alike, bound = verdict.alike(rope)
    worse = _worse_clause(verdict)
    if set(alike) == set(verdict.group):
        which = _names(alike) if len(alike) < len(losses) else f"the {len(alike)} losses"
        return (
            f"Use any of {which}: {place}, they differ by less than {_up(bound)} {points} (95 % confidence)"
            f"{f'; {worse}' if worse else ''}."
        )
    if not verdict.worse:
        return f"No loss stands out: {place}, the {len(losses)} losses cannot be told apart."
    if len(verdict.group) <= _NAMED:
        return f"Use {_names(verdict.group, 'or')}: {place}, they cannot be told apart; {worse}."
    return f"Do not use {_names(list(verdict.worse), 'or')}: {place}, {worse}; the rest cannot be told from {best}."


def _worse_clause(verdict: Verdict) -> str:
    """ "Focal is worse than IoU by 2.5 points"."""
    if not verdict.worse:
        return ""
    best, points = loss_name(verdict.losses[0]), verdict.yardstick.points
    behind = [100 * difference for difference, _ in verdict.worse.values()]
    if len(behind) <= _NAMED:
        parts = [f"{loss_name(loss)} is worse by {fixed(100 * found[0])}" for loss, found in verdict.worse.items()]
        return f"{join(parts)} points than {best}" if len(parts) == 1 else f"{join(parts)} {points} than {best}"
    return (
        f"{len(behind)} losses are worse than {best}, by {fixed(min(behind))} to {fixed(max(behind))} {points}: "
        f"{_names(list(verdict.worse), 'and')}"
    )


def _practice(verdict: Verdict, rope: float) -> str:
    """What to do."""
    best = loss_name(verdict.losses[0])
    matters = f"{100 * rope:g} {verdict.yardstick.points}"
    if verdict.disputes:
        return (
            f"{_TO_DO}find out why these runs fail before you choose. A loss that fails now and then can be run "
            "again; one that is a little worse every time cannot be helped."
        )
    if verdict.winner:
        margins = [float(row.difference) for row in verdict.pairs.itertuples() if row.a == verdict.losses[0]]
        if min(margins) >= rope:
            return f"{_TO_DO}train with {best}."
        close = [loss for loss, (difference, _) in verdict.worse.items() if difference < rope]
        return (
            f"{_TO_DO}train with {best}. {_names(close, 'and')} came within {matters}, less than what matters "
            "here: where another reason speaks for one of these, take it."
        )
    alike, _ = verdict.alike(rope)
    if set(alike) == set(verdict.group):
        return (
            f"{_TO_DO}choose among them by what else counts, such as training time or the images that you must "
            f"not get wrong; their difference is below what matters ({matters})."
        )
    if verdict.worse:
        return (
            f"{_TO_DO}choose among {_names(verdict.group, 'and')} by what else counts; this study does not say "
            "which is best."
        )
    return f"{_TO_DO}keep the loss that you have, or run more (see below); this study names none to change to."


def _dispute_sentence(verdict: Verdict, dispute: Dispute) -> str:
    best, score = verdict.losses[0], verdict.yardstick
    runs = [
        f"{dataset_name(d)} / {model_name(m)} repeat {r} ({score.title} {own:.2f} against {other:.2f})"
        for d, m, r, own, other in dispute.runs[:_NAMED]
    ]
    more = f" and {len(dispute.runs) - _NAMED} more" if len(dispute.runs) > _NAMED else ""
    return (
        f"Mean and ranks disagree: the mean of {loss_name(dispute.loss)} is {fixed(100 * dispute.behind)} "
        f"{score.points} below that of {loss_name(best)}, though it scored higher in {100 * dispute.wins:.0f} % of "
        f"the paired repeats (mean ranks, adjusted p {_equals(dispute.p)}). "
        f"{counted(len(dispute.runs), 'run', 'do')} it: {', '.join(runs)}{more}."
    )


def _collapse_sentences(verdict: Verdict, rope: float, place: str) -> list[str]:
    """Collapsed runs are in the answer; what it is without the repeats that hold one, of all losses alike."""
    if not verdict.collapsed:
        return []
    counts = join([f"{loss_name(loss)} {count}" for loss, count in verdict.collapsed.items()])
    opening = (
        f"Some runs predict {ONE_CLASS}, {at(verdict.threshold)} ({counts}). They count in this answer; without the "
        f"{counted(verdict.set_aside, 'paired repeat')} with such a run, set aside for every loss,"
    )
    other = verdict.without_collapsed
    if other is None or other.unit == "none":
        return [f"{opening} nothing is left to compare."]
    same = (other.winner, set(other.group), bool(other.disputes)) == (
        verdict.winner,
        set(verdict.group),
        bool(verdict.disputes),
    )
    if same and other.losses[0] == verdict.losses[0]:
        alike = other.winner is None and set(other.group) == set(other.losses)
        return [f"{opening} {'none can be told apart either' if alike else 'the same losses are told apart'}."]
    answer = headline(other, rope, place)
    return [f"{opening} the answer is another: {answer}"]


def _wider_sentence(verdict: Verdict, scope: Scope) -> str:
    """What holds for other models, or datasets."""
    found, where = verdict.worse_in(scope), _WIDER[scope]
    best, units = loss_name(verdict.losses[0]), verdict.scopes[scope].units
    basis = f"from {units} {verdict.scopes[scope].unit}s"
    if verdict.disputes or not found:
        return f"For {where}, nothing is told apart ({basis})."
    if verdict.winner and len(found) == len(verdict.losses) - 1:
        return f"For {where}, too, {best} is better than {_each(found)} ({basis})."
    return f"For {where}, too, {best} is better than {_names(found, 'and')} ({basis})."


def _reversal_sentences(verdict: Verdict) -> list[str]:
    text = []
    for found in verdict.reversals:
        shown = dataset_name(found.name) if found.level == "dataset" else model_name(found.name)
        where = f"On {shown}" if found.level == "dataset" else f"With {shown}"
        text.append(
            f"{where} alone, {loss_name(found.loss)} is better than {loss_name(verdict.losses[0])} by "
            f"{fixed(100 * found.difference)} {verdict.yardstick.points} (p {_equals(found.p)}, adjusted for all that "
            "were looked at)."
        )
    return text


def _resolution_sentence(verdict: Verdict, rope: float) -> str:
    found = verdict.power
    if found.detectable == inf:
        return "With so few runs no difference could have been told, however large."
    if found.detectable <= 0:
        same = verdict.yardstick.title
        return f"The losses have the very same {same} everywhere: what difference could have been seen is not known."
    n = count_pairs(found.losses)
    text = (
        f"How sure: a typical pair of losses has to differ by {fixed(100 * found.detectable)} "
        f"{verdict.yardstick.points} to be told apart with 80 % power here, after adjusting for {counted(n, 'pair')}"
    )
    if found.detectable <= rope:
        return f"{text}; differences that matter ({100 * rope:g} points) would most likely have been seen."
    return f"{text}: smaller differences may exist and go unseen."


def _method_sentence(verdict: Verdict, scope: str) -> str:
    here = verdict.here
    smallest = float(verdict.pairs["p_adjusted"].min())
    kinds = {
        "block": f"{counted(here.units, 'dataset x model block')}, with what models share by their splits as noise of "
        "its own",
        "repeat": f"{counted(here.units, 'repeat')} of one dataset x model block",
        "dataset": f"{counted(here.units, 'dataset')}, since one repeat does not show what models share by its split",
        "row": f"{counted(here.units, 'row')}, whose repeats and what they share by their splits are not known",
    }
    text = (
        f"Statistics: {scope}; differences of mean {verdict.yardstick.title} against the spread of {kinds[here.unit]} "
        f"({counted(round(here.df), 'degree')} of freedom, {here.pair_df:.0f} with all "
        f"losses'); Tukey's test of all pairs (smallest adjusted p {_equals(smallest)})."
    )
    if verdict.same_images:
        return (
            f"{text} All repeats are tested on the same images, so only the seed varies: the result holds for these "
            "test images and says nothing about others."
        )
    if here.unit == "repeat" and verdict.power.test_to_train > 0:
        return (
            f"{text} The repeats re-split the same images, and their variance is corrected for it (Nadeau and Bengio)."
        )
    return text


def _rank_sentences(verdict: Verdict) -> list[str]:
    """The customary second reading: Friedman's test of ranks, which counts every block as independent."""
    overall = verdict.omnibus
    if overall.units < 2:
        return []
    ranked = overall.mean_ranks.sort_values()
    first = loss_name(str(ranked.index[0]))
    text = (
        f"By ranks: {first} has the best mean rank ({ranked.iloc[0]:.2f} of {overall.losses}); Iman-Davenport p "
        f"{_equals(overall.p_f)}"
    )
    distance = critical_difference(overall.units, overall.losses)
    if overall.p_f < 0.05:
        behind = [str(loss) for loss, rank in ranked.items() if rank - ranked.iloc[0] > distance]
        told = f"puts {_names(behind, 'and')} behind it" if behind else "puts none behind it"
        text += f"; Nemenyi's critical difference of {distance:.2f} ranks {told}"
    return [f"{text}. This counts every block as independent, which models of one split are not."]


def place_of(scope: str) -> str:
    """ "on these 6 datasets with these 12 models", from "6 datasets x 12 models, 5 repeats"."""
    datasets, _, models = scope.partition(" x ")
    models = models.partition(",")[0].partition(" (")[0]
    parts = []
    for preposition, part in (("on", datasets), ("with", models)):
        if part:
            number, _, noun = part.partition(" ")
            parts.append(f"{preposition} this {noun}" if number == "1" else f"{preposition} these {part}")
    return " ".join(parts)


def _each(losses: list[str]) -> str:
    return loss_name(losses[0]) if len(losses) == 1 else f"each of the other {len(losses)} losses"


def _names(losses: list[str], last: str = "and") -> str:
    return join([loss_name(loss) for loss in losses], last)


def _up(value: float) -> str:
    """Points, rounded so that the true value is not larger."""
    return fixed(ceil(1e4 * value - 1e-9) / 100)


def _down(value: float) -> str:
    return fixed(np.floor(1e4 * value + 1e-9) / 100)


def _equals(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"


def join(parts: list[str], last: str = "and") -> str:
    """Parts as in a sentence: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def scope_of(pairs: pd.DataFrame) -> str:
    """What a pairs table covers, in words: "6 datasets x 12 models, 5 repeats"."""
    blocks = pairs.groupby(level=["dataset", "model"], observed=True).size()
    datasets, models = (len(blocks.index.unique(level)) for level in ("dataset", "model"))
    least, most = int(np.min(blocks)), int(np.max(blocks))
    repeats = f"{most}" if least == most else f"{least}-{most}"
    crossed = datasets * models == len(blocks)
    cells = "" if crossed else f" ({counted(len(blocks), 'block')})"
    return (
        f"{counted(datasets, 'dataset')} x {counted(models, 'model')}{cells}, "
        f"{repeats} {'repeat' if repeats == '1' else 'repeats'}"
    )


def failed_run_sentences(failed_runs: pd.DataFrame, runs: pd.Series) -> list[str]:
    """Failed, diverged and collapsed runs, loss by loss, so that none hides in a mean.

    Args:
        failed_runs: of :func:`lightning_seg.report.comparison.failed_runs`.
        runs: number of runs of every loss.
    """
    kinds = {
        "failed": "failed",
        "diverged": "diverged",
        "unreadable": "left unreadable records",
        "background": f"collapsed to background everywhere {at(HALF)}",
        "lesion": f"collapsed to lesion everywhere {at(HALF)}",
    }
    text = []
    for loss, row in failed_runs.iterrows():
        parts = [f"{row[kind]} {words}" for kind, words in kinds.items() if row[kind]]
        if parts:
            text.append(f"{loss_name(str(loss))}: of {counted(runs[loss], 'run')}, {join(parts)} ({row['cells']}).")
    return text
