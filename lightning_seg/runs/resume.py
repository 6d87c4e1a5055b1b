"""Training that can be killed at any moment and ends, when started again, with the very same numbers."""

import logging
import pickletools
import time
import traceback
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lightning_seg.files import telling_file, write_atomic
from lightning_seg.runs import stop
from lightning_seg.runs.folder import RunFolder

log = logging.getLogger(__name__)

_PARTS = ("state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers", "epoch", "global_step")


def _problem(path: Path) -> str:
    """What is wrong with a checkpoint, or nothing.

    It is a zip file, in which torch notes the CRC-32 of each tensor and never looks at it: about 1 s a GB.
    """
    try:
        with ZipFile(path) as archive:
            if any(part.compress_type != ZIP_STORED for part in archive.infolist()):
                return "its parts are compressed"  # as torch never does, and a few bytes may then be gigabytes
            for part in archive.namelist():
                if part.endswith("data.pkl") and (name := _greedy(archive.read(part))):
                    return f"it makes a {name}"
            if (wrong := archive.testzip()) is not None:
                return f"{wrong} is not as it was written"
        content = torch.load(path, map_location="meta", weights_only=True, mmap=True)
    except Exception as error:  # whatever zipfile and torch stumble over
        return " ".join(f"{type(error).__name__} {error}".split())[:200]
    absent = [part for part in _PARTS if not isinstance(content, dict) or part not in content]
    return f"it lacks {absent[0]}" if absent else ""


def _greedy(pickled: bytes) -> str:
    """What torch would build without a look at its size, or nothing; all else is as large as the file."""
    for code, argument, _ in pickletools.genops(pickled):
        if code.name == "STACK_GLOBAL" or (code.name == "GLOBAL" and str(argument).endswith("bytearray")):
            return argument or "class"
    return ""


class DirectCheckpointIO(TorchCheckpointIO):
    """Checkpoints written straight to their path: Lightning's way there leads through memory and ``$TMPDIR``."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with telling_file(Path(path)) as file:
            torch.save(checkpoint, file)  # type: ignore[arg-type]  # which writes and flushes, no more


class ForeignCheckpointError(Exception):
    """A checkpoint is whole, but not of the training that was to go on from it."""


class ResumeCheckpoint(Callback):
    """Save the whole training state at an epoch's end, atomically, at most every ``every_minutes``, and on a stop.

    Must come last among the callbacks, so that it saves what the others know of the epoch; Lightning calls monitoring
    callbacks and metric-driven schedulers even later, so those have to act after validation. The epoch that ends
    training is not saved: resumed from the one before, training stops at the same place by itself.

    Args:
        folder: of the run.
        fingerprint: of its configuration, so that no other one resumes from it.
        every_minutes: the least time between two savings; 0 saves every epoch.

    Attributes:
        path: of the checkpoint.
        stopped: whether training ended here because a stop was requested.

    Raises:
        ClaimedError: at an epoch's end, if another process has taken the run over.
    """

    def __init__(self, folder: RunFolder, fingerprint: str, every_minutes: float) -> None:
        self.folder = folder
        self.path = folder.checkpoint(fingerprint)
        self.every_minutes = every_minutes
        self.saved_at = time.monotonic()
        self.stopped = False

    def usable(self) -> Path | None:
        """The checkpoint to go on from; one that is damaged is set aside, and training begins anew."""
        if not self.path.is_file():
            return None
        problem = _problem(self.path)
        if not problem:
            return self.path
        self._set_aside(problem)
        return None

    def refuse_foreign(self, error: Exception) -> None:
        """Look whether a training that went on from the checkpoint ended since that is of another one.

        Raises:
            ForeignCheckpointError: so it is; the checkpoint is set aside.
        """
        of_machine = isinstance(error, OSError | MemoryError | torch.OutOfMemoryError)
        frames = traceback.extract_tb(error.__traceback__)
        if not of_machine and any("checkpoint_connector" in frame.filename for frame in frames):  # Lightning's
            self._set_aside(" ".join(f"{type(error).__name__} {error}".split())[:200])
            raise ForeignCheckpointError from error

    def _set_aside(self, problem: str) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged")
        log.warning(
            "%s is damaged (%s): it is set aside as %s, and training begins anew.", self.path, problem, aside.name
        )
        self.path.replace(aside)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        trainer.strategy.checkpoint_io = DirectCheckpointIO()
        for partial in self.folder.partial_files():  # each as large as a checkpoint
            partial.unlink(missing_ok=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stop.listen()  # Lightning's own handler would break the epoch off

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stop.listen()  # or the test

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.folder.refuse_lost()
        if trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs:
            return
        self.stopped = stop.requested()
        if self.stopped or time.monotonic() - self.saved_at >= 60 * self.every_minutes:
            write_atomic(self.path, trainer.save_checkpoint)
            self.saved_at = time.monotonic()
        trainer.should_stop = self.stopped
