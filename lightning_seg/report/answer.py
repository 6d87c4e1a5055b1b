"""The answer in words: generated from the tests, and never stronger than they are."""

from dataclasses import dataclass, field
from math import inf, isnan

import numpy as np
import pandas as pd

from lightning_seg.catalogue import dataset_name, loss_name, model_name
from lightning_seg.report.comparison import Comparison
from lightning_seg.report.statistics import (
    ALPHA,
    TEST_TO_TRAIN,
    Omnibus,
    Resolution,
    count_pairs,
    critical_difference,
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
# Where more runs than this predict one class everywhere, and so do more than these of every loss, none has learned.
_MANY_COLLAPSED, _SOME_COLLAPSED = 0.5, 0.25


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
        depends: level ("dataset", "model") -> (how many of them there are, p-value that loss differences depend on it;
            NaN where that cannot be tested), where the unit is the block and blocks have a dataset (model) in common.
        reversals: (level, name, loss, difference, adjusted p): there, the loss beats the overall best.
        nothing_learned: a sentence where the networks have learned nothing that losses could be compared by, else "".
        held_back: a sentence where collapsed runs keep the loss of the best mean rank from the best mean, else "".
        same_images: whether all repeats are tested on the same images, so that only the seed varies.
    """

    losses: list[str]
    winner: str | None
    group: list[str]
    worse: dict[str, tuple[float, float]]
    unit: str
    omnibus: Omnibus
    pairs: pd.DataFrame
    resolution: Resolution
    depends: dict[str, tuple[int, float]] = field(default_factory=dict)
    reversals: list[tuple[str, str, str, float, float]] = field(default_factory=list)
    nothing_learned: str = ""
    held_back: str = ""
    same_images: bool = False

    @property
    def limits(self) -> list[str]:
        """The levels beyond which nothing is said: the differences depend on them, or may do so."""
        return [level for level, (_, p) in self.depends.items() if p < ALPHA or isnan(p)]


def judge(
    pairs: pd.DataFrame,
    collapsed: pd.DataFrame | None = None,
    test_to_train: float = TEST_TO_TRAIN,
    same_images: bool = False,
) -> Verdict:
    """Test a study's pairs table, (dataset, model, repeat) x losses.

    Args:
        collapsed: whether a run predicts one class everywhere, of the same shape; None for none.
        test_to_train, same_images: see :class:`lightning_seg.report.comparison.Comparison`.
    """
    if collapsed is None:
        collapsed = pd.DataFrame(False, index=pairs.index, columns=pairs.columns)
    verdict = _tested(pairs, test_to_train)
    verdict.same_images = same_images
    verdict.nothing_learned = _nothing_learned(pairs, collapsed)
    if verdict.nothing_learned:
        verdict.winner, verdict.group, verdict.worse = None, verdict.losses, {}
        verdict.depends, verdict.reversals = {}, []
    elif len(verdict.losses) > 1:
        verdict.held_back = _held_back(pairs, collapsed, verdict)
    return verdict


def judge_comparison(comparison: Comparison) -> Verdict:
    """Test what a study can be compared on."""
    return judge(comparison.pairs["dice"], comparison.collapsed, comparison.test_to_train, comparison.same_images)


def _tested(pairs: pd.DataFrame, test_to_train: float) -> Verdict:
    blocks = pairs.groupby(level=["dataset", "model"], observed=True).mean()
    if len(blocks) >= fewest_blocks(pairs.shape[1]):
        verdict = _conclude(blocks, pairwise(blocks), "block", resolution(pairs))
        verdict.depends = _depends(blocks)
        if verdict.losses:
            verdict.reversals = _reversals(blocks, verdict.losses[0])
        return verdict
    repeated = len(pairs) > len(blocks)
    tested = pairwise_repeats(pairs, test_to_train) if len(pairs) else pairwise(pairs)
    return _conclude(blocks, tested, "repeat" if repeated else "none", resolution(pairs, test_to_train))


def _depends(blocks: pd.DataFrame) -> dict[str, tuple[int, float]]:
    names = {level: blocks.index.get_level_values(level) for level in ("dataset", "model")}
    return {
        level: (found.nunique(), interaction(blocks, level))
        for level, found in names.items()
        if found.has_duplicates  # else every block is a witness of its own
    }


def judge_rows(rows: pd.DataFrame) -> Verdict:
    """Test a table of which no repeats are known (rows x losses), such as a published one."""
    index = pd.MultiIndex.from_arrays([rows.index, ["all"] * len(rows)], names=["dataset", "model"])
    return _conclude(rows, pairwise(rows), "block", resolution(rows.set_axis(index)))


def _conclude(blocks: pd.DataFrame, pairs: pd.DataFrame, unit: str, found: Resolution) -> Verdict:
    means = blocks.mean()
    losses = sorted(blocks.columns, key=lambda loss: (-means[loss], loss))
    # A pair of losses counts only where blocks say that the losses differ at all. Repeats are no independent units of
    # Friedman's test: it is of the few blocks then, and the adjusted pairs stand alone.
    overall = omnibus(blocks)
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


def _nothing_learned(pairs: pd.DataFrame, collapsed: pd.DataFrame) -> str:
    if pairs.shape[1] < 2 or pairs.empty:
        return ""
    if collapsed.to_numpy().mean() > _MANY_COLLAPSED and collapsed.mean().min() > _SOME_COLLAPSED:
        return (
            f"{int(collapsed.to_numpy().sum())} of the {collapsed.size} compared runs predict one class everywhere: "
            "most networks have learned nothing yet, and nothing can be concluded about the losses."
        )
    if len(pairs) > 1 and (pairs.sub(pairs.iloc[:, 0], axis=0) == 0).all(axis=None):
        return (
            f"All {pairs.shape[1]} losses have the very same Dice in each of {len(pairs)} repeats: their networks "
            "have most likely learned nothing yet, and nothing can be concluded about the losses."
        )
    return ""


def _held_back(pairs: pd.DataFrame, collapsed: pd.DataFrame, verdict: Verdict) -> str:
    """Whether the loss of the best mean rank would have the best mean but for its collapsed runs."""
    best = verdict.losses[0]
    ranked = str(pairs.rank(axis=1, ascending=False).mean().idxmin())
    bad = collapsed[ranked]
    if ranked == best or not bad.any() or bad.all():
        return ""
    rest = pairs[~bad].groupby(level=["dataset", "model"], observed=True).mean().mean()
    if rest[ranked] <= rest[best]:
        return ""
    cells = bad[bad].groupby(level=["dataset", "model"], observed=True).size()
    places = [f"{dataset_name(d)} / {model_name(m)} ({count})" for (d, m), count in cells.items()]
    return (
        f"{loss_name(ranked)} has the best mean rank, and loses its mean to {int(bad.sum())} of its {len(bad)} runs, "
        f"which predict one class everywhere ({join(places)}): without these repeats its mean is "
        f"{100 * (rest[ranked] - rest[best]):.2f} Dice points above that of {loss_name(best)}. See why they collapsed "
        "before it is ruled out."
    )


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
    if verdict.nothing_learned:
        return [verdict.nothing_learned]
    best = losses[0]
    if verdict.unit == "none":
        return [
            f"{loss_name(best)} has the highest mean Dice over {scope}, but without repeats nobody can tell the losses "
            "from the luck of a single run: nothing can be concluded about which is better.",
        ]
    text = [_group_sentence(verdict, scope)]
    if verdict.held_back:
        text.append(verdict.held_back)
    if verdict.worse:
        text.append(_worse_sentence(verdict))
    if verdict.unit == "block":
        text += _nemenyi_sentences(verdict)
    text.append(_resolution_sentence(found, rope))
    if verdict.unit == "repeat":
        text.append(_repeats_sentence(verdict))
    text += _dependence_sentences(verdict)
    return text


def _group_sentence(verdict: Verdict, scope: str) -> str:
    best = loss_name(verdict.losses[0])
    own = [_these(level, verdict.depends[level][0]) for level in verdict.limits]
    over = f"on {join(own)} ({scope})" if own else f"over {scope}"
    at_first = over[0].upper() + over[1:]
    if verdict.winner:
        largest = max(p for _, p in verdict.worse.values())
        return (
            f"{best} is better than each of the other {len(verdict.losses) - 1} losses {over} "
            f"(all adjusted p <= {_p(largest)})."
        )
    others = [loss_name(loss) for loss in verdict.group[1:]]
    if len(verdict.group) == len(verdict.losses) and verdict.unit == "repeat":
        smallest = verdict.pairs["p_holm"].min()
        return (
            f"{at_first}, no loss can be told apart from {best}, which has the highest mean Dice (smallest adjusted "
            f"p of any pair {_equals(smallest)}): there is no winner."
        )
    if len(verdict.group) == len(verdict.losses):
        if verdict.omnibus.p_f < ALPHA:
            return (
                f"The losses differ as a whole {over} (Iman-Davenport p {_equals(verdict.omnibus.p_f)}), yet "
                f"signed-rank tests tell none apart from {best}, which has the highest mean Dice: there is no winner."
            )
        return (
            f"{at_first} the {len(verdict.losses)} losses cannot be told apart (Iman-Davenport p "
            f"{_equals(verdict.omnibus.p_f)}): {best} has the highest mean Dice, but there is no winner."
        )
    return (
        f"{at_first}, {best} has the highest mean Dice; {join(others)} cannot be told apart from it. "
        f"Any of these {len(verdict.group)} losses may be the best one."
    )


def _worse_sentence(verdict: Verdict) -> str:
    best = loss_name(verdict.losses[0])
    parts = [
        f"{loss_name(loss)} by {100 * difference:.2f} Dice points (p {_equals(p)})"
        for loss, (difference, p) in sorted(verdict.worse.items(), key=lambda item: item[1][0])
    ]
    return f"Worse than {best}: {join(parts)}."


def _nemenyi_sentences(verdict: Verdict) -> list[str]:
    """Pairs that Nemenyi's test of mean ranks separates and the signed-rank tests do not."""
    overall = verdict.omnibus
    if overall.p_f >= ALPHA:
        return []
    distance, ranks = critical_difference(overall.units, overall.losses), overall.mean_ranks
    apart: dict[str, list[str]] = {}
    for row in verdict.pairs.to_dict("records"):
        better, worse = sorted((row["a"], row["b"]), key=lambda loss: ranks[loss])
        if row["p_holm"] >= ALPHA and ranks[worse] - ranks[better] > distance:
            apart.setdefault(worse, []).append(f"{loss_name(better)} ({ranks[worse] - ranks[better]:.2f} ranks)")
    if not apart:
        return []
    parts = [f"{loss_name(worse)} from {join(better)}" for worse, better in apart.items()]
    return [
        f"Nemenyi's test, of mean ranks, separates what the signed-rank tests do not: {'; '.join(parts)}, its critical "
        f"difference being {distance:.2f} ranks."
    ]


def _repeats_sentence(verdict: Verdict) -> str:
    opening = (
        f"With fewer than {fewest_blocks(len(verdict.losses))} dataset x model blocks the unit is the repeat of a "
        "block, not the block"
    )
    ranks = (
        f" Mean ranks and Friedman's test are of the {verdict.omnibus.units} blocks and no basis of this answer."
        if verdict.omnibus.units > 1
        else ""
    )
    if verdict.same_images:
        return (
            f"{opening}. All repeats are tested on the same images, so only the seed varies: the result holds for "
            f"these datasets, models and test images and says nothing about others.{ranks}"
        )
    return (
        f"{opening}, paired by its split and corrected for re-splitting the same images (Nadeau and Bengio): the "
        f"result holds for these datasets and models and says nothing about others.{ranks}"
    )


def _resolution_sentence(found: Resolution, rope: float) -> str:
    if found.detectable == inf:
        return (
            f"With {found.units} blocks, adjusting for {count_pairs(found.losses)} pairs leaves no pair that could "
            "reach 5 % in a signed-rank test, however large its difference."
        )
    if found.detectable <= 0:
        return (
            "Most pairs of losses have the very same Dice everywhere: what difference could have been seen is not "
            "known."
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
    for level in verdict.limits:
        count, p = verdict.depends[level]
        known = f"The differences between losses depend on the {level} (p {_equals(p)})"
        if isnan(p):
            why = f", since all blocks are of one {level}" if count == 1 else " on these blocks"
            known = f"Whether the differences between losses depend on the {level} cannot be tested{why}"
        text.append(
            f"{known}: blocks of one {level} may resemble each other, so tests, intervals and the stated power, which "
            f"count every block as independent, hold for {_these(level, count)} alone, and the answer for a new "
            f"{level} may be another."
        )
    for level, name, loss, difference, p in verdict.reversals:
        shown = dataset_name(name) if level == "dataset" else model_name(name)
        text.append(
            f"On {shown}, {loss_name(loss)} is better than {loss_name(verdict.losses[0])} by {100 * difference:.2f} "
            f"Dice points (p {_equals(p)})."
        )
    return text


def _these(level: str, count: int) -> str:
    return f"this {level}" if count == 1 else f"these {level}s"


def _p(value: float) -> str:
    return "0.0001" if value < 0.0001 else f"{value:.2g}"


def _equals(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"


def join(parts: list[str]) -> str:
    """Parts as in a sentence: "a, b and c"."""
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
            text.append(f"{loss_name(str(loss))}: of {runs[loss]} runs, {join(parts)} ({row['cells']}).")
    return text
