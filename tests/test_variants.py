"""Losses with other hyperparameters as choices of their own."""

import json

import pytest
from omegaconf import OmegaConf

from lightning_seg.catalogue import LOSSES
from lightning_seg.config.build import build_nameless
from lightning_seg.config.compose import compose_config
from lightning_seg.config.overrides import override_value
from lightning_seg.config.rules import check
from lightning_seg.config.variants import as_hydra_reads, parse, survey
from lightning_seg.errors import UserError
from lightning_seg.sweep.cells import grid_cells
from tests.conftest import Train


@pytest.mark.parametrize(
    ("argument", "read"),
    [
        ("loss=tversky(alpha=0.3)", "loss='tversky(alpha=0.3)'"),
        ("loss=dice,tversky(alpha=0.3, beta=0.7),bce", "loss=dice,'tversky(alpha=0.3, beta=0.7)',bce"),
        ("loss=tversky+alpha=0.3", "loss='tversky+alpha=0.3'"),
        ("+loss=tversky(alpha=0.3)", "+loss='tversky(alpha=0.3)'"),
        ("loss='tversky(alpha=0.3)',dice", "loss='tversky(alpha=0.3)',dice"),
        ("loss=choice('tversky(alpha=0.3)',dice)", "loss=choice('tversky(alpha=0.3)',dice)"),
        ("loss=dice,iou_focal", "loss=dice,iou_focal"),
        ("loss.alpha=0.3,0.5", "loss.alpha=0.3,0.5"),
        ("study=a(b=c)", "study=a(b=c)"),
        ("-m", "-m"),
    ],
)
def test_arguments_get_the_quotes_that_a_shell_takes_away(argument: str, read: str) -> None:
    assert as_hydra_reads(argument) == read
    assert as_hydra_reads(read) == read


def test_survey_stands_for_all_built_in_losses() -> None:
    names = as_hydra_reads("loss=survey").removeprefix("loss=").split(",")
    assert names == survey() and "monai" not in names
    assert set(LOSSES) < set(names) and len(names) == len(set(names)) >= 35


@pytest.mark.parametrize(
    ("choice", "name", "changed"),
    [
        ("tversky(alpha=0.3)", "tversky+alpha=0.3", {"alpha": 0.3}),
        ("tversky(beta=0.70, alpha=3e-1)", "tversky+alpha=0.3+beta=0.7", {"alpha": 0.3, "beta": 0.7}),
        ("tversky(smooth=1e-5)", "tversky+smooth=1e-05", {"smooth": 1e-5}),
        ("tversky(reduction=batch)", "tversky+reduction=batch", {"reduction": "batch"}),
        ("focal(gamma=2)", "focal+gamma=2", {"terms.focal.gamma": 2.0}),
        ("hausdorff_erosion(erosions=5)", "hausdorff_erosion+erosions=5", {"erosions": 5}),
        ("iou_dice(dice.smooth=2)", "iou_dice+dice.smooth=2", {"terms.dice.smooth": 2.0}),
        ("iou_focal(weights.focal=0.5)", "iou_focal+weights.focal=0.5", {"weights.focal": 0.5}),
    ],
)
def test_a_variant_is_its_loss_with_changes_and_a_name_that_says_them(
    choice: str, name: str, changed: dict[str, object]
) -> None:
    found, base = (compose_config([f"loss={override_value(each)}"]) for each in (choice, choice.split("(")[0]))
    check(found)
    assert found.loss.name == name
    for key, value in changed.items():
        OmegaConf.update(base.loss, key, value)
    base.loss.name = name
    assert found.loss == base.loss
    assert found.loss == compose_config([f"loss={override_value(name)}"]).loss, "its name is a choice, too"
    build_nameless(found.loss, "loss")


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ("tversky(alfa=0.3)", r"has no hyperparameter 'alfa'; tversky\(\.\.\.\) takes alpha, beta, smooth, reduction"),
        ("iou_dice(smooth=2)", r"several hyperparameters called 'smooth'.*iou\.smooth"),
        ("nothing(alpha=0.3)", "There is no loss 'nothing'; choose one of"),
        ("tversky(alpha=a b)", "no place in a folder's name"),
        ("tversky(alpha=)", "no place in a folder's name"),
        ("tversky(_target_=os.system)", "no hyperparameter '_target_'"),
        ("tversky()", "no hyperparameter ''"),
        ("tversky(name=mine)", "no hyperparameter 'name'"),
    ],
)
def test_what_is_no_variant_is_refused_in_a_sentence(choice: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        compose_config([f"loss='{choice}'"])


def test_losses_of_monai_are_variants_as_well() -> None:
    loss = compose_config(["loss='monai(class=TverskyLoss, alpha=0.3)'"]).loss
    assert dict(loss) == {
        "name": "monai+class=TverskyLoss+alpha=0.3",
        "_target_": "lightning_seg.losses.monai.MonaiLoss",
        "class": "TverskyLoss",
        "alpha": 0.3,
    }


def test_other_choices_are_no_variants() -> None:
    for choice in ("tversky", "iou_focal", "a-b", "monai_DiceLoss", "tversky+alpha", "tversky+=3", ""):
        assert parse(choice) is None


def test_hyperparameters_are_a_factor_of_one_grid() -> None:
    cells = grid_cells(["loss=tversky(alpha=0.3),tversky(alpha=0.7),monai(class=DiceLoss),dice", "repeat=0"])
    assert [cell.config["loss.name"] for cell in cells] == [
        "tversky+alpha=0.3",
        "tversky+alpha=0.7",
        "monai+class=DiceLoss",
        "dice",
    ]
    assert [cell.config.get("loss.alpha") for cell in cells[:2]] == [0.3, 0.7]


def test_the_odyssey_is_twenty_losses_on_two_networks() -> None:
    cells = grid_cells(["experiment=odyssey", "dataset=synthetic"])
    losses = {cell.config["loss.name"] for cell in cells}
    assert len(losses) == 20 and len(cells) == 20 * 2 * 5
    assert {"dice_topk", "dice_boundary", "dice_hausdorff", "focal+alpha=1+gamma=2"} < losses


def test_two_values_without_a_name_of_their_own_are_refused_with_the_way_out() -> None:
    with pytest.raises(UserError, match=r"loss=tversky\(alpha=0\.3\),tversky\(alpha=0\.7\)"):
        grid_cells(["loss=tversky", "loss.alpha=0.3,0.7", "repeat=0"])


def test_their_results_are_told_apart_by_folder_and_record(train: Train) -> None:
    code, _, error = train.here("-m", "loss=tversky(alpha=0.3),tversky(alpha=0.7)", "repeat=0", "study=two")
    assert code == 0, error
    folders = sorted((train.directory / "multirun/two").glob("*/*/*"))
    assert [folder.name for folder in folders] == ["tversky+alpha=0.3", "tversky+alpha=0.7"]
    records = [json.loads((folder / "repeat_0/result.json").read_text()) for folder in folders]
    assert [record["loss"] for record in records] == [folder.name for folder in folders]
    assert [record["config"]["loss"]["alpha"] for record in records] == [0.3, 0.7]
    assert [record["overrides"][-1] for record in records] != [] and "loss='tversky(alpha=0.3)'" in records[0][
        "overrides"
    ]


def test_a_single_run_needs_no_quotes_for_hydra_either(train: Train) -> None:
    code, _, error = train.here("loss=tversky(alpha=0.3)", "study=one")
    assert code == 0, error
    assert (train.directory / "multirun/one/synthetic/tiny/tversky+alpha=0.3/repeat_0/result.json").is_file()
