"""What to run next: lines that a grid can be started by, that add something, and that end."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lightning_seg.report.comparison import compare
from lightning_seg.report.next_step import next_step
from lightning_seg.report.records import load_study, only_losses
from lightning_seg.report.verdict import judge, judge_comparison
from lightning_seg.sweep.cells import Cell, grid_cells
from tests.report.make_study import LOSSES, MODELS, Truth, collapse_run, make_study, write_run


def advice(directory: Path, losses: Sequence[str] = (), rope: float = 0.005) -> tuple[str, list[str]]:
    """The sentence and the lines."""
    study = load_study(directory)
    if losses:
        study = only_losses(study, losses)
    comparison = compare(study)
    text, lines = next_step(study, comparison, judge_comparison(comparison), rope)
    return text, lines.split("\n") if lines else []


def cells_of(line: str) -> list[Cell]:
    """Composed as training would compose them; the line needs no checkout."""
    program, command, flag, *arguments = shlex.split(line)
    assert (program, command, flag) == ("lightning-seg", "train", "-m")
    return grid_cells(arguments)


def places(cells: Sequence[Cell]) -> set[tuple[str, str, str, int]]:
    keys = ("dataset.name", "model.name", "loss.name", "repeat")
    return {tuple(cell.config[key] for key in keys) for cell in cells}


def write(directory: Path, names: tuple[str, str, str, int], dice: float = 0.8, **more) -> None:
    rows = [(f"x_{k}", 10, 0, 0, 90, dice, dice, dice, dice, 0.1) for k in range(6)]
    dataset, model, loss, repeat = names
    write_run(directory / dataset / model / loss / f"repeat_{repeat}", *names, rows, **more)


def losses_of(line: str) -> list[str]:
    assert line.startswith("lightning-seg report ")
    return shlex.split(line)[-1].split(",")


@pytest.mark.slow
def test_the_proposed_runs_count_and_the_next_proposal_is_another(tmp_path):
    quiet = {"interaction_sd": 0.001, "run_sd": 0.004}
    truth = Truth(effects={"focal": -0.1}, **quiet)
    study = make_study(tmp_path / "s", ["isic"], MODELS[:2], repeats=5, cases=0, truth=truth)
    doubtful = [loss for loss in LOSSES if loss != "focal"]
    before = judge_comparison(compare(load_study(study)))
    assert set(before.group) == set(doubtful)
    text, (line, report) = advice(study, rope=0.0005)
    assert "further models" in text and "compare these losses alone" in text
    cells = cells_of(line)
    proposed = places(cells)
    assert {cell.config["output_dir"] for cell in cells} == {str(tmp_path)}
    assert {(model, loss, repeat) for _, model, loss, repeat in proposed} == {
        (model, loss, repeat)
        for model in dict.fromkeys(model for _, model, _, _ in proposed)
        for loss in doubtful
        for repeat in range(5)
    }
    models = sorted({model for _, model, _, _ in proposed})
    assert len(models) == 10 and not set(models) & set(MODELS[:2])

    make_study(study, ["isic"], models, doubtful, repeats=5, cases=0, seed=1, truth=Truth(**quiet))
    text, (line,) = advice(study, rope=0.0005)  # of the comparison of all losses, which cannot use the new runs
    assert "compare them alone" in text and set(losses_of(line)) == set(losses_of(report)) == set(doubtful)
    own = compare(only_losses(load_study(study), doubtful))
    assert len(own.blocks()) == 12
    found = judge_comparison(own).power
    assert found.models == 12 and found.detectable < before.power.detectable
    text, lines = advice(study, losses_of(line), rope=0.0005)
    for line in lines:
        if line.startswith("lightning-seg train") and " study=s " in line:
            assert places(cells_of(line)).isdisjoint(
                proposed | {("isic", m, k, r) for m in MODELS[:2] for k in LOSSES for r in range(5)}
            )
    assert lines or "Add datasets" in text


def test_runs_that_doubtful_losses_lack_come_first(tmp_path):
    study = make_study(tmp_path / "s", ["isic"], ["fcn"], LOSSES[:3], repeats=3, cases=0)
    write(study, ("isic", "unet", "iou", 0))
    text, (line,) = advice(study)
    assert "8 runs are lacking" in text
    assert places(cells_of(line)) == {("isic", m, k, r) for m in ("fcn", "unet") for k in LOSSES[:3] for r in range(3)}


@pytest.fixture(params=["kfold", "a file"])
def three_repeats(request, tmp_path) -> dict:
    """Settings of a split that has three repeats and no more."""
    split = request.param
    if split == "a file":
        split = str(tmp_path / "split.csv")
        Path(split).write_text("id,repeat_0,repeat_1,repeat_2\na,train,val,test\n")
    return {"data": {"split": split, "fractions": {"train": 0.4, "val": 0.27, "test": 0.33}}}


def test_no_repeat_is_proposed_that_the_split_does_not_have(tmp_path, three_repeats):
    study = make_study(tmp_path / "s", ["isic"], ["fcn"], LOSSES[:3], repeats=1, cases=0, config=three_repeats)
    text, (line,) = advice(study)
    assert "3 repeats show" in text
    assert {repeat for *_, repeat in places(cells_of(line))} == {0, 1, 2}

    make_study(study, ["isic"], ["fcn"], LOSSES[:3], repeats=3, cases=0, config=three_repeats)
    text, (line,) = advice(study)
    assert "since the split has only 3; run further models" in text
    assert {repeat for *_, repeat in places(cells_of(line))} == {0, 1, 2}


def test_a_split_of_a_file_that_has_gone_limits_nothing(tmp_path):
    gone = {"data": {"split": str(tmp_path / "gone.csv"), "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}}}
    study = make_study(tmp_path / "s", ["isic"], ["fcn"], LOSSES[:3], repeats=1, cases=0, config=gone)
    text, (line,) = advice(study)
    assert "5 repeats show" in text and {repeat for *_, repeat in places(cells_of(line))} == set(range(5))


SMP = ["model=smp", "model.encoder=resnet18", "model.pretrained=false"]
GRID = {
    ("MAnet_resnet18", "monai_DiceLoss"): [*SMP, "model.arch=MAnet", "loss=monai", "loss.class=DiceLoss"],
    ("MAnet_resnet18", "dice"): [*SMP, "model.arch=MAnet", "loss=dice"],
    ("unet", "monai_DiceLoss"): ["model=unet", "model.width=8", "loss=monai", "loss.class=DiceLoss"],
    ("unet", "dice"): ["model=unet", "model.width=8", "loss=dice"],
}


def test_lines_are_made_of_choices_and_not_of_the_names_of_results(tmp_path):
    study = tmp_path / "s"
    for (model, loss), arguments in GRID.items():
        given = ["study=s", "dataset=synthetic", "dataset.count=30", *arguments, "seed=7", "repeat=0", "logger=csv"]
        write(study, ("synthetic", model, loss, 0), 0.8 if loss == "dice" else 0.7, overrides=given)
    text, lines = advice(study)
    assert "Repeat the runs" in text
    cells = [cell for line in lines for cell in cells_of(line)]
    assert places(cells) == {("synthetic", *names, r) for names in GRID for r in range(5)} and len(cells) == 20
    for cell in cells:
        assert (cell.config["seed"], cell.config["dataset.count"]) == (7, 30)
        if cell.config["model.name"] == "unet":
            assert cell.config["model.width"] == 8


def test_a_folder_with_a_space_can_be_copied_as_it_stands(tmp_path):
    folder = tmp_path / "my lesions"
    folder.mkdir()
    for loss in ("dice", "bce"):
        given = ["dataset=folder", f"dataset.root='{folder}'", "model=unet", f"loss={loss}"]
        write(tmp_path / "s", ("my_lesions", "unet", loss, 0), overrides=given)
    _, (line,) = advice(tmp_path / "s")
    assert {cell.config["dataset.root"] for cell in cells_of(line)} == {str(folder)}


def test_what_no_line_can_say_is_said_in_words(tmp_path):
    for loss in ("dice", "mine"):
        write(tmp_path / "s", ("isic", "unet", loss, 0))
    text, lines = advice(tmp_path / "s")
    assert "run ISIC-2017 with U-Net, Dice and mine and repeats 0, 1, 2, 3 and 4." in text
    assert "Where they are chosen by the names" in text
    assert lines[0].endswith(" dataset=isic model=unet loss=dice,mine repeat=0,1,2,3,4")


def test_an_experiments_settings_are_not_tried_on_other_networks(tmp_path):
    study = make_study(tmp_path / "s", ["synthetic"], ["unet"], LOSSES[:3], repeats=3, cases=0)
    for path in study.rglob("result.json"):
        given = ["dataset=synthetic", "model=unet", f"loss={path.parts[-3]}", "experiment=demo"]
        path.write_text(json.dumps(json.loads(path.read_text()) | {"overrides": given}))
        # as the experiment has set it, but for the network's width
        settings = {"data": {"image_size": 64}, "trainer": {"max_epochs": 8}, "dataset": {"count": 120}}
        record = json.loads(path.read_text())
        record["config"] = {**record["config"], **settings, "model": {"name": "unet", "width": 8}}
        path.write_text(json.dumps(record))
    text, (line,) = advice(study)
    assert "further models" in text and " experiment=" not in line
    for cell in cells_of(line):
        assert cell.config["model.name"] != "unet"
        assert [cell.config[key] for key in ("data.image_size", "dataset.count", "trainer.max_epochs")] == [64, 120, 8]


def test_runs_that_count_for_nothing_are_run_again_before_anything_else(tmp_path):
    study = make_study(tmp_path / "s", ["isic"], ["fcn"], LOSSES[:3], repeats=3, cases=0)
    path = study / "isic/fcn/dice/repeat_1/result.json"
    record = json.loads(path.read_text())
    record["test"] = dict.fromkeys(record["test"], float("nan"))
    path.write_text(json.dumps(record))
    write(study, ("isic", "fcn", "bce", 2), config={"trainer": {"max_epochs": 5}})
    text, lines = advice(study)
    assert text.startswith("First run 2 runs again") and all(line.endswith(" rerun=true") for line in lines)
    cells = [cell for line in lines for cell in cells_of(line)]
    assert places(cells) == {("isic", "fcn", "dice", 1), ("isic", "fcn", "bce", 2)} and len(cells) == 2


def test_unfinished_runs_of_losses_known_to_be_worse_are_not_waited_for(tmp_path):
    truth = Truth(effects={"focal": -0.2})
    study = make_study(tmp_path / "s", ["isic"], MODELS[:2], LOSSES[:4], repeats=4, cases=0, truth=truth)
    (study / "isic/fcn/focal/repeat_3/result.json").unlink()
    text, (line,) = advice(study)
    assert "compare them alone" in text and "focal" not in losses_of(line)
    (study / "isic/fcn/iou/repeat_2/result.json").unlink()
    text, (line,) = advice(study)
    assert text.startswith("First finish the study: 1 of 24 runs") and ("isic", "fcn", "iou", 2) in places(
        cells_of(line)
    )


@pytest.mark.parametrize("kind", ["collapsed", "alike"])
def test_nothing_is_concluded_from_networks_that_have_learned_nothing(tmp_path, kind):
    study = make_study(tmp_path / "s", ["isic"], MODELS[:2], repeats=5, cases=0)
    rng = np.random.default_rng(0)
    for run in sorted(study.glob("*/*/*/repeat_*")):
        if kind == "alike":
            write(study, (*run.parts[-4:-1], int(run.name[-1])), dice=0.1)
        elif rng.random() < 0.7:
            collapse_run(run)
    verdict = judge_comparison(compare(load_study(study)))
    assert "learned nothing yet" in verdict.nothing_learned
    assert (verdict.winner, verdict.group, verdict.worse) == (None, verdict.losses, {})
    text, (line,) = advice(study)
    assert "Train longer" in text and "trainer.max_epochs=" in line and "study=s_longer" in line


def test_a_study_that_is_settled_ends_with_the_use_of_its_winner(tmp_path):
    truth = Truth(effects={"iou_focal": 0.1})
    study = make_study(tmp_path / "s", ["isic"], MODELS[:2], ["dice", "bce", "iou_focal"], 4, cases=0, truth=truth)
    text, (line,) = advice(study)
    assert "Nothing more has to be run" in text and "keep the weights" in text
    assert "loss=iou_focal" in line and "study=s_iou_focal" in line and line.endswith(" keep_weights=true")
    run = study / "isic" / MODELS[1] / "iou_focal" / "repeat_0"
    (run / "weights.safetensors").write_bytes(b"weights")
    assert advice(study)[1] == [f"lightning-seg predict {run} IMAGES"]


def test_few_repeats_differ_where_their_split_is_one(tmp_path):
    """Repeats on the same test images are no re-splits: nothing is corrected for, and nothing is said of it."""
    for repeat in range(4):
        for loss, dice in (("dice", 0.8), ("bce", 0.79)):
            write(tmp_path / "s", ("isic", "unet", loss, repeat), dice + 0.001 * repeat * (loss == "dice"))
    comparison = compare(load_study(tmp_path / "s"))
    assert comparison.same_images and comparison.test_to_train == 0
    assert judge_comparison(comparison).power.detectable < judge(comparison.pairs["dice"]).power.detectable


def test_the_correction_is_that_of_the_recorded_split(tmp_path):
    study = make_study(tmp_path / "s", ["isic"], ["fcn"], LOSSES[:2], repeats=3, cases=0)
    assert compare(load_study(study)).test_to_train == pytest.approx(1 / 3)
    for path in study.rglob("result.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"images": {"train": 90, "val": 5, "test": 9}}))
    comparison = compare(load_study(study))
    assert comparison.test_to_train == pytest.approx(0.1) and not comparison.same_images
    assert judge_comparison(comparison).power.test_to_train == pytest.approx(0.1)
