"""All readings in words: whether the answer holds in them, and where it turns over. Never stronger than their tests."""

from collections.abc import Sequence

from lightning_seg.catalogue import loss_name
from lightning_seg.report.answer import join
from lightning_seg.report.readings import Reading
from lightning_seg.report.thresholds import CHOSEN, HALF, at
from lightning_seg.report.verdict import Verdict
from lightning_seg.wording import agreeing

_EQUAL = 1e-12  # means that differ by less differ by rounding


def sentences(readings: Sequence[Reading]) -> list[str]:
    """The one sentence that says whether the answer holds, and what belongs to it; nothing for a single reading."""
    if len(readings) < 2:
        return []
    return [headline(readings), *_means(readings), *_tuned_and_common(readings)]


def headline(readings: Sequence[Reading]) -> str:
    """Whether the answer holds in all readings, in one sentence."""
    tested = [reading for reading in readings if reading.tested]
    if not tested:
        return f"None of the {len(readings)} readings can be tested, so none confirms or refutes another."
    if len(tested) == 1:
        return (
            f"Only one of the {len(readings)} readings can be tested, {place(tested[0])}: {brief(tested[0].verdict)}."
        )
    if (turned := _turned(tested)) is not None:
        first, second, a, b = turned
        return (
            f"The answer turns over: {loss_name(a)} is better than {loss_name(b)} {place(first)}, and "
            f"{loss_name(b)} is better than {loss_name(a)} {place(second)}."
        )
    of_all = f"all {len(readings)} readings" if len(readings) > 2 else "both readings"
    if len(tested) < len(readings):
        of_all = f"all {len(tested)} readings that can be tested, of {len(readings)}"
    answers = {(frozenset(each.verdict.group), bool(each.verdict.disputes)) for each in tested}
    if len(answers) == 1:
        still = "" if _tells(tested[0].verdict) else ", and it is an open one"
        return f"The answer holds in {of_all}{still}: {brief(tested[0].verdict)}."
    lasting = [loss for loss in tested[0].verdict.losses if all(loss in each.verdict.group for each in tested)]
    if not lasting:
        return f"The answer does not hold in {of_all}: each loss is worse than the best in some of them."
    return (
        f"The answer holds in part: in {of_all} {_names(lasting)} cannot be told from the best; "
        f"{join(_lost(tested, lasting))}."
    )


def brief(verdict: Verdict) -> str:
    """The verdict in one clause."""
    if verdict.nothing_learned or verdict.unit == "none":
        return "nothing can be told"
    best = loss_name(verdict.losses[0])
    if verdict.disputes:
        return f"{best} has the highest mean, which ranks dispute"
    if verdict.winner:
        return f"{best} is better than {'the other' if len(verdict.losses) == 2 else 'every other loss'}"
    if not verdict.worse:
        return "no loss can be told from the best"
    worse = list(verdict.worse)
    return f"{_names(verdict.group)} cannot be told apart, and {_names(worse)} {agreeing(len(worse), 'are')} worse"


def place(reading: Reading) -> str:
    """Where a reading lies, in words."""
    return f"{at(reading.threshold)} ({reading.described})"


def _turned(tested: Sequence[Reading]) -> tuple[Reading, Reading, str, str] | None:
    """Two readings whose tests tell two losses apart in opposite directions, with these losses; the best ones first."""
    for n, first in enumerate(tested):
        for second in tested[n + 1 :]:
            for a in first.verdict.losses:
                for b in first.verdict.losses:
                    if a != b and _told(first.verdict, a, b) and _told(second.verdict, b, a):
                        return first, second, a, b
    return None


def _told(verdict: Verdict, better: str, worse: str) -> bool:
    """Whether one loss is better than another by the tests, and ranks do not dispute either of them."""
    disputed = {dispute.loss for dispute in verdict.disputes}
    return verdict.here.told(better, worse) and not {better, worse} & disputed


def _lost(tested: Sequence[Reading], lasting: Sequence[str]) -> list[str]:
    """Of each loss that is among the best in some readings, in how many others it is worse."""
    parts = []
    for loss in tested[0].verdict.losses:
        out = [reading for reading in tested if loss not in reading.verdict.group]
        if loss not in lasting and len(out) < len(tested):
            where = place(out[0]) if len(out) == 1 else f"in {len(out)} of them"
            parts.append(f"{loss_name(loss)} is worse {where}")
    return parts or ["no other loss is"]


def _means(readings: Sequence[Reading]) -> list[str]:
    """Which loss has the highest mean in how many readings, where that is not the same one; no test's result."""
    highest = [_highest(reading.verdict) for reading in readings]
    if always := [loss for loss in highest[0] if all(loss in each for each in highest)]:
        return [f"{_names(always)} {agreeing(len(always), 'have')} the highest mean in each of them."]
    best = [losses[0] for losses in highest]
    counts = {loss: best.count(loss) for loss in dict.fromkeys(best)}
    parts = [f"{loss_name(loss)} in {count}" for loss, count in sorted(counts.items(), key=lambda item: -item[1])]
    shown = (
        ""
        if _turned([reading for reading in readings if reading.tested])
        else ", though no tests show it in both directions"
    )
    return [f"The order of means changes{shown}: the highest is that of {join(parts)} of the {len(readings)} readings."]


def _highest(verdict: Verdict) -> list[str]:
    """The losses with the highest mean, mostly one."""
    means = dict(zip(verdict.here.losses, verdict.here.means, strict=True))
    most = max(means.values())
    return [loss for loss in verdict.losses if means[loss] >= most - _EQUAL]


def _tuned_and_common(readings: Sequence[Reading]) -> list[str]:
    """Both answers, with common settings and with those that trials have chosen, and whether they agree."""
    found = []
    for threshold in (HALF, CHOSEN):
        for tuned in (each for each in readings if each.tuned and each.threshold == threshold):
            rest = tuned.settings[1:]
            common = [r for r in readings if r.threshold == threshold and not r.tuned and r.settings[1:] == rest]
            if common:
                found.append(_both(common[0], tuned))
    return found


def _both(common: Reading, tuned: Reading) -> str:
    where = f"{at(tuned.threshold).capitalize()}{_with(tuned.settings[1:])}"
    if not _tells(common.verdict) and not _tells(tuned.verdict):
        return f"{where}, neither common settings nor those tuned for each loss tell a loss from the best."
    agree = frozenset(common.verdict.group) == frozenset(tuned.verdict.group)
    return (
        f"{where}: with common settings {brief(common.verdict)}; with those tuned for each loss "
        f"{brief(tuned.verdict)}. The two {'agree' if agree else 'do not agree'}."
    )


def _tells(verdict: Verdict) -> bool:
    """Whether any loss is told from the best."""
    return bool(verdict.worse) and verdict.unit != "none" and not verdict.nothing_learned


def _with(settings: Sequence[str]) -> str:
    return f" ({', '.join(settings)})" if settings else ""


def _names(losses: Sequence[str]) -> str:
    return join([loss_name(loss) for loss in losses])
