"""Parts from outside the package: found, added and never put in place of a built-in one."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from lightning_seg.config.build import build_nameless
from lightning_seg.config.compose import compose_config
from lightning_seg.errors import UserError
from lightning_seg.parts.scaffold import KINDS, new_part

LOSS = """
import torch


class Squared(torch.nn.Module):
    def forward(self, logits, targets):
        return logits.sum()
"""


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    GlobalHydra.instance().clear()
    before = set(sys.modules)
    yield tmp_path
    GlobalHydra.instance().clear()
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_working_directorys_conf_adds_choices_and_code(workplace: Path) -> None:
    write(workplace / "squared_loss.py", LOSS)
    write(workplace / "conf" / "loss" / "squared.yaml", "name: squared\n_target_: squared_loss.Squared\n")
    loss = build_nameless(compose_config(["loss=squared"]).loss, "loss")
    assert loss(torch.ones(2), torch.ones(2)) == 2


def test_the_working_directory_cannot_change_a_built_in_choice(workplace: Path) -> None:
    write(workplace / "conf" / "loss" / "dice.yaml", "name: dice\n_target_: squared_loss.Squared\n")
    write(workplace / "conf" / "config.yaml", "seed: 7\n")
    write(workplace / "yaml.py", "raise RuntimeError('this shadows an installed module')\n")
    cfg = compose_config(["loss=dice"])
    assert cfg.loss._target_ == "lightning_seg.losses.WeightedSum"
    assert cfg.seed == 42
    assert sys.path[0] != str(workplace)


def test_an_installed_package_adds_choices_by_entry_point(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = workplace / "site"
    write(site / "their_parts" / "__init__.py", LOSS)
    write(site / "their_parts" / "conf" / "__init__.py", "")
    write(site / "their_parts" / "conf" / "loss" / "theirs.yaml", "name: theirs\n_target_: their_parts.Squared\n")
    write(site / "their_parts-1.0.dist-info" / "METADATA", "Metadata-Version: 2.1\nName: their_parts\nVersion: 1.0\n")
    write(site / "their_parts-1.0.dist-info" / "entry_points.txt", "[lightning_seg.conf]\ntheirs = their_parts.conf\n")
    monkeypatch.syspath_prepend(site)
    loss = build_nameless(compose_config(["loss=theirs"]).loss, "loss")
    assert loss(torch.ones(2), torch.ones(2)) == 2


@pytest.mark.slow
def test_a_new_part_passes_its_own_test_and_trains(workplace: Path) -> None:
    for kind in KINDS:
        new_part(kind, f"my_{kind}", workplace)
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"], capture_output=True, text=True
    )
    assert tests.returncode == 0, tests.stdout
    options = "loss=my_loss model=my_model trainer=cpu trainer.max_epochs=1 data.image_size=32 dataset.count=10"
    train = "from lightning_seg.cli.train import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", train, *options.split(), "logger=none"], capture_output=True, text=True, cwd=workplace
    )
    assert run.returncode == 0, run.stderr
    assert (workplace / "multirun/default/synthetic/my_model/my_loss/repeat_0/result.json").is_file()


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("optimizer", "mine", "choose one of loss, model, dataset"),
        ("loss", "Mine", "lower case"),
        ("loss", "my-loss", "lower case"),
        ("loss", "class", "lower case"),
        ("loss", "dice", "taken"),
        ("model", "torch", "taken"),
    ],
)
def test_names_that_cannot_be_are_refused(workplace: Path, kind: str, name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        new_part(kind, name, workplace)
    assert not list(workplace.iterdir())


def test_an_existing_file_is_never_overwritten(workplace: Path) -> None:
    write(workplace / "tests" / "test_mine.py", "precious")
    with pytest.raises(UserError, match="exists already"):
        new_part("loss", "mine", workplace)
    assert [path.name for path in workplace.rglob("*")] == ["tests", "test_mine.py"]


class TestSmp:
    """``model=smp``."""

    @pytest.fixture(autouse=True)
    def _needs_smp(self) -> None:
        pytest.importorskip("segmentation_models_pytorch", reason="the extra smp is not installed")

    def test_arch_and_encoder_come_from_the_command_line(self) -> None:
        cfg = compose_config(["model=smp", "model.arch=MAnet", "model.encoder=resnet18", "model.pretrained=false"])
        assert cfg.model.name == "MAnet_resnet18"
        model = build_nameless(cfg.model, "model").eval()
        assert type(model.network).__name__ == "MAnet"
        with torch.no_grad():
            assert model(torch.zeros(1, 3, 50, 70)).shape == (1, 1, 50, 70)  # padded: the network needs multiples of 32

    def test_unknown_names_are_refused_with_the_choices(self) -> None:
        for override, reason in (("model.arch=Vnet", "UnetPlusPlus"), ("model.encoder=resnet35", "resnet34")):
            cfg = compose_config(["model=smp", "model.pretrained=false", override])
            with pytest.raises(UserError, match=reason):
                build_nameless(cfg.model, "model")


class TestMonai:
    """``loss=monai``."""

    @pytest.fixture(autouse=True)
    def _needs_monai(self) -> None:
        pytest.importorskip("monai", reason="the extra monai is not installed")

    def test_class_and_options_come_from_the_command_line(self) -> None:
        cfg = compose_config(["loss=monai", "loss.class=TverskyLoss", "+loss.alpha=0.3", "+loss.beta=0.7"])
        assert cfg.loss.name == "monai_TverskyLoss"
        loss = build_nameless(cfg.loss, "loss")
        assert (loss.loss.alpha, loss.loss.beta) == (0.3, 0.7)
        probability = torch.tensor([0.9, 0.4, 0.2, 0.1]).view(1, 1, 2, 2)
        targets = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 2, 2)
        expected = 1 - 1.3 / (1.3 + 0.3 * 0.3 + 0.7 * 0.7)  # false positives 0.3, false negatives 0.7
        assert loss(torch.logit(probability), targets).item() == pytest.approx(expected, abs=1e-4)

    def test_every_loss_offered_gives_one_finite_number(self) -> None:
        import monai.losses

        from lightning_seg.losses.monai import MonaiLoss, segmentation_losses

        names = segmentation_losses(vars(monai.losses))
        known = {"DiceLoss", "FocalLoss", "TverskyLoss", "HausdorffDTLoss", "AsymmetricUnifiedFocalLoss"}
        assert known <= names.keys()
        targets = torch.zeros(2, 1, 16, 16)
        targets[0, :, 3:9, 3:9] = 1  # and the second is empty
        for name in names:
            logits = torch.randn(2, 1, 16, 16, requires_grad=True)
            value = MonaiLoss(**{"class": name})(logits, targets)
            value.backward()
            assert value.shape == (), name
            assert value.isfinite(), name
            assert logits.grad is not None
            assert logits.grad.isfinite().all(), name

    @pytest.mark.parametrize(
        ("overrides", "reason"),
        [
            (["loss.class=TverskyLos"], "choose one of .*TverskyLoss"),
            (["loss.class=BarlowTwinsLoss"], "no loss of logits and masks"),
            (["loss.class=NACLLoss"], "needs a channel for each class; loss=nacl is the same"),
            (["loss.class=SSIMLoss"], "compares pictures"),
            (["loss.class=GeneralizedWassersteinDiceLoss"], "several classes"),
            (["loss.class=DiceLoss", "+loss.softmax=true"], "no option 'softmax' here"),
        ],
    )
    def test_what_cannot_work_is_refused(self, overrides: list[str], reason: str) -> None:
        cfg = compose_config(["loss=monai", *overrides])
        with pytest.raises(UserError, match=reason):
            build_nameless(cfg.loss, "loss")

    @pytest.mark.parametrize(
        ("name", "options", "remark"),
        [
            ("TverskyLoss", {}, "is the Dice loss"),
            ("GeneralizedDiceLoss", {}, "is flat on a mask without a lesion"),
            ("TverskyLoss", {"alpha": 0.3, "beta": 0.7}, None),
            ("DiceLoss", {}, None),
            ("FocalLoss", {}, None),
        ],
    )
    def test_its_traps_are_told(
        self, name: str, options: dict[str, float], remark: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        from lightning_seg.losses.monai import MonaiLoss

        MonaiLoss(**{"class": name}, **options)
        assert [
            record.getMessage() for record in caplog.records if remark is None or remark not in record.message
        ] == []
        assert (remark is None) == (not caplog.records)

    def test_probabilities_are_made_for_the_loss_that_takes_no_logits(self) -> None:
        import monai.losses

        from lightning_seg.losses.monai import MonaiLoss

        logits, targets = torch.randn(2, 1, 8, 8), (torch.rand(2, 1, 8, 8) < 0.3).float()
        found = MonaiLoss(**{"class": "AsymmetricUnifiedFocalLoss"})(logits, targets)
        assert found == monai.losses.AsymmetricUnifiedFocalLoss()(torch.sigmoid(logits), targets)
