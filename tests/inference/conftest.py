"""One small study of real runs on real files, trained once."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from lightning_seg.config.compose import compose_config
from lightning_seg.data import Synthetic
from lightning_seg.runs.run import run

SIZE = 32


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder dataset of 20 images, PNG and JPEG, in several sizes."""
    root = tmp_path_factory.mktemp("photos")
    (root / "images").mkdir()
    (root / "masks").mkdir()
    source = Synthetic(name="synthetic", count=20, seed=1)
    for index, name in enumerate(source.ids()):
        image, mask = source.read(index, 96)
        size = (96, 64 + 8 * (index % 4))
        Image.fromarray(image).resize(size).save(root / "images" / f"{name}{'.png' if index % 2 else '.jpg'}")
        Image.fromarray(mask).resize(size).convert("L").save(root / "masks" / f"{name}_mask.png")
    return root


@pytest.fixture(scope="session")
def cell(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The folder of a cell with two finished repeats of a narrow U-Net."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("study")
    for repeat in (0, 1):
        overrides = [
            *("dataset=folder", f"dataset.root={photos}", "dataset.name=photos", "model=unet", "model.width=4"),
            *("loss=dice", "optimizer.lr=0.01", "trainer=cpu", "trainer.max_epochs=12", "logger=none", "cases=1"),
            *(f"data.image_size={SIZE}", "data.eval_batch_size=3", f"data.cache_dir={folder / 'cache'}"),
            *(f"output_dir={folder}", f"repeat={repeat}", "keep_weights=true"),
        ]
        run(compose_config(overrides))
    return folder / "default" / "photos" / "unet" / "dice"
