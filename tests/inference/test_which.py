"""A plausible mistake in the name of a run is answered by what to type next."""

import json
from pathlib import Path

import pytest

from lightning_seg.errors import UserError
from lightning_seg.inference.evaluate import _instead_of
from lightning_seg.inference.trained import find_weights
from tests.report.make_study import write_run

CELL = Path("multirun/mine/isic/fcn/dice")
IMAGES = [("a", 1, 0, 0, 1, 1.0, 1.0, 1.0, 1.0, 0.1)]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of three runs, the second of which is the best, and one that has kept nothing."""
    monkeypatch.chdir(tmp_path)
    for name, kept in (("mine", (1, 2)), ("bare", ())):
        for repeat, score in enumerate((0.9, 0.8, 0.7)):
            run = Path("multirun", name, "isic/fcn/dice", f"repeat_{repeat}")
            called = [f"study={name}", f"repeat={repeat}", "loss=dice", "keep_weights=best", "dataset.root=a b"]
            write_run(run, "isic", "fcn", "dice", repeat, IMAGES, overrides=called)
            record = json.loads((run / "result.json").read_text())
            (run / "result.json").write_text(json.dumps(record | {"best_val_dice": score}))
            if repeat in kept:
                (run / "weights.safetensors").touch()
    (tmp_path / "photo.png").touch()
    (tmp_path / "none").mkdir()
    return tmp_path


def refusal(path: object) -> str:
    with pytest.raises(UserError) as caught:
        find_weights([Path(str(path))])
    return str(caught.value)


def test_a_study_is_answered_by_its_best_run_that_has_weights(study: Path) -> None:
    best = (
        f"3 finished runs, of which 2 kept weights; name one, such as {CELL}/repeat_1 (the highest validation Dice, 0.8"
    )
    assert f"mine does not exist; there is multirun/mine, which holds {best}" in refusal("mine")
    for folder in (CELL.parents[2], CELL.parents[1], CELL.parents[0]):
        assert f"{folder} is no run's folder: it holds {best}" in refusal(folder)
    assert refusal("mine/isic/fcn/dice").endswith(f"there is {CELL}: name that.")
    assert "(the highest validation Dice, 0.800)" in refusal("multirun")


def test_runs_without_weights_are_answered_by_those_that_have_some_or_the_line_that_trains_again(study: Path) -> None:
    line = "lightning-seg train study={} repeat=0 loss=dice 'dataset.root=a b' rerun=true keep_weights=true"
    assert f"but repeat_1, repeat_2 have: name {CELL}/repeat_1, or train it again: {line.format('mine')}" in refusal(
        CELL
    )
    told = refusal("bare")
    assert "3 finished runs, none of which has kept" in told and told.endswith(line.format("bare"))


def test_what_is_no_run_at_all(study: Path) -> None:
    assert refusal("absent").endswith("studies in multirun are bare, mine.")
    assert "photo.png is no file of weights: give a run's folder first" in refusal("photo.png")
    assert refusal("none").startswith("none holds no finished run")


@pytest.mark.parametrize(
    ("argument", "typed"),
    [
        ("clinicdb", "type dataset=clinicdb ."),
        ("none", "is a folder: type dataset=folder"),
        (f"{CELL}/repeat_1", f"is another run: to score the mean of both, type --with {CELL}/repeat_1 ."),
        ("odd", "what can are dataset=... and dataset.<key>=... ."),
    ],
)
def test_what_evaluate_is_given_in_place_of_a_dataset(argument: str, typed: str, study: Path) -> None:
    assert typed in _instead_of(argument)
