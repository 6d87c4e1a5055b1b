"""DUCK-Net (Dumitru et al. 2023, Scientific Reports 13:9803, doi:10.1038/s41598-023-36940-5)."""

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.base import SegmentationModel, check_multiple


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with Keras's constants."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def conv_relu_bn(
    in_channels: int, out_channels: int, kernel_size: int | tuple[int, int] = 3, padding: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution, ReLU and only then batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation),
        nn.ReLU(inplace=True),
        batch_norm(out_channels),
    )


class Residual(nn.Module):
    """Two 3x3 convolutions around a 1x1 shortcut with ReLU; the sum is normalised."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(conv_relu_bn(in_channels, out_channels), conv_relu_bn(out_channels, out_channels))
        self.shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size=1), nn.ReLU(inplace=True))
        self.norm = batch_norm(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        # Sums go into the output of a batch normalisation, which its backward pass does not need.
        return self.norm(self.main(features).add_(self.shortcut(features)))


def residuals(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    """A chain of ``count`` residual units, the first of which changes the channels."""
    widths = [in_channels] + [out_channels] * count
    return nn.Sequential(*(Residual(a, b) for a, b in itertools.pairwise(widths)))


def dilated(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    """A chain of ``count`` 3x3 convolutions of dilations 1, 2, 3, ..."""
    widths = [in_channels] + [out_channels] * count
    return nn.Sequential(
        *(conv_relu_bn(a, b, padding=d, dilation=d) for d, (a, b) in enumerate(itertools.pairwise(widths), start=1))
    )


def separated(in_channels: int, out_channels: int) -> nn.Sequential:
    """A 1x6 and a 6x1 convolution; of the five pixels of padding three are at the right or bottom."""
    return nn.Sequential(
        nn.ZeroPad2d((2, 3, 0, 0)),
        conv_relu_bn(in_channels, out_channels, (1, 6), padding=0),
        nn.ZeroPad2d((0, 0, 2, 3)),
        conv_relu_bn(out_channels, out_channels, (6, 1), padding=0),
    )


class DUCK(nn.Module):
    """Deep Understanding Convolutional Kernel: the sum of six branches with fields of view of different sizes."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm_in = batch_norm(in_channels)
        self.branches = nn.ModuleList(
            [
                dilated(in_channels, out_channels, 3),
                dilated(in_channels, out_channels, 2),
                *(residuals(in_channels, out_channels, count) for count in (1, 2, 3)),
                separated(in_channels, out_channels),
            ]
        )
        self.norm_out = batch_norm(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        features = self.norm_in(features)
        total = self.branches[0](features)
        for branch in self.branches[1:]:
            total.add_(branch(features))
        return self.norm_out(total)


def halve(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A linear 2x2 convolution of stride 2."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=2, stride=2)


class DUCKNet(SegmentationModel):
    """DUCK-Net: DUCK blocks over five halvings, beside a path of the image halved linearly, joined by sums.

    The authors' network ends in a sigmoid, which is left to the loss here. There are 38,867,668 parameters with
    17 filters and 155,303,507 with 34. Training needs more than one pixel a channel at the bottom, thus a batch
    of two at 32x32.

    Args:
        filters: channels at full resolution, which double at each halving; 17 and 34 in the paper, fewer for
            small runs.
        in_channels: channels of the input.
        classes: logit maps of the output.

    Raises:
        UserError: ``filters`` below 1.
    """

    size_multiple = 32

    def __init__(self, filters: int = 17, in_channels: int = 3, classes: int = 1) -> None:
        super().__init__()
        check_multiple("filters", filters)
        widths = [filters * 2**level for level in range(6)]
        self.plain = nn.ModuleList(halve(a, b) for a, b in itertools.pairwise([in_channels, *widths[1:]]))
        self.down = nn.ModuleList(halve(a, b) for a, b in itertools.pairwise(widths))
        self.encoder = nn.ModuleList([DUCK(in_channels, filters), *(DUCK(width, width) for width in widths[1:5])])
        self.bottom = nn.Sequential(residuals(widths[5], widths[5], 2), residuals(widths[5], widths[4], 2))
        # Each block ends with the channels of the level above, so that its output can be added to the skip there.
        self.decoder = nn.ModuleList(DUCK(widths[level], widths[max(level - 1, 0)]) for level in (4, 3, 2, 1, 0))
        self.head = nn.Conv2d(filters, classes, kernel_size=1)
        self._initialise()

    def _initialise(self) -> None:
        """As the authors' Keras layers do: He's uniform inside the blocks, Glorot's outside."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:  # all have one
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        for conv in (*self.plain, *self.down, self.head):
            nn.init.xavier_uniform_(conv.weight)

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        plain, features = images, self.encoder[0](images)
        skips = [features]
        for halve_plain, halve_features, block in zip(
            self.plain, self.down, [*self.encoder[1:], self.bottom], strict=True
        ):
            plain = halve_plain(plain)
            features = block(halve_features(features) + plain)
            skips.append(features)
        features = skips.pop()
        for block in self.decoder:
            features = block(F.interpolate(features, scale_factor=2, mode="nearest") + skips.pop())
        return (self.head(features),)
