"""The names that this package promises, from the package itself."""

import pytest
import torch

import lightning_seg
from lightning_seg import UserError, build_loss, build_model


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
