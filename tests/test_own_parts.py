"""A part of one's own is one file and one YAML, in a folder outside this project, and is found everywhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PARTS = {
    "their_loss.py": """
from torch import Tensor, nn


class Squared(nn.Module):
    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        return (logits.float().sigmoid() - masks.float()).square().mean()
""",
    "conf/loss/squared.yaml": "name: squared\n_target_: their_loss.Squared\n",
    "their_network.py": """
from torch import Tensor, nn


class Linear(nn.Module):
    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, kernel, padding=kernel // 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images)
""",
    "conf/model/linear.yaml": "name: linear\n_target_: their_network.Linear\nkernel: 3\n",
    "their_dataset.py": """
import numpy as np

from lightning_seg.data import LesionDataset


class Discs(LesionDataset):
    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = name, count

    def ids(self) -> list[str]:
        return [f"disc_{number:03}" for number in range(self.count)]

    def signature(self) -> list[int]:
        return [self.count]

    def read(self, index: int, size: int):
        rows, columns = np.mgrid[:size, :size] / size - 0.5
        mask = rows**2 + columns**2 < (0.1 + 0.01 * index) ** 2
        image = np.repeat((40 + 150 * mask).astype(np.uint8)[..., None], 3, axis=2)
        return image, mask
""",
    "conf/dataset/discs.yaml": "name: discs\n_target_: their_dataset.Discs\ncount: 20\n",
    "their_metric.py": """
from torch import Tensor


class Specificity:
    def __call__(self, counts: Tensor) -> Tensor:
        tp, fp, fn, tn = counts.double().unbind(-1)
        return tn / (tn + fp).clamp(min=1)
""",
    "conf/metric/specificity.yaml": "specificity:\n  _target_: their_metric.Specificity\n",
    "their_area.py": """
from lightning_seg.metrics import Masks


class Area:
    def of_masks(self, masks: Masks) -> float:
        return 1 - abs(int(masks.predicted.sum()) - int(masks.truth.sum())) / masks.truth.size
""",
    "conf/metric/area.yaml": "area:\n  _target_: their_area.Area\n",
    "their_tuner.py": """
class Halfway:
    def __init__(self, rates):
        self.rates = list(rates)

    def propose(self):
        return [{"optimizer.lr": rate} for rate in self.rates]

    def choose(self, scores):
        return sorted(range(len(scores)), key=lambda position: scores[position])[len(scores) // 2]
""",
    "conf/tune/halfway.yaml": "_target_: their_tuner.Halfway\nrates: [0.0001, 0.01, 1.0]\n",
    "their_augmentation.py": """
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2


class Cropped:
    def __init__(self, least: float) -> None:
        self.transform = v2.RandomResizedCrop(32, scale=(least, 1.0))

    def __call__(self, batch):
        pairs = zip(batch.images, batch.masks)
        pairs = [self.transform(tv_tensors.Image(image), tv_tensors.Mask(mask)) for image, mask in pairs]
        images, masks = (torch.stack([part.as_subclass(torch.Tensor) for part in parts]) for parts in zip(*pairs))
        with open("crops.txt", "a") as file:
            print(float(images.mean()), file=file)
        return batch._replace(images=images, masks=masks)
""",
    "conf/augmentation/cropped.yaml": "_target_: their_augmentation.Cropped\nleast: 0.5\n",
    "their_figure.py": """
from lightning_seg.report.figures.style import Figure, new


def draw(analysis) -> Figure:
    figure = new("mean_dice", "Mean Dice by loss", "What their own figure shows.")
    means = analysis.overall.loc["dice"]
    figure.canvas.subplots().bar(range(len(means)), means)
    return figure
""",
    "conf/figure/mean_dice.yaml": "_target_: their_figure.draw\n",
}
GRID = (
    "-m",
    "dataset=discs",
    "model=linear",
    "loss=squared",
    "repeat=0,1",
    "metric=[specificity,area]",
    "tune=halfway",
    "tune.epochs=1",
    "augmentation=cropped",
    "study=own",
    "trainer=cpu",
    "logger=csv",
    "data.image_size=32",
    "trainer.max_epochs=2",
    "cases=1",
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one part of each kind and a study of two runs that uses them."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in PARTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    trained = command(folder, "train", *GRID)
    assert trained.returncode == 0, trained.stderr
    return folder


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``lightning-seg`` with these arguments, as typed in ``folder``."""
    project = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": project, "COLUMNS": "200", "WANDB_MODE": "disabled"}
    line = [sys.executable, "-m", "lightning_seg.cli.app", *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_record_names_them_and_holds_the_metric(workplace: Path) -> None:
    run = workplace / "multirun/own/discs/linear/squared/repeat_1"
    record = json.loads((run / "result.json").read_text())
    assert (record["dataset"], record["model"], record["loss"]) == ("discs", "linear", "squared")
    images = pd.read_csv(run / "test_images.csv")
    tn, fp = images["tn"], images["fp"]
    np.testing.assert_allclose(images["specificity"], tn / (tn + fp))
    assert record["test"]["specificity"] == pytest.approx(images["specificity"].mean())
    called, lesion = images["tp"] + images["fp"], images["tp"] + images["fn"]
    measures = pd.read_csv(run / "test_measures.csv")
    np.testing.assert_allclose(measures["area"], 1 - (called - lesion).abs() / 32**2, rtol=1e-5)


def test_the_tuner_has_proposed_and_chosen(workplace: Path) -> None:
    record = json.loads((workplace / "multirun/own/discs/linear/squared/repeat_1/result.json").read_text())
    tried = [(each["val_dice"], each["settings"]["optimizer.lr"]) for each in record["tuning"]["tried"]]
    assert sorted(rate for _, rate in tried) == [0.0001, 0.01, 1.0]
    assert record["config"]["optimizer"]["lr"] == sorted(tried, key=lambda each: each[0])[1][1]


def test_the_augmentation_is_recorded_and_draws_the_same_for_every_training(workplace: Path) -> None:
    record = json.loads((workplace / "multirun/own/discs/linear/squared/repeat_1/result.json").read_text())
    assert record["config"]["augmentation"] == {"_target_": "their_augmentation.Cropped", "least": 0.5}
    means = (workplace / "crops.txt").read_text().split()
    epochs = [tuple(means[first : first + 2]) for first in range(0, len(means), 2)]  # of two batches each
    trials, runs = epochs[:3], epochs[3:]
    assert len(runs) == 4 and set(trials) == {runs[0]} and len(set(runs)) == 4


def test_status_shows_them(workplace: Path) -> None:
    shown = command(workplace, "status", "own")
    assert shown.returncode == 0
    assert any(line.split()[:4] == ["discs", "linear", "squared", "2"] for line in shown.stdout.splitlines())


def test_the_report_shows_them_with_their_metric_and_figure(workplace: Path) -> None:
    made = command(workplace, "report", "own", "--figure", "mean_dice")
    assert made.returncode == 0, made.stderr
    report = workplace / "multirun/own/report"
    page = (report / "index.html").read_text()
    assert "What their own figure shows." in page and (report / "figures/mean_dice.svg").is_file()
    overall = pd.read_csv(report / "tables/overall.csv")
    runs = pd.read_parquet(report / "runs.parquet")
    assert overall.loc[0, "specificity"] == pytest.approx(runs["test_specificity"].mean(), abs=1e-4)
    assert pd.read_csv(report / "tables/measures.csv").loc[0, "area"] == pytest.approx(runs["measure_area"].mean())


def test_gallery_draws_the_loss(workplace: Path) -> None:
    drawn = command(workplace, "gallery", "squared", "--output", "drawn")
    assert drawn.returncode == 0, drawn.stderr
    assert list((workplace / "drawn").glob("*.png"))


def test_models_lists_the_network(workplace: Path) -> None:
    listed = command(workplace, "models", "linear", "--markdown")
    assert listed.returncode == 0, listed.stderr
    assert "| `linear` |" in listed.stdout and "| 28 |" in listed.stdout  # 3 x 3 x 3 weights and a bias


def test_an_own_part_that_is_wrong_is_one_sentence(workplace: Path) -> None:
    (workplace / "conf/metric/dice.yaml").write_text("dice:\n  _target_: their_metric.Specificity\n")
    taken = command(workplace, "train", *GRID[1:4], "metric=dice", *GRID[8:], "study=taken")
    assert taken.returncode == 2
    assert taken.stderr.splitlines()[-1].startswith("error: metric.dice: ") and "Traceback" not in taken.stderr
