"""Halving with records in place of training: what is trained, when it ends, and that it goes on."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lightning_seg.advise.execute import Halved, halve
from lightning_seg.advise.halving import Halving, Rule, Stop
from lightning_seg.advise.proposal import Proposal
from lightning_seg.advise.words import dropped_sentences, halving_sentences
from lightning_seg.catalogue import loss_name

MEANS = {"dice": 0.80, "bce": 0.791, "iou": 0.793, "focal": 0.60}
MODELS = ("unet", "colonsegnet")


class Trainer:
    """Writes the records that training would leave, and remembers what it was asked for.

    Args:
        root: the folder of studies.
        fails: losses whose runs fail.
        seconds: that a run takes.
    """

    def __init__(self, root: Path, fails: Sequence[str] = (), seconds: float = 10.0) -> None:
        self.root, self.fails, self.seconds = root, fails, seconds
        self.asked: list[tuple[str, str]] = []

    def __call__(self, arguments: Sequence[str]) -> int:
        given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        self.asked.append((given["loss"], given["repeat"]))
        for repeat in map(int, given["repeat"].split(",")):
            for model in given["model"].split(","):
                for loss in set(given["loss"].split(",")).difference(self.fails):
                    self._record(model, loss, repeat)
        return 1 if self.fails else 0

    def _record(self, model: str, loss: str, repeat: int) -> None:
        noise = np.random.default_rng([repeat, *map(ord, loss + model)]).normal(0, 0.004)
        place = self.root / "s" / "synthetic" / model / loss / f"repeat_{repeat}"
        place.mkdir(parents=True, exist_ok=True)
        record = {"status": "finished", "test": {"dice": MEANS[loss] + noise}, "seconds": {"fit": self.seconds}}
        (place / "result.json").write_text(json.dumps(record))


def run(trainer: Trainer, rule: Rule, seconds: float = 1e9) -> tuple[Halved, list[tuple[Halving, Halving]]]:
    fixed = ["study=s", f"output_dir={trainer.root}", "dataset=synthetic", f"model={','.join(MODELS)}"]
    told: list[tuple[Halving, Halving]] = []
    proposal = Proposal(fixed, list(MEANS), ["0"], 0.0, [])
    halved = halve(proposal, rule, seconds, lambda *states: told.append(states), lambda arguments: None, trainer)
    return halved, told


RULE = Rule(rope=0.0, looks=(3, 5, 6))


def test_only_losses_in_doubt_are_trained_further(tmp_path):
    trainer = Trainer(tmp_path)
    halved, told = run(trainer, RULE)
    assert trainer.asked[0] == ("dice,bce,iou,focal", "0,1,2")
    assert trainer.asked[1][1] == "3,4" and set(trainer.asked[1][0].split(",")) == {"dice", "bce", "iou"}
    assert [gone.loss for gone in halved.end.dropped] == ["focal"] and halved.end.left[0] == "dice"
    assert (halved.models, halved.code, halved.out_of_time) == (2, 0, False)
    assert "Focal is dropped" in " ".join(dropped_sentences(*told[1]))


def test_a_second_call_trains_nothing_and_ends_the_same(tmp_path):
    first, _ = run(Trainer(tmp_path), RULE)
    again = Trainer(tmp_path)
    second, told = run(again, RULE)
    assert again.asked == [] and second == first
    assert "Focal is dropped" in " ".join(dropped_sentences(*told[0]))


def test_failed_runs_end_it_with_their_code(tmp_path):
    trainer = Trainer(tmp_path, fails=["bce"])
    halved, _ = run(trainer, RULE)
    assert halved.code == 1 and halved.end.repeats == 0 and len(trainer.asked) == 1
    assert halving_sentences(halved.end, RULE, 2, False) == [
        "The first look was not reached: nothing can be concluded."
    ]


def test_a_look_that_would_take_too_long_is_not_begun(tmp_path):
    needed = 4 * 3 * 2 * 10 + 3 * 2 * 2 * 10  # the first two looks
    halved, _ = run(Trainer(tmp_path), RULE, seconds=needed - 1)
    assert halved.out_of_time and halved.end.repeats == 3
    assert "The time is up" in halving_sentences(halved.end, RULE, 2, True)[0]
    more, _ = run(Trainer(tmp_path), RULE, seconds=needed)
    assert more.end.repeats == 5


@pytest.mark.parametrize("stop", list(Stop))
def test_every_end_has_its_words(stop: Stop):
    left = ["dice"] if stop is Stop.WINNER else ["dice", "bce"]
    text = " ".join(halving_sentences(Halving(left, [], 5, 0.003, range(0), stop), Rule(), 2, False))
    assert text.count(loss_name("dice")) >= 1 and "5 repeats" in text
    assert ("probability of at most 5 %" in text) == (stop is not Stop.ALIKE)
    assert ("by at most 0.30 Dice points" in text) == (stop not in (Stop.ALIKE, Stop.WINNER))
