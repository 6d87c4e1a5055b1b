"""ColonSegNet (Jha et al. 2021, IEEE Access 9:40496, doi:10.1109/ACCESS.2021.3063716)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models.base import SegmentationModel, check_multiple
from lightning_seg.models.blocks import ConvBNReLU, SqueezeExcite


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a 1x1 shortcut; channel attention sits on the shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            ConvBNReLU(in_channels, out_channels, bias=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=1),
            nn.BatchNorm2d(out_channels),
            SqueezeExcite(out_channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.main(features) + self.shortcut(features), inplace=True)


class Encoder(nn.Module):
    """One residual block at the input's resolution and one, after a strided convolution, at half of it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = ResidualBlock(in_channels, out_channels)
        self.stride = ConvBNReLU(out_channels, out_channels, stride=2, bias=True)
        self.second = ResidualBlock(out_channels, out_channels)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        full = self.first(features)
        return full, self.second(self.stride(full))


def upsample(in_channels: int, out_channels: int, factor: int) -> nn.ConvTranspose2d:
    """A learned 4x4 upsampling by ``factor`` 2 or 4."""
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=factor, padding=(4 - factor) // 2)


class ColonSegNet(SegmentationModel):
    """Two encoders of 64 and 256 channels and two decoders that reuse their features at four places.

    At the default width there are 5,014,049 parameters. The authors' second max-pooling, whose result they
    drop, is left out.

    Args:
        width: channels of the first encoder, an even number; 64 in the paper, 8 for small runs.
        in_channels: channels of the input.
        classes: logit maps of the output.

    Raises:
        UserError: a ``width`` that is not even.
    """

    size_multiple = 8

    def __init__(self, width: int = 64, in_channels: int = 3, classes: int = 1) -> None:
        super().__init__()
        check_multiple("width", width, of=2)
        self.encoder1 = Encoder(in_channels, width)
        self.encoder2 = Encoder(width, 4 * width)
        # Decoder 1 joins the half-resolution features, decoder 2 the full-resolution ones.
        self.up1 = upsample(4 * width, 2 * width, factor=4)
        self.fuse1 = ResidualBlock(3 * width, 2 * width)
        self.up2 = upsample(4 * width, 2 * width, factor=2)
        self.fuse2 = ResidualBlock(4 * width, 2 * width)
        self.up3 = upsample(2 * width, width, factor=2)
        self.fuse3 = ResidualBlock(2 * width, width)
        self.up4 = upsample(width, width // 2, factor=2)
        self.fuse4 = ResidualBlock(width + width // 2, width // 2)
        self.head = nn.Conv2d(width // 2, classes, kernel_size=1)

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        full1, half1 = self.encoder1(images)
        full2, half2 = self.encoder2(F.max_pool2d(half1, 2))
        features = self.fuse1(torch.cat((self.up1(half2), half1), dim=1))
        features = self.fuse2(torch.cat((features, self.up2(full2)), dim=1))
        features = self.fuse3(torch.cat((self.up3(features), full1), dim=1))
        features = self.fuse4(torch.cat((features, self.up4(half1)), dim=1))
        return (self.head(features),)
