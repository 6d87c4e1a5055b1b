"""Small networks and losses that do on command what goes wrong in practice."""

import errno
import math
import os
import signal
import time
import weakref
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.metrics import confusion_counts


class Tiny(nn.Sequential):
    """A network with batch normalisation and dropout, whose state and randomness must survive a restart."""

    alive: ClassVar[weakref.WeakSet[nn.Module]] = weakref.WeakSet()
    training_version = 3

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.Conv2d(3, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout2d(0.2),
            nn.Conv2d(width, 1, 1),
        )
        self.alive.add(self)


class Deadly(nn.Module):
    """Cross-entropy that kills its process with SIGKILL at the training step ``DIE_AT_STEP``, from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.step += 1
            if self.step == int(os.environ.get("DIE_AT_STEP", 0)):
                os.kill(os.getpid(), signal.SIGKILL)
        return F.binary_cross_entropy_with_logits(logits, targets)


class Failing(nn.BCEWithLogitsLoss):
    """Cross-entropy that raises an error in the second epoch, unless the environment says ``REPAIRED``."""

    step = 0

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        self.step += torch.is_grad_enabled()
        if self.step == 3 and not os.environ.get("REPAIRED"):
            raise self.error()
        return super().forward(logits, targets)

    def error(self) -> Exception:
        return ArithmeticError("the loss cannot be computed")


class Starving(Failing):
    """The same for a device without memory."""

    def error(self) -> Exception:
        return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


class Filling(Failing):
    """The same where a disk is full, as a library says it that does not say why itself."""

    def error(self) -> Exception:
        error = RuntimeError("the file cannot be written")
        error.__context__ = OSError(errno.ENOSPC, "No space left on device")
        return error


class Pausing(nn.BCEWithLogitsLoss):
    """Cross-entropy whose first step waits until all processes of a meeting have come to theirs.

    The environment names the folder where they meet, and this process there.
    """

    MEETING = "MEETING"

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        meeting = Path(os.environ[self.MEETING])
        (meeting / f"{os.environ['WHO']}.here").touch()
        deadline = time.monotonic() + 60
        while len(list(meeting.glob("*.here"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return super().forward(logits, targets)


def terminating_counts(logits: Tensor, masks: Tensor) -> Tensor:
    """Confusion counts whose seventh call asks the process to end: of 24 images, 5 are validated before the test."""
    global _calls
    _calls += 1
    if _calls == 7:
        os.kill(os.getpid(), signal.SIGTERM)
    return confusion_counts(logits, masks)


_calls = 0


class Diverging(nn.BCEWithLogitsLoss):
    """Cross-entropy that is no longer finite in the second epoch."""

    step = 0

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        self.step += torch.is_grad_enabled()
        return super().forward(logits, targets) * (math.nan if self.step > 2 else 1)
