"""Exported networks compute what PyTorch computes; what does not is not kept."""

import json
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightning_seg.catalogue import NETWORKS
from lightning_seg.config.build import build_nameless, without_weights
from lightning_seg.config.compose import compose_config
from lightning_seg.errors import UserError
from lightning_seg.inference import export
from lightning_seg.inference.trained import find_weights, load_run
from lightning_seg.models import UNet

# The smallest form of each network.
SMALL = {
    "fcn": ["model.hidden=16"],
    "deeplabv3plus": ["model.encoder=resnet18"],
    "unet": ["model.width=4"],
    "unetplusplus": ["model.width=4"],
    "colonsegnet": ["model.width=32"],
    "fatnet": [],
    "fcbformer": ["model.variant=b0"],
    "colonformer": ["model.variant=b0"],
    "caranet": [],
    "esfpnet": ["model.variant=b0"],
    "ducknet": ["model.filters=2"],
    "emcadnet": ["model.variant=b0"],
}
needs_onnx = pytest.mark.skipif(
    not all(map(find_spec, ("onnx", "onnxruntime", "onnxscript"))), reason="the extra export is not installed"
)


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_nameless(without_weights(compose_config([f"model={name}", *SMALL[name]]).model), "model").eval()


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_study_becomes_onnx(name: str, tmp_path: Path) -> None:
    import onnxruntime

    model = network(name)
    export.export_network(model, 64, tmp_path, ["onnx"])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = model(images).numpy()
    found = session.run(["logits"], {"images": images.numpy()})[0]
    assert np.abs(found - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


@needs_onnx
def test_a_run_is_exported_with_what_others_need_to_use_it(cell: Path, photos: Path, tmp_path: Path) -> None:
    import onnxruntime
    from PIL import Image

    run = load_run(find_weights([cell / "repeat_0"])[0])
    found = export.export_run(run, tmp_path, ["onnx", "torch"])
    assert found.keys() == {"onnx", "torch"}
    facts = json.loads((tmp_path / "preprocessing.json").read_text())
    # Someone who has nothing but these files gets the masks of the run's own test.
    with np.load(cell / "repeat_0" / "cases.npz") as cases:
        name, recorded = cases["ids"][0], cases["logits"][0]
    image = Image.open(next((photos / "images").glob(f"{name}.*"))).convert("RGB")
    size = (facts["input"]["width"], facts["input"]["height"])
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR)) / 255
    batch = ((pixels - facts["mean"]) / facts["std"]).transpose(2, 0, 1)[None].astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    logits = session.run([facts["output"]["name"]], {facts["input"]["name"]: batch})[0][0, 0]
    assert np.abs(logits - recorded).max() < 1e-3
    program = torch.export.load(tmp_path / "model.pt2")
    assert np.abs(program.module()(torch.from_numpy(batch)).detach().numpy()[0, 0] - recorded).max() < 1e-3


def test_sides_are_free_on_request(tmp_path: Path) -> None:
    model = network("unet")
    export.export_network(model, 64, tmp_path, ["torch"], dynamic_size=True)
    program = torch.export.load(tmp_path / "model.pt2").module()
    images = torch.randn(1, 3, 128, 160)
    with torch.no_grad():
        torch.testing.assert_close(program(images), model(images))
    with pytest.raises(UserError, match="multiple of 32"):
        export.export_network(model, 50, tmp_path, ["torch"], dynamic_size=True)


class Fickle(UNet):
    """Computes something else once it is traced."""

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        (logits,) = super().outputs(images)
        return (logits + 0.1 if torch.compiler.is_compiling() else logits,)


class Undecided(UNet):
    """Looks at its own output to decide what to do."""

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        (logits,) = super().outputs(images)
        return (logits if logits.mean() > 0 else -logits,)


@pytest.mark.parametrize(("model", "reason"), [(Fickle(4), "differs from PyTorch's"), (Undecided(4), "cannot export")])
def test_a_network_that_cannot_be_exported_leaves_no_file(model: nn.Module, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        export.export_network(model, 32, tmp_path / "out", ["torch"])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("model*"))


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose of onnx, torch"):
        export.export_network(UNet(4), 32, tmp_path, ["tflite"])


def test_the_card_says_what_the_record_says(cell: Path) -> None:
    run = load_run(find_weights([cell / "repeat_0"])[0])
    card = export.model_card(run)
    assert f"| Dice | {run.record.test['dice']:.4f} | " in card
    low, high = map(float, re.search(r"\| Dice \| \S+ \| (\S+) to (\S+) \|", card).groups())  # type: ignore[union-attr]
    assert low <= run.record.test["dice"] <= high
    assert f"{run.record.parameters:,}" in card
    assert "Over the 2 repeats" in card
    assert "not a medical device" in card
    assert "None" not in card


@pytest.mark.parametrize(
    ("dataset", "encoder", "said"),
    [
        ("clinicdb", "mit_b3", ["no commercial use", "NVIDIA, non-commercial"]),
        ("isic", "vgg16.tv_in1k", ["bsd-3-clause"]),
    ],
)
def test_the_card_names_the_licences(cell: Path, dataset: str, encoder: str, said: list[str]) -> None:
    run = load_run(find_weights([cell / "repeat_0"])[0])
    origin = {"encoder": encoder, "file": "somewhere", "sha256": "0" * 64}
    run = replace(run, record=replace(run.record, dataset=dataset, weights_source={"encoder": origin}))
    card = export.model_card(run)
    for words in said:
        assert words in card


@pytest.mark.parametrize(
    ("split", "groups", "said", "known"),
    [
        ("random", None, "random, 60 / 20 / 20 % (ids", False),
        ("grouped", None, "grouped, 60 / 20 / 20 % (ids", True),
        ("official", None, "official (ids", False),
        ("kfold", None, "kfold (ids", False),
        ("kfold", "patients.csv", "kfold (ids", True),
        ("mine.csv", None, "mine.csv (ids", False),
    ],
)
def test_the_card_says_of_a_split_what_is_known(
    cell: Path, split: str, groups: str | None, said: str, known: bool
) -> None:
    run = load_run(find_weights([cell / "repeat_0"])[0])
    run.config.data.update(split=split, groups=groups)
    card = export.model_card(run)
    assert f"**Split**: {said}" in card
    assert ("The split is not known to keep the images of a patient" in card) != known


def test_the_card_tells_repeats_on_the_same_test_images_from_others(cell: Path, tmp_path: Path) -> None:
    for repeat in (0, 1):
        shutil.copytree(cell / f"repeat_{repeat}", tmp_path / f"repeat_{repeat}")
    run = load_run(find_weights([tmp_path / "repeat_0"])[0])
    assert "each with its own split and start" in export.model_card(run)
    split = json.loads((tmp_path / "repeat_0" / "split.json").read_text())
    split["train"], split["val"] = split["val"], split["train"]
    (tmp_path / "repeat_1" / "split.json").write_text(json.dumps(split))
    assert "all on the same test images, each with its own start" in export.model_card(run)
