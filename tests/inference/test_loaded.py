"""A trained run in one's own Python is the command, to the last bit."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_seg import UserError, load_run
from lightning_seg.cli.predict import predict as command
from lightning_seg.inference.trained import Predictor, find_weights
from tests.inference.calls import invoke

call = partial(invoke, command)


@pytest.mark.parametrize("members", ["a run", "its cell"])
def test_masks_are_those_of_the_command(members: str, cell: Path, photos: Path, tmp_path: Path) -> None:
    place = cell / "repeat_0" if members == "a run" else cell
    given = ("--probabilities", "--device", "cpu", "--batch-size", "1")  # batches round in their own way
    code, output = call(place, photos / "images", "--output", tmp_path, *given)
    assert code == 0, output
    run = load_run(str(place), device="cpu")
    assert len(run.predictor.runs) == (1 if members == "a run" else 2)
    assert run.record.test["dice"] > 0 and not run.model.training
    lesions = 0
    for path in sorted((photos / "images").iterdir()):
        written = np.asarray(Image.open(tmp_path / "masks" / f"{path.stem}.png"))
        probability = np.asarray(Image.open(tmp_path / "probabilities" / f"{path.stem}.png"))
        with Image.open(path) as picture:
            picture.load()
            for image in (path, picture, np.asarray(picture)):
                assert np.array_equal(run.predict(image), written), (path, type(image))
                assert np.array_equal((run.probability(image) * 65535).round(), probability)
        lesions += int((written > 0).sum())
    assert lesions


def test_images_of_any_size_are_resized_as_in_training(cell: Path) -> None:
    run = load_run(cell / "repeat_0", device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    square = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR))
    predictor = Predictor(find_weights([cell / "repeat_0"]), torch.device("cpu"))
    assert np.array_equal(predictor.probabilities(image[None]), predictor.probabilities(square[None]))
    assert run.predict(image).shape == run.predict(image[..., 0]).shape == (50, 70)
    turned = Image.fromarray(image)
    turned.getexif()[0x0112] = 6
    assert run.predict(turned).shape == (70, 50)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((40, 40, 3)), "uint8"),
        (np.zeros((3, 40, 40), np.uint8), "uint8, \\(H, W, 3\\)"),
        (np.zeros((4, 40), np.uint8), "16 pixels a side"),
        (Image.new("I;16", (40, 40)), "convert it to RGB"),
    ],
)
def test_what_is_no_image_is_refused(image: object, message: str, cell: Path) -> None:
    with pytest.raises(UserError, match=message):
        load_run(cell / "repeat_0", device="cpu").predict(image)  # type: ignore[arg-type]
