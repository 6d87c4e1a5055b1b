"""Building blocks that more than one network uses."""

from torch import Tensor, nn


class ConvBNReLU(nn.Sequential):
    """Convolution, batch normalisation, ReLU; "same" padding at stride 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        padding = dilation * (kernel_size // 2)
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class ConvBNPReLU(nn.Sequential):
    """3x3 convolution without bias, batch normalisation (eps 1e-3), PReLU with one slope a channel."""

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation, groups=groups, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-3),
            nn.PReLU(out_channels),
        )


class SqueezeExcite(nn.Module):
    """Channel attention (Hu et al. 2018, arXiv:1709.01507), without biases."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        narrow = max(1, channels // reduction)
        self.gate = nn.Sequential(
            nn.Linear(channels, narrow, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(narrow, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Scale each channel of ``features`` ``(N, C, H, W)`` by a weight in (0, 1)."""
        return features * self.gate(features.mean(dim=(2, 3)))[:, :, None, None]
