"""The words: every sentence's claim is parsed back and held against the analysis."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_seg.report.answer import ROPE, place_of, scope_of, sentences
from lightning_seg.report.contrasts import ALPHA, Scope
from lightning_seg.report.published import load_published
from lightning_seg.report.verdict import Verdict, judge, judge_rows
from tests.report.designs import Design, frame_of

NAME = r"l\d"
WIDER = {
    "other models like these on these datasets": Scope.MODELS,
    "other datasets like these": Scope.DATASETS,
}


def words(pairs: pd.DataFrame, **more) -> list[str]:
    return sentences(judge(pairs, **more), scope_of(pairs))


def row_of(verdict: Verdict, better: str, worse: str) -> pd.Series:
    """The pair, which must have its means on these sides."""
    rows = verdict.pairs[(verdict.pairs["a"] == better) & (verdict.pairs["b"] == worse)]
    assert len(rows) == 1, (better, worse)
    return rows.iloc[0]


def check_headline(text: str, verdict: Verdict, pairs: pd.DataFrame, rope: float) -> None:
    """Who, direction, scope and size of the first sentence."""
    means = pairs.groupby(level=["dataset", "model"]).mean().mean()
    datasets, models = (pairs.index.get_level_values(level).nunique() for level in ("dataset", "model"))
    assert f"on {'this dataset' if datasets == 1 else f'these {datasets} datasets'} " in text
    assert f"with {'this model' if models == 1 else f'these {models} models'}" in text
    best = verdict.losses[0]
    if found := re.match(rf"Use ({NAME}): .*, it is better than (.*), by at least ([\d.]+) Dice points", text):
        assert found[1] == best == means.idxmax()
        for loss in verdict.losses[1:]:
            row = row_of(verdict, best, loss)
            assert row["p_adjusted"] < ALPHA and 100 * row["low"] >= float(found[3]) - 1e-9
    elif found := re.match(r"Use any of (.*): .*, they differ by less than ([\d.]+) Dice points", text):
        alike = verdict.losses if found[1].startswith("the ") else re.findall(NAME, found[1])
        assert float(found[2]) <= 100 * rope + 0.01 and len(alike) > 1
        for a, b in ((a, b) for n, a in enumerate(alike) for b in alike[n + 1 :]):
            row = row_of(verdict, a, b)
            assert max(abs(row["low"]), abs(row["high"])) * 100 <= float(found[2]) + 1e-9
    elif found := re.match(r"Use (.*): .*, they cannot be told apart", text):
        assert re.findall(NAME, found[1]) == verdict.group
    elif text.startswith("No loss is recommended"):
        assert verdict.disputes and verdict.winner is None
    elif text.startswith("No loss stands out"):
        assert not verdict.worse and (verdict.pairs.loc[verdict.pairs["a"] == best, "p_adjusted"] >= ALPHA).all()
    else:
        assert text.startswith("Do not use ")
        named = re.findall(NAME, text.partition(":")[0])
        assert named == list(verdict.worse)
    for worse, points in re.findall(rf"({NAME}) is worse by ([\d.]+)", text):
        row = row_of(verdict, best, worse)
        assert row["p_adjusted"] < ALPHA and 100 * row["difference"] == pytest.approx(float(points), abs=0.00501)
    if found := re.search(
        rf"(\d+) losses are worse than ({NAME}), by ([\d.]+) to ([\d.]+) Dice points: (.*?)[.;]", text
    ):
        worse = re.findall(NAME, found[5])
        assert found[2] == best and len(worse) == int(found[1]) and set(worse) == set(verdict.worse)
        sizes = [100 * row_of(verdict, best, loss)["difference"] for loss in worse]
        assert [min(sizes), max(sizes)] == pytest.approx([float(found[3]), float(found[4])], abs=0.00501)


def check_rest(text: list[str], verdict: Verdict, pairs: pd.DataFrame) -> None:
    """Scopes, reversals, disputes and power."""
    best = verdict.losses[0]
    for sentence in text:
        if found := re.match(r"For (other .*?), (too, )?(.*) \(from (\d+) ", sentence):
            scope = WIDER[found[1]]
            assert verdict.scopes[scope].units == int(found[4])
            if found[2] is None:
                assert found[3] == "nothing is told apart"
                continue
            claimed = re.match(rf"({NAME}) is better than (.*)", found[3])
            assert claimed is not None and claimed[1] == best
            losses = verdict.losses[1:] if "each of" in claimed[2] else re.findall(NAME, claimed[2])
            for loss in losses:
                row = row_of(verdict, best, loss)
                assert row[f"p_{scope}"] < ALPHA and row["p_adjusted"] < ALPHA
        elif found := re.match(rf"(On|With) (\w+) alone, ({NAME}) is better than ({NAME}) by ([\d.]+)", sentence):
            level = "dataset" if found[1] == "On" else "model"
            part = pairs[pairs.index.get_level_values(level) == found[2]].groupby(level=["dataset", "model"])
            means = part.mean().mean()
            assert found[4] == best
            assert 100 * (means[found[3]] - means[best]) == pytest.approx(float(found[5]), abs=0.00501)
        elif found := re.match(
            rf"Mean and ranks disagree: the mean of ({NAME}) is ([\d.]+) Dice points below", sentence
        ):
            row = row_of(verdict, best, found[1])
            assert 100 * row["difference"] == pytest.approx(float(found[2]), abs=0.00501)
            assert verdict.winner is None and found[1] not in verdict.worse
        elif found := re.match(r"How sure: .* differ by ([\d.]+) Dice points", sentence):
            assert 100 * verdict.power.detectable == pytest.approx(float(found[1]), abs=0.00501)


designs = st.builds(
    Design,
    datasets=st.integers(1, 4),
    models=st.integers(1, 5),
    repeats=st.integers(2, 4),
    losses=st.integers(2, 8),
    better=st.sampled_from([0.0, 0.005, 0.02, -0.04, 0.1]),
    by_dataset=st.sampled_from([0.0, 0.02]),
    by_model=st.sampled_from([0.0, 0.02]),
    by_block=st.sampled_from([0.0005, 0.004]),
    by_split=st.sampled_from([0.0, 0.006]),
    noise=st.sampled_from(["normal", "t", "skewed"]),
    noisiness=st.sampled_from([(1.0, 1.0), (0.1, 0.1), (0.05, 1.8)]),
    collapse=st.sampled_from([0.0, 0.0, 0.03]),
)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(design=designs, seed=st.integers(0, 1000), rope=st.sampled_from([0.002, ROPE, 0.02]))
def test_no_sentence_claims_more_than_the_analysis(design: Design, seed: int, rope: float):
    pairs = frame_of(design, seed)
    verdict = judge(pairs, pairs < 0.2)
    text = sentences(verdict, scope_of(pairs), rope)
    if verdict.nothing_learned or verdict.unit == "none":
        assert len(text) == 1 and "nothing can be concluded" in text[0]
        return
    check_headline(text[0], verdict, pairs, rope)
    check_rest(text, verdict, pairs)
    assert text[1 + len(verdict.disputes)].startswith("What to do: ")
    if verdict.collapsed and verdict.without_collapsed and (other := verdict.without_collapsed).unit != "none":
        (told,) = [sentence for sentence in text if sentence.startswith("Some runs predict one class")]
        if "the answer is another: " in told:
            rest = pairs[~(pairs < 0.2).any(axis=1)]
            opening = told.partition("the answer is another: ")[2]
            check_headline(_with_place_of(rest, pairs, opening), other, rest, rope)


def _with_place_of(rest: pd.DataFrame, pairs: pd.DataFrame, text: str) -> str:
    """The words name the place of the whole study; fewer blocks may be left."""
    return text.replace(place_of(scope_of(pairs)), place_of(scope_of(rest)))


def kinds(verdicts: list[str]) -> set[str]:
    return {" ".join(text.split()[:2]) for text in verdicts}


def test_every_kind_of_headline_is_told():
    """The property above is no use where a sentence never appears."""
    quiet = {"by_block": 0.0005, "noisiness": (0.1, 0.1)}
    texts = [
        words(frame_of(Design(3, 4, 4, 4, better=0.02)))[0],
        words(frame_of(Design(3, 4, 4, 4, **quiet)))[0],
        words(frame_of(Design(3, 4, 4, 4, better=-0.05, **quiet)))[0],
        words(frame_of(Design(2, 2, 3, 4)))[0],
        words(frame_of(Design(3, 4, 4, 9, better=-0.05)))[0],
        words(frame_of(Design(3, 4, 4, 4, better=-0.05)))[0],
    ]
    starts = [
        r"Use l0: on these 3 datasets with these 4 models, it is better than each of the other 3 losses",
        r"Use any of the 4 losses: ",
        r"Use any of l\d, l\d and l\d: .*; l0 is worse by ",
        r"No loss stands out: on these 2 datasets with these 2 models, the 4 losses cannot be told apart",
        r"Do not use l0: .*; the rest cannot be told from l\d",
        r"Use l\d, l\d or l\d: .*, they cannot be told apart; l0 is worse by ",
    ]
    for text, start in zip(texts, starts, strict=True):
        assert re.match(start, text), text


def test_paragraphs_stand_in_the_order_of_who_reads_them():
    text = words(frame_of(Design(4, 4, 3, 4, better=0.02)))
    order = [
        next(n for n, sentence in enumerate(text) if sentence.startswith(opening))
        for opening in ("Use ", "What to do: ", "For other models", "For other datasets", "How sure: ", "Statistics: ")
    ]
    assert order[0] == 0 and all(a < b for a, b in pairwise(order))
    assert len(text[0].split()) < 40


def test_what_varies_is_said():
    pairs = frame_of(Design(1, 1, 4, 4))
    assert "re-split the same images" in " ".join(words(pairs))
    fixed = " ".join(words(pairs, same_images=True, test_to_train=0.0))
    assert "only the seed varies" in fixed and "re-split" not in fixed
    assert "one repeat does not show" in " ".join(words(frame_of(Design(4, 3, 1, 4))))
    assert "without repeats nobody can tell" in words(frame_of(Design(1, 3, 1, 4)))[0]


def test_collapsed_runs_are_told_for_all_losses_alike():
    pairs = frame_of(Design(3, 4, 4, 3, better=0.02))
    bad = [("d0", "m01", 0), ("d0", "m01", 2), ("d2", "m00", 1)]
    pairs.loc[bad, "l0"] = 0.0
    pairs.loc[[("d1", "m02", 3)], "l2"] = 0.1
    text = " ".join(words(pairs, collapsed=pairs < 0.15))
    kind = "predict one class for at least 99 % of their test images, at threshold 0.5"
    assert f"{kind} (l0 3 and l2 1)" in text and "without the 4 paired repeats" in text
    assert "the answer is another: Use l0" in text
    assert "No loss is recommended" in text and "repeat 2 (Dice 0.00 against" in text
    assert "predict one class" not in " ".join(words(pairs))


def test_nothing_that_most_runs_have_not_learned_is_concluded():
    pairs = frame_of(Design(2, 2))
    collapsed = pd.DataFrame(np.random.default_rng(0).random(pairs.shape) < 0.7, pairs.index, pairs.columns)
    text = words(pairs, collapsed=collapsed)
    assert len(text) == 1 and "most networks have learned nothing yet" in text[0]
    one_learns = collapsed.assign(l0=False)
    assert "learned nothing" not in " ".join(words(pairs, collapsed=one_learns))
    alike = pairs.mul(0.0)
    assert len(words(alike)) == 1 and "the very same Dice" in words(alike)[0]


def test_the_published_tables_read_well():
    text = sentences(judge_rows(load_published().by_model), "12 models", place="over these 12 models")
    assert text[0].startswith("Do not use Focal: over these 12 models, Focal is worse by ")
    assert "3.91 ranks" in " ".join(text) and "inf" not in re.findall(r"\w+", " ".join(text))
