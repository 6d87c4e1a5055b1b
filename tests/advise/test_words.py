"""The answer that `advise` prints of a study."""

import numpy as np

from lightning_seg.advise.halving import Halving, Rule, Stop
from lightning_seg.advise.words import halved_study_sentences, halving_sentences, study_sentences
from tests.report.make_study import LOSSES, collapse_run, make_study


def test_most_runs_collapsed_means_no_answer_and_no_further_runs(tmp_path):
    study = make_study(tmp_path / "s", ["isic"], ["fcn", "unet"], repeats=5, cases=0)
    rng = np.random.default_rng(0)
    for run in sorted(study.glob("*/*/*/repeat_*")):
        if rng.random() < 0.7:
            collapse_run(run)
    text, lines = study_sentences(study)
    assert "most networks have learned nothing yet" in text[0]
    assert lines is not None and lines.startswith("lightning-seg train -m study=s_longer ")
    assert not any("Dice points" in sentence or "highest mean" in sentence for sentence in text)
    (nothing,), failed = halved_study_sentences(study)
    assert nothing.startswith(text[0]) and len(failed) == 10


def test_a_study_that_has_learned_has_its_answer_and_a_whole_line(tmp_path):
    study = make_study(tmp_path / "s", ["isic"], ["fcn"], LOSSES[:2], repeats=3, cases=0)
    text, lines = study_sentences(study)
    assert text[0].startswith("No loss stands out: on this dataset with this model")
    assert lines is not None and lines.startswith("lightning-seg train -m study=s ")
    assert halved_study_sentences(study)[0] == []


def test_the_error_rate_is_told_with_what_it_supposes():
    text = " ".join(halving_sentences(Halving(["dice"], [], 5, 0.0, range(0), Stop.WINNER), Rule(), 1, False))
    assert "supposing that all losses are about equally noisy" in text
