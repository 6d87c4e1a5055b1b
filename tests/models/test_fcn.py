"""FCN's shortcuts give the numbers of the long way."""

import pytest
import torch
import torch.nn.functional as F

from lightning_seg.errors import UserError
from lightning_seg.models import FCN
from lightning_seg.models.fcn import PADDING, BilinearUpsample, vgg_features


@pytest.mark.parametrize("size", [(1, 2), (33, 38), (43, 48)])
def test_constant_frame_is_put_back(size: tuple[int, int]):
    """As if the image had been padded by 100 pixels in full, whatever its size modulo 8."""
    torch.manual_seed(0)
    network = FCN(hidden=16).eval()
    images = torch.randn(1, 3, *size)
    reduced = network.encoder.features[0].padding[0]
    assert reduced < PADDING
    whole = features = F.pad(images, [PADDING - reduced] * 4)
    for layer in network.encoder.features[:17]:
        features = layer(features)
    with torch.no_grad():
        restored = vgg_features(network.encoder, images)[0]
    assert whole.shape[-1] == size[1] + 2 * (PADDING - reduced)
    torch.testing.assert_close(restored, features.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_transposed_convolution_interpolates(factor: int):
    scores = torch.randn(2, 3, 7, 6)
    expected = F.interpolate(scores, scale_factor=factor, mode="bilinear")
    # Half a step beyond the outermost scores, interpolation repeats them and the convolution fades out.
    margin = factor // 2
    actual = BilinearUpsample(factor)(scores)[..., margin:-margin, margin:-margin]
    inner = (..., slice(margin, -margin), slice(margin, -margin))
    torch.testing.assert_close(actual[inner], expected[inner])


@pytest.mark.parametrize("variant", ["32s", "16s", "8s", "8s_at_once"])
def test_offsets_follow_from_the_layers(variant: str):
    """Where the image's first pixel lies on each grid, carried through padding, kernels and strides."""
    with torch.device("meta"):
        network = FCN(variant, hidden=16)
    origin, pools = float(PADDING - 1), []
    for layer in network.encoder.features:
        if isinstance(layer, torch.nn.MaxPool2d):
            origin = (origin - 0.5) / 2
            pools.append(origin)
    origin -= (network.encoder.pre_logits.fc1.kernel_size[0] - 1) / 2
    for offset, pool in zip(network.head.skip_offsets, (pools[3], pools[2]), strict=False):
        origin = 2 * origin + 1.5
        assert pool - origin == offset
    factor = network.head.upsample_to_image.factor
    assert factor == 32 // 2 ** len(network.head.skip_offsets)
    assert factor * origin + factor - 0.5 == network.head.image_offset


def test_unknown_variant():
    with pytest.raises(UserError, match=r"model\.variant=4s"):
        FCN("4s")


def test_a_cpu_never_computes_the_deepest_scores_in_bfloat16():
    """Which ends the process where it has AMX; the other layers are."""
    dtypes = []
    head = FCN(hidden=16).head
    head.score.register_forward_hook(lambda _, inputs, output: dtypes.append((inputs[0].dtype, output.dtype)))
    features = [
        torch.rand(1, channels, size, size, requires_grad=True) for channels, size in ((256, 40), (512, 20), (4096, 3))
    ]
    with torch.autocast("cpu", torch.bfloat16):
        [scores] = head(features, torch.rand(1, 3, 32, 32))
        assert head.skip_scores[0](features[1]).dtype == torch.bfloat16
    scores.float().sum().backward()
    assert dtypes == [(torch.float32, torch.float32)] and features[2].grad.isfinite().all()
