"""Of a received advice.json nothing is run but what advise itself would have written for the same command."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from lightning_seg.advise.proposal import Proposal, read_proposal
from lightning_seg.cli.advise import advise
from lightning_seg.config.overrides import is_plain
from lightning_seg.errors import UnreadableError, UserError
from tests.inference.calls import invoke

GIVEN = ["dataset=synthetic", "dataset.count=24", "study=mine"]
KEPT = [*GIVEN, "model=unet", "data.image_size=64", "trainer.max_epochs=30", "early_stopping.patience=10"]
PROPOSAL = Proposal(KEPT, ["dice", "bce"], ["0", "1"], 60.0, ["because"])


def changed(**changes: Any) -> dict[str, Any]:
    return asdict(PROPOSAL) | changes


def test_what_was_proposed_is_read_again() -> None:
    assert read_proposal(asdict(PROPOSAL), GIVEN) == PROPOSAL
    grouped = changed(overrides=[*KEPT, "data.split=grouped"])
    assert read_proposal(grouped, GIVEN).overrides[-1] == "data.split=grouped"
    careful = changed(overrides=[*KEPT, "tune=lr", "augmentation=standard"])
    assert read_proposal(careful, GIVEN).overrides[-2:] == ["tune=lr", "augmentation=standard"]


@pytest.mark.parametrize(
    "extra",
    [
        "+model.extra._target_=torch.load",
        "model._target_=torch.load",
        "~loss",
        "++trainer.callbacks=[]",
        "hydra/launcher=slurm",
        "hydra.run.dir=/tmp/x",
        "data.image_size=${oc.env:HOME}",
        "output_dir=/tmp/elsewhere",
        "rerun=true",
        "trainer.max_epochs=64 --config-dir=x",
        "model=dice",
        "tune=grid",
        "tune._target_=torch.load",
        "augmentation._target_=torch.load",
    ],
)
def test_more_overrides_are_refused(extra: str) -> None:
    with pytest.raises(UnreadableError):
        read_proposal(changed(overrides=[*KEPT, extra]), GIVEN)


@pytest.mark.parametrize(
    "changes",
    [
        {"overrides": [*KEPT[:3], "model=unet,${evil}"]},
        {"overrides": [*KEPT[:3], "model=torch.load"]},
        {"overrides": ["model=unet"]},
        {"overrides": "dataset=synthetic"},
        {"overrides": [["a"]]},
        {"losses": ["dice", "+x=1"]},
        {"losses": []},
        {"repeats": ["0", "range(1,9)"]},
        {"repeats": [0]},
        {"seconds": "x"},
        {"seconds": float("nan")},
        {"reasons": [1]},
        {"more": 1},
    ],
)
def test_other_proposals_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError):
        read_proposal(changed(**changes), GIVEN)


@pytest.mark.parametrize(
    "content", ["[]", "{", "[" * 100_000, '{"inputs": []}', '{"inputs": {}, "proposal": 1}', "1" * 5000]
)
def test_a_damaged_file_ends_in_a_sentence(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "multirun" / "advise_synthetic"
    place.mkdir(parents=True)
    (place / "advice.json").write_text(content)
    with pytest.raises(UserError, match=r"advice\.json cannot be read|proposed for something else"):
        invoke(advise, "synthetic", "dataset.count=12", "data.image_size=32", "--yes")


def test_a_received_advice_runs_nothing(
    tmp_path: Path, payload: Path, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "multirun" / "advise_synthetic"
    place.mkdir(parents=True)
    inputs = {"data": "synthetic", "overrides": ["dataset.count=12", "data.image_size=32"], "halving": False}
    given = ["dataset=synthetic", *inputs["overrides"], "study=advise_synthetic"]  # type: ignore[misc]
    evil = ["+model.extra._target_=torch.load", f"+model.extra.f={payload}", "+model.extra.weights_only=false"]
    proposal = changed(overrides=[*given, "model=unet", "model.width=2", *evil])
    (place / "advice.json").write_text(json.dumps({"inputs": inputs, "proposal": proposal}))
    with pytest.raises(UserError, match="which no proposal does"):
        invoke(advise, "synthetic", "dataset.count=12", "data.image_size=32", "--yes")
    assert not ran.exists()


@pytest.mark.parametrize("argument", ["loss=dice", "+loss.alpha=0.3", "dataset.root='/a b'", "data.mean=[0.1,0.2,0.3]"])
def test_plain_arguments(argument: str) -> None:
    assert is_plain(argument)


@pytest.mark.parametrize(
    "argument",
    [
        *("model._target_=torch.load", "+model.x={_target_:torch.load}", "~model", "++a=1", "hydra.run.dir=/x"),
        *("hydra/launcher=x", "a=${oc.env:HOME}", "a=glob(*)", "--config-dir=x", "-m", "a", "=", "a=1,2", "A b=1"),
    ],
)
def test_arguments_that_are_not_plain_stand_in_no_proposed_line(argument: str) -> None:
    assert not is_plain(argument)
