"""The names that this package promises, from the package itself."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import lightning_seg
from lightning_seg import SegmentationModel, UserError, build_loss, build_model, load_study, run_study
from lightning_seg.losses import FocalLoss
from tests.report.make_study import MODELS, Truth, make_study


@pytest.mark.parametrize("name", lightning_seg.__all__)
def test_every_promised_name_is_there(name: str) -> None:
    assert getattr(lightning_seg, name) is not None and name in dir(lightning_seg)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lightning_seg.nothing  # noqa: B018


def test_a_network_and_a_loss_work_in_any_loop() -> None:
    model, loss = build_model("unet", width=2), build_loss("iou_focal", weights={"focal": 0.0})
    logits = model.eval()(torch.rand(2, 3, 32, 32))
    masks = (torch.rand(2, 1, 32, 32) < 0.5).float()
    assert logits.shape == masks.shape
    torch.testing.assert_close(loss(logits, masks), build_loss("iou")(logits, masks))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: build_loss("diec"), "There is no loss 'diec'"),
        (lambda: build_loss("dice", gamma=2), "loss 'dice' has no option 'gamma'"),
        (lambda: build_model("unet", depth=3), "model 'unet' has no option 'depth'"),
    ],
)
def test_what_there_is_not_is_one_sentence(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(UserError, match=message):
        build()


class TwoMaps(SegmentationModel):
    """The images' first channel, and its double."""

    output_weights = (1.0, 0.5)

    def outputs(self, images: Tensor) -> list[Tensor]:
        return [images[:, :1], 2 * images[:, :1]]


def test_a_network_gives_a_tensor_and_on_request_the_maps_of_its_training() -> None:
    images = torch.rand(2, 3, 32, 32)
    model = build_model("unet", width=2).train()
    assert model(images).shape == model.eval()(images).shape == (2, 1, 32, 32)
    assert isinstance(build_model("unet", width=2, auxiliary=True).train()(images), tuple)
    two = TwoMaps().train()
    assert len(two(images)) == 2  # as a training takes them
    two.every_map = False
    assert torch.equal(two(images), images[:, :1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_masks_of_image_files_are_refused(dtype: torch.dtype) -> None:
    logits, masks = torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 255, dtype=dtype)
    for loss in (build_loss("dice"), build_loss("iou_focal")):
        with pytest.raises(UserError, match=r"from 255 to 255, and a loss takes 0 and 1 alone: give \(masks > 127\)"):
            loss(logits, masks)
        assert loss(logits, masks.bool()).isfinite()
        with pytest.raises(UserError, match="values from"):
            loss(logits, targets=masks)


def test_focal_has_the_papers_defaults() -> None:
    logits, masks = torch.randn(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    assert FocalLoss()(logits, masks) == build_loss("focal")(logits, masks)
    assert (FocalLoss().alpha, FocalLoss().gamma, FocalLoss().alpha_form) == (0.8, 0.2, "paper")


def test_a_study_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    truth = Truth(effects={"bce": -0.3}, interaction_sd=0.001, run_sd=0.004)
    folder = make_study(tmp_path / "multirun" / "mine", ["isic"], MODELS[:4], ["bce", "dice"], 2, truth=truth, cases=0)
    for study in (load_study("mine"), load_study(folder)):
        assert len(study.runs) == 16 and len(study.images) == 16 * 12
        assert study.verdict.winner == "dice" and study.answer[0].startswith("Use Dice")
        assert "Use Dice" in repr(study)
    with pytest.raises(UserError, match="There is no study 'other' in multirun; studies there are mine"):
        load_study("other")


def test_a_study_that_cannot_be_trained_is_one_sentence(tmp_path: Path) -> None:
    """What can be is in the notebooks, which tests run."""
    with pytest.raises(UserError, match="There is no loss 'diec'"):
        run_study(loss="diec", study="small", output_dir=tmp_path)
