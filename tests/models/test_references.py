"""Networks that a library has too learn as the library's do: from the same weights, one epoch of the same losses.

U-Net of MONAI's parts, FCN of torchvision, DeepLabV3+ on a ResNet of torchvision's encoder and the parts of
segmentation_models_pytorch, and Segformer's encoder of the latter. DeepLabV3+ on an Xception has no second form in
PyTorch: its training step is held against TensorFlow's numbers (``test_training_facts.py``).
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation import fcn_resnet50

from lightning_seg.losses import FocalLoss, IoULoss, WeightedSum
from lightning_seg.models import FCN, DeepLabV3Plus, UNet
from lightning_seg.models.encoders import mix_transformer

pytestmark = pytest.mark.slow
STEPS = 3
SIZE = 64  # pixels


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Between modules whose tensors follow each other in the same order."""
    values, places = list(source.state_dict().values()), list(target.state_dict().values())
    assert [value.shape for value in values] == [place.shape for place in places]
    with torch.no_grad():
        for value, place in zip(values, places, strict=True):
            place.copy_(value)


def batches(size: int) -> list[tuple[Tensor, Tensor]]:
    """Noise with a brighter square, and where that is."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for step in range(STEPS):
        images = torch.randn(2, 3, size, size, generator=generator, dtype=torch.float64)
        masks = torch.zeros(2, 1, size, size, dtype=torch.float64)
        masks[:, :, size // 4 : size // 2, step * size // 8 : size // 2] = 1
        drawn.append((images + masks, masks))
    return drawn


def losses(network: nn.Module, weights: Sequence[float], size: int) -> tuple[list[float], Tensor]:
    """Of each step of an epoch, and the logits in evaluation after it."""
    loss = WeightedSum({"iou": IoULoss(), "focal": FocalLoss(alpha=0.8, gamma=2.0)}, {"iou": 1.0, "focal": 1.0})
    # Not Adam, which makes large steps of the rounding errors where a gradient is zero.
    optimizer = torch.optim.SGD(network.train().parameters(), lr=0.05, momentum=0.9)
    found = []
    for step, (images, masks) in enumerate(batches(size)):
        torch.manual_seed(step)  # of dropout and drop path, which are as in training
        maps = network(images)
        maps = tuple(maps.values()) if isinstance(maps, dict) else (maps,) if isinstance(maps, Tensor) else maps
        value = sum(weight * loss(logits, masks) for weight, logits in zip(weights, maps, strict=True))
        assert isinstance(value, Tensor)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(value.item())
    with torch.no_grad():
        logits = network.eval()(batches(size)[0][0])
    return found, logits["out"] if isinstance(logits, dict) else logits


def assert_learn_alike(ours: nn.Module, theirs: nn.Module, weights: Sequence[float] = (1.0,), size: int = SIZE) -> None:
    expected, their_logits = losses(theirs.double(), weights, size)
    actual, our_logits = losses(ours.double(), weights, size)
    assert actual == pytest.approx(expected, rel=1e-4)
    assert len(set(expected)) == STEPS
    assert (our_logits - their_logits).abs().max() <= 1e-4 * their_logits.std()  # running statistics too


class MonaiUNet(nn.Module):
    """MONAI's building blocks, put together as the reference of this project's U-Net is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        monai = pytest.importorskip("monai.networks.nets.basic_unet")
        widths = [width * 2**level for level in range(5)]
        options: dict[str, Any] = {"act": ("relu", {}), "norm": ("batch", {}), "bias": False}
        self.stem = monai.TwoConv(2, 3, width, **options)
        self.down = nn.ModuleList(monai.Down(2, a, b, **options) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(monai.UpCat(2, b, a, a, **options) for a, b in reversed([*itertools.pairwise(widths)]))
        self.head = nn.Conv2d(width, 1, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        skips = [self.stem(images)]
        for down in self.down:
            skips.append(down(skips[-1]))
        features = skips.pop()
        for up in self.up:
            features = up(features, skips.pop())
        return self.head(features)


class SmpDeepLab(nn.Module):
    """torchvision's ResNet, dilated in its last stage, below the pyramid and the convolutions of smp."""

    def __init__(self) -> None:
        super().__init__()
        decoder = pytest.importorskip("segmentation_models_pytorch.decoders.deeplabv3.decoder")
        modules = pytest.importorskip("segmentation_models_pytorch.base.modules")
        encoder = resnet50(weights=None, replace_stride_with_dilation=[False, False, True])
        self.encoder = IntermediateLayerGetter(encoder, {"layer1": "low", "layer4": "high"})
        self.pyramid = decoder.ASPP(2048, 256, (6, 12, 18), separable=False, dropout=0.1)
        self.reduce_low = modules.Conv2dReLU(256, 48, kernel_size=1)
        self.decoder = modules.Conv2dReLU(304, 256, kernel_size=3, padding=1)
        self.head = nn.Conv2d(256, 1, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.encoder(images)
        low = self.reduce_low(features["low"])
        high = F.interpolate(self.pyramid(features["high"]), low.shape[-2:], mode="bilinear")
        return F.interpolate(self.head(self.decoder(torch.cat((low, high), dim=1))), images.shape[-2:], mode="bilinear")


class Scored(nn.Module):
    """An encoder's four levels, each scored by a 1x1 convolution and added up at the images' size."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.scores = nn.ModuleList(nn.Conv2d(channels, 1, kernel_size=1) for channels in (32, 64, 160, 256))

    def forward(self, images: Tensor) -> Tensor:
        levels = self.encoder(images)[-4:]
        maps = [score(level) for score, level in zip(self.scores, levels, strict=True)]
        return torch.stack([F.interpolate(each, images.shape[-2:], mode="bilinear") for each in maps]).sum(dim=0)


def test_unet_as_monai():
    theirs, ours = MonaiUNet(8), UNet(8)
    copy_weights(ours, theirs)
    assert_learn_alike(ours, theirs)


def test_fcn_as_torchvision():
    ours, theirs = FCN("resnet50"), fcn_resnet50(weights=None, weights_backbone=None, num_classes=1, aux_loss=True)
    copy_weights(ours, theirs)
    assert_learn_alike(ours, theirs, ours.output_weights, size=32)


def test_deeplabv3plus_as_smp():
    ours, theirs = DeepLabV3Plus("resnet50", norm_momentum=0.1), SmpDeepLab()
    copy_weights(ours.encoder, theirs.encoder)
    copy_weights(ours.pyramid.mean, theirs.pyramid.convs[4])
    copy_weights(ours.pyramid.branches, theirs.pyramid.convs[:4])
    copy_weights(ours.pyramid.project, theirs.pyramid.project)
    for part in ("reduce_low", "decoder", "head"):
        copy_weights(getattr(ours, part), getattr(theirs, part))
    assert_learn_alike(ours, theirs, size=32)


def test_segformers_encoder_as_smp(tmp_path: Path):
    smp = pytest.importorskip("segmentation_models_pytorch")
    theirs = Scored(smp.encoders.get_encoder("mit_b0", weights=None))
    torch.save(theirs.encoder.state_dict(), tmp_path / "mit_b0.pt")
    ours = Scored(mix_transformer("b0", pretrained=True, weights=tmp_path / "mit_b0.pt"))
    copy_weights(theirs.scores, ours.scores)
    assert_learn_alike(ours, theirs)
