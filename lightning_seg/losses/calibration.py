"""Cross-entropy that keeps a network from being surer than its labels."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.losses.inputs import require, to_computing_dtype


class NACLLoss(nn.Module):
    """Cross-entropy with logits held near the labels around them: NACL (Murugesan et al. 2023, arXiv:2303.06268).

    The paper adds to the cross-entropy alpha times the mean distance of each class's logit from the share of that class
    among the pixel's neighbours. A single logit x is the difference of two such logits, which share out the distance:
    ``bce + alpha / 2 mean(|x - (2 t - 1)|)``, t being the lesion's share in the square around the pixel. Logits far
    from [-1, 1] cost, the right ones too, so the loss is least near the truth and not at infinite logits. An empty mask
    has t = 0 everywhere.

    Args:
        alpha: weight of the penalty, >= 0; the paper's is 0.1.
        kernel_size: side of the square of neighbours in pixels, odd; the paper's is 3. At the image's border the
            neighbours inside it count.
        label_smoothing: how much of each label the cross-entropy gives to the other class (Szegedy et al. 2016), in
            [0, 1): 0.1 turns 0 and 1 into 0.05 and 0.95.

    Raises:
        UserError: a parameter is out of range.
    """

    def __init__(self, alpha: float = 0.1, kernel_size: int = 3, label_smoothing: float = 0.0) -> None:
        super().__init__()
        require(alpha >= 0 and math.isfinite(alpha), f"alpha must be a number >= 0, not {alpha}.")
        require(
            kernel_size == int(kernel_size) and kernel_size % 2 == 1 and kernel_size > 0,
            f"kernel_size must be an odd number of pixels, not {kernel_size}.",
        )
        require(0 <= label_smoothing < 1, f"label_smoothing must be in [0, 1), not {label_smoothing}.")
        self.alpha = alpha
        self.kernel_size = int(kernel_size)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = to_computing_dtype(logits, targets)
        shares = F.avg_pool2d(targets, self.kernel_size, 1, self.kernel_size // 2, count_include_pad=False)
        labels = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        penalty = (logits - (2 * shares - 1)).abs().mean() / 2
        return F.binary_cross_entropy_with_logits(logits, labels) + self.alpha * penalty

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, kernel_size={self.kernel_size}, label_smoothing={self.label_smoothing}"
