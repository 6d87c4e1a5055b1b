"""Mistakes on the command line: one sentence that says what is wrong and what would be right, and nothing is begun."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from lightning_seg.config.compose import compose_config
from lightning_seg.errors import UserError
from tests.conftest import Train


def fails(train: Train, *arguments: str, small: bool = True) -> str:
    """The sentence with which a command fails."""
    code, _, message = train.here(*arguments, small=small)
    assert code == 2, message
    log, _, sentence = message.rpartition("error: ")
    assert "Traceback" not in message, message
    begun = ("results go to", "once for all runs")  # what a run and a cache say as they begin
    assert len([line for line in log.splitlines() if not any(words in line for words in begun)]) <= 1, message
    return sentence.strip()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["trainer.max_epoch=3"], ["'trainer.max_epoch'", "did you mean trainer.max_epochs?"]),
        (["trainer.xyz=3"], ["valid keys of trainer are", "max_epochs", "+trainer.xyz="]),
        (["sed=1"], ["'sed'", "did you mean seed?"]),
        (["lr=0.1"], ["'lr'", "did you mean optimizer.lr?"]),
        (["model.pretrained=false"], ["'model.pretrained'", "did you mean pretrained?"]),
        (["pretrained=perhaps"], ["pretrained=perhaps", "true or false"]),
        (["trainr.max_epochs=3"], ["'trainr.max_epochs'", "did you mean trainer.max_epochs?"]),
        (["loss=dicee"], ["no loss 'dicee'; did you mean loss=dice?"]),
        (["model=Unet"], ["no model 'Unet'; did you mean model=unet?"]),
        (["loss=foo"], ["no loss 'foo'", "iou_focal", "dice_bce"]),
        (["model=unett"], ["no model 'unett'", "unet", "colonsegnet"]),
        (["dataset=skin"], ["no dataset 'skin'", "wound", "synthetic", "folder"]),
        (["experiment=nope"], ["no experiment 'nope'", "paper"]),
        (["repeat=-1"], ["repeat=-1", "a whole number from 0"]),
        (["repeat=one"], ["repeat=one", "a whole number from 0"]),
        (["trainer.max_epochs=0"], ["trainer.max_epochs=0", "from 1"]),
        (["trainer.limit_train_batches=0"], ["trainer.limit_train_batches=0", "from 1"]),
        (["trainer.limit_val_batches=0"], ["trainer.limit_val_batches=0", "from 1"]),
        (["trainer.limit_val_batches=1.5"], ["trainer.limit_val_batches=1.5", "up to 1.0"]),
        (["trainer.devices=2"], ["trainer.devices=2", "one device", "hydra/launcher=gpus"]),
        (["trainer.devices=auto"], ["trainer.devices=auto", "one device"]),
        (["+model.in_channels=1"], ["model.in_channels=1", "must be 3", "RGB"]),
        (["+model.classes=2"], ["model.classes=2", "must be 1"]),
        (["data.batch_size=2.5"], ["data.batch_size=2.5", "a whole number from 1"]),
        (["data.image_size=4"], ["data.image_size=4", "from 16"]),
        (["data.fractions.train=0.5"], ["0.5 / 0.2 / 0.2", "sum to 1"]),
        (["data.fractions={train:1.2,val:-0.1,test:-0.1}"], ["positive", "sum to 1"]),
        (["data.fractions=many"], ["data.fractions", "sum to 1"]),
        (["data=many"], ["data.", "not valid"]),
        (["data.split=foo"], ["data.split=foo", "kfold"]),
        (["data.groups=nowhere.csv"], ["data.groups=nowhere.csv", "that is there"]),
        (["data.mean=[0.5]"], ["data.mean=[0.5]", "three numbers"]),
        (["data.std=[0,0,0]"], ["data.std=[0, 0, 0]", "above 0"]),
        (["data.resident=maybe"], ["data.resident=maybe", "true or false"]),
        (["logger.wandb=true"], ["logger.wandb=True", "logger=wandb"]),
        (["optimizer.lr=-1"], ["optimizer.lr=-1", "above 0"]),
        (["-m", "loss=bce", "optimizer.lr=abc"], ["optimizer.lr=abc", "above 0"]),
        (["study=../elsewhere"], ["study=../elsewhere", "folder name"]),
        (["model.name=a/b"], ["model.name=a/b", "folder name"]),
        (["rerun=perhaps"], ["rerun=perhaps", "true or false"]),
        (["dataset=folder"], ["dataset.root has no value", "dataset.root="]),
        (["dataset=synthetic,wound"], ["dataset=synthetic,wound", "-m"]),
        (["repeat=0,1"], ["repeat=0,1", "-m"]),
        (["loss"], ["'loss' cannot be read", "key=value"]),
        (["study=${nothing}"], ["nothing"]),
        (["-m", "loss=bce,foo"], ["no loss 'foo'"]),
        (["-m", "loss=bce", "repeat=0,-1"], ["repeat=-1", "a whole number from 0"]),
        (["loss=bce", "-m", "repeat=0,-1"], ["repeat=-1", "a whole number from 0"]),
        (["-m", "loss=bce", "trainer.max_epochs=1,0"], ["trainer.max_epochs=0"]),
        (["-m", "dataset=synthetic,folder"], ["dataset.root has no value"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_before_anything_is_touched(train: Train, arguments: list[str], parts: list[str]) -> None:
    message = fails(train, *arguments, small=False)
    for part in parts:
        assert part in message
    assert message.count("\n") == 0
    assert not list(train.directory.iterdir())


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["model.width=wide"], ["model cannot be built from tests.parts.Tiny", "TypeError"]),
        (["model=colonsegnet", "model.width=33"], ["model.width=33", "a multiple of 2"]),
        (["model=ducknet", "model.filters=0"], ["model.filters=0", "a whole number from 1"]),
        (["model=unet", "model.width=0"], ["model.width=0", "a whole number from 1"]),
        (["model=unetplusplus", "model.width=0.5"], ["model.width=0.5", "a whole number from 1"]),
        (["model=unet", "model.width=4", "data.batch_size=1", "data.image_size=16"], ["unet", "data.batch_size=1"]),
        (
            ["model=deeplabv3plus", "model.encoder=resnet18", "model.pretrained=false", "data.batch_size=1"],
            ["deeplabv3plus", "data.batch_size=1", "two images"],
        ),
        (["model.width=4", "trainer.precision=16-mixed"], ["trainer.precision=16-mixed", "bf16-mixed", "GPU"]),
        (["model._target_=nowhere.Net"], ["model cannot be built from nowhere.Net", "No module named 'nowhere'"]),
        (["+model.depth=3"], ["model cannot be built", "unexpected keyword argument 'depth'"]),
        (["loss.weights.iou=-1"], ["iou=-1", ">= 0"]),
        (["optimizer._target_=torch.optim.Nothing"], ["optimizer cannot be built from torch.optim.Nothing"]),
        (["trainer.precision=7"], ["trainer cannot be built", "Precision 7"]),
        (["dataset.count=2"], ["2 images are too few"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_before_training(train: Train, arguments: list[str], parts: list[str]) -> None:
    message = fails(train, *arguments)
    for part in parts:
        assert part in message
    assert message.count("\n") == 0
    assert not (train.directory / "multirun").exists()
    if arguments[0].strip("+").startswith(("model", "loss")):
        assert not (train.directory / "data").exists()  # nothing was decoded for a network that cannot be


def make_folder(root: Path) -> None:
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
        for stem in "abcdefgh":
            Image.fromarray(np.full((20, 20), 255, dtype=np.uint8)).save(root / kind / f"{stem}.png")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


BAD_FILES = {
    "no such folder": (lambda root: (root / "images").parent.rename(root.with_name("moved")), ["does not exist"]),
    "no images": (lambda root: [path.unlink() for path in (root / "images").iterdir()], ["there are no images"]),
    "unreadable": (
        lambda root: [truncate(root / "images/b.png"), truncate(root / "masks/c.png")],
        ["2 bad files", "images/b.png", "masks/c.png"],
    ),
    "mask missing": (lambda root: (root / "masks/d.png").unlink(), ["images/d.png: no mask belongs to it"]),
    "mask too many": (lambda root: (root / "images/d.png").unlink(), ["no image of the same name", "d.png"]),
    "other size": (
        lambda root: Image.new("L", (10, 30)).save(root / "masks/e.png"),
        ["masks/e.png: the mask is 10x30 but its image e.png is 20x20"],
    ),
    "id twice": (
        lambda root: Image.new("L", (20, 20)).save(root / "images/f.jpg"),
        ["its id 'f' occurs twice", "f.jpg", "f.png"],
    ),
}


@pytest.mark.parametrize("mistake", BAD_FILES)
@pytest.mark.parametrize("grid", [False, True])
def test_bad_files(train: Train, mistake: str, grid: bool) -> None:
    spoil, parts = BAD_FILES[mistake]
    root = train.directory / "mine"
    make_folder(root)
    spoil(root)  # type: ignore[no-untyped-call]
    arguments = ["dataset=folder", f"dataset.root={root}", "trainer=cpu", "data.image_size=32", "logger=csv"]
    if grid and mistake != "unreadable" and mistake != "other size":  # those show when a run decodes the files
        message = fails(train, "-m", "repeat=0", *arguments, small=False)
        assert not list(train.directory.rglob("error.txt"))
    elif grid:
        code, message, _ = train.here("-m", "repeat=0", *arguments, small=False)
        assert code == 1
        message = "".join(next(train.directory.rglob("error.txt")).read_text())
    else:
        message = fails(train, *arguments, small=False)
    for part in parts:
        assert part in message
    assert not list(train.directory.rglob("result.json"))
    assert not [path for path in train.directory.glob("data/cache/*") if path.suffix != ".lock"]


def test_every_value_of_the_paper() -> None:
    cfg = compose_config([])
    assert OmegaConf.to_container(cfg.data.fractions) == {"train": 0.6, "val": 0.2, "test": 0.2}
    paper = (cfg.data.image_size, cfg.data.batch_size, cfg.trainer.max_epochs, cfg.seed, cfg.early_stopping.patience)
    assert paper == (224, 8, 200, 42, 40)
    assert (cfg.optimizer._target_, cfg.optimizer.lr) == ("torch.optim.Adam", 1e-3)
    focal = compose_config(["loss=focal"]).loss.terms.focal
    assert (focal.alpha, focal.gamma) == (0.8, 0.2)


def test_composing_outside_the_application_has_the_same_errors() -> None:
    with pytest.raises(UserError, match="There is no loss 'foo'"):
        compose_config(["loss=foo"])


def test_a_key_that_the_program_s_own_choice_lacks_is_not_suggested_as_its_own_correction() -> None:
    with pytest.raises(UserError, match=r"no configuration key 'model\.width' with the model .* \(model=unet\)"):
        compose_config(["model=esfpnet", "model.width=8"])
