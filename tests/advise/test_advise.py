"""The command as a user gives it, with real training."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from PIL import Image
from typer.testing import CliRunner, Result

from lightning_seg.advise.halving import Rule
from lightning_seg.advise.proposal import Proposal
from lightning_seg.cli import advise as commands
from lightning_seg.cli.app import app
from lightning_seg.data.readers.synthetic import Synthetic
from lightning_seg.errors import UserError
from lightning_seg.sweep.cells import grid_cells

SMALL = ("model=unet", "model.width=4", "data.image_size=32", "trainer.max_epochs=4", "trainer=cpu", "logger=csv")
GRID = ("loss=dice,bce", "repeat=0,1,2")


def advise(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["advise", *arguments], env={"COLUMNS": "200"})


@pytest.fixture
def lesions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 24 images and masks, two of them twice, inside the working directory."""
    source = Synthetic(count=24)
    folder = tmp_path / "my lesions"
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for index in (*range(24), 0, 1):
        image, mask = source.read(index, 48)
        number = len(list((folder / "images").iterdir()))
        Image.fromarray(image).save(folder / "images" / f"{number:02d}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / f"{number:02d}.png")
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_published_protocol_is_one_flag(lesions: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lightning_seg.advise.proposal.propose", propose_what_is_given)
    lines = {flag: shown_arguments(advise(lesions.name, *flag)) for flag in ((), ("--paper",), ("augmentation=none",))}
    careful = {"tune=lr", "augmentation=standard", "data.split=grouped"}
    assert careful <= set(lines[()])
    assert not careful & set(lines[("--paper",)])
    assert set(lines[("augmentation=none",)]) & careful == careful - {"augmentation=standard"}


def test_siblings_across_a_chosen_split_are_told_once(lesions: Path):
    shown = advise(lesions.name, *SMALL, *GRID, "data.split=kfold", "--hours", "0.5")
    assert shown.exit_code == 0, shown.output
    said = " ".join(shown.output.split())
    assert said.count("siblings in training, which makes scores too good: data.groups=siblings beside") == 1


@pytest.mark.slow
def test_from_a_folder_to_an_answer_and_again(lesions: Path):
    name = str(lesions.relative_to(lesions.parent))
    shown = advise(name, *SMALL, *GRID, "--hours", "0.5")
    assert shown.exit_code == 0, shown.output
    assert "six published datasets" in shown.output and "Nothing was run" in shown.output
    assert "tune=lr" in shown.output and "6 trials" not in shown.output and "3 trials" in shown.output
    assert "26 images are few" in shown.output and "data.split=grouped" in shown.output
    line = next(line for line in shown.output.splitlines() if line.startswith("lightning-seg train -m"))
    assert '"dataset.root=my lesions"' in line and line.endswith("loss=dice,bce repeat=0,1,2")
    assert not (lesions.parent / "multirun").exists()

    ran = advise(name, *SMALL, *GRID, "--hours", "0.5", "--yes")
    assert ran.exit_code == 0, ran.output
    study = lesions.parent / "multirun" / "advise_my_lesions"
    assert len(list(study.glob("*/unet/*/repeat_*/result.json"))) == 6
    assert len(list((study / ".tuning").glob("*/*/unet/*/repeat_0/result.json"))) == 6
    assert "At the threshold that validation images choose" in ran.output or "learned nothing" in ran.output
    learned = "Over 1 dataset x 1 model, 3 repeats" in ran.output
    assert learned != ("learned nothing yet" in ran.output)
    assert (study / "report" / "index.html").is_file()

    again = advise(name, *SMALL, *GRID, "--yes")
    assert again.exit_code == 0 and "the study goes on" in again.output and "6 skipped" in again.output

    other = advise(name, *SMALL, "loss=dice,iou", "repeat=0", "--yes")
    assert isinstance(other.exception, UserError) and "was proposed for something else" in str(other.exception)


@pytest.mark.slow
def test_halving_trains_and_answers_with_its_error_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    given = (
        "synthetic",
        "dataset.count=30",
        *SMALL,
        "loss=dice,bce,focal",
        "tune=none",
        "augmentation=none",
        "--halving",
        "--yes",
        "--hours",
        "0.5",
    )
    ran = advise(*given)
    assert ran.exit_code == 0, ran.output
    assert "After 3, 5, 8 and 12 repeats" in ran.output and "Answer" in ran.output
    assert "at the threshold which validation images choose" in ran.output or "learned nothing" in ran.output
    study = tmp_path / "multirun" / "advise_synthetic"
    assert len(list(study.glob("*/unet/*/repeat_*/result.json"))) >= 9
    assert json.loads((study / commands.ADVICE).read_text())["inputs"]["halving"] is True


def shown_arguments(result: Result) -> list[str]:
    """What `train` is to be given, from the line that is shown."""
    line = next(line for line in result.output.splitlines() if " -m " in line)
    return shlex.split(line.partition(" -m ")[2])


def propose_what_is_given(cfg: DictConfig, given: list[str], *rest: object) -> Proposal:
    return Proposal([*given, "model=unet"], ["dice", "bce"], ["0"], 0.0, [])


def test_a_folder_of_any_name_gives_arguments_that_can_be_read(lesions: Path, monkeypatch: pytest.MonkeyPatch):
    folder = lesions.rename(lesions.with_name("läsionen=b 2024"))
    monkeypatch.setattr("lightning_seg.advise.proposal.propose", propose_what_is_given)
    shown = advise(folder.name)
    assert shown.exit_code == 0, shown.output
    for cell in grid_cells(shown_arguments(shown)):
        assert (cell.config["dataset.root"], cell.config["study"]) == (folder.name, "advise_läsionen=b_2024")


@pytest.mark.parametrize(
    ("shares", "looks", "said"),
    [((0.6, 0.2, 0.2), (3, 5), "After 3 and 5 repeats"), ((0.3, 0.2, 0.5), (2,), "After 2 repeats")],
)
def test_halving_looks_at_no_more_repeats_than_the_split_has(
    shares: tuple[float, ...], looks: tuple[int, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rules = []

    def halve(proposal: Proposal, rule: Rule, *rest: object, **told: object) -> None:
        rules.append(rule)
        raise UserError("enough")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightning_seg.advise.proposal.propose", propose_what_is_given)
    monkeypatch.setattr("lightning_seg.advise.execute.halve", halve)
    fractions = [f"data.fractions.{name}={share}" for name, share in zip(("train", "val", "test"), shares, strict=True)]
    result = advise("synthetic", "dataset.count=30", "data.split=kfold", *fractions, *SMALL[1:3], "--halving", "--yes")
    assert str(result.exception) == "enough" and said in result.output
    assert rules == [Rule(looks, test_to_train=shares[2] / shares[0])]
    assert shown_arguments(result)[-1] == f"repeat={','.join(map(str, range(looks[0])))}"


def test_repeats_and_halving_exclude_each_other():
    result = advise("synthetic", "repeat=0,1", "--halving")
    assert isinstance(result.exception, UserError) and "leave repeat= out" in str(result.exception)


def test_a_dataset_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for data in ("no_such_folder", "kvasir"):
        result = advise(data)
        assert isinstance(result.exception, UserError) and "\n" not in str(result.exception)


def test_bad_images_are_named_and_nothing_is_proposed(lesions: Path):
    (lesions / "images" / "03.png").write_bytes(b"no image")
    result = advise(str(lesions))
    assert isinstance(result.exception, UserError) and "1 of 26 images cannot be used" in str(result.exception)
    assert "03.png" in result.output and "Proposal" not in result.output


def test_an_unreadable_advice_is_one_sentence(lesions: Path):
    study = lesions.parent / "multirun" / "mine"
    study.mkdir(parents=True)
    (study / commands.ADVICE).write_text("{")
    result = advise(str(lesions), "study=mine")
    assert isinstance(result.exception, UserError) and "cannot be read" in str(result.exception)
