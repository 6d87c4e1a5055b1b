"""What a run of one network costs on one device, as it was measured; this module needs no torch."""

from dataclasses import dataclass

STEPS, EVAL_BATCHES = 3, 2  # of the short epochs that are timed
TIMED_SECONDS, MOST_EPOCHS = 3.0, 20  # epochs are timed for so long, after one that warms up; one at least
MOST_SECONDS = 30.0  # of training, after which what has been measured by then is used


@dataclass(frozen=True)
class Timing:
    """What a run of one network costs on one device, in seconds and bytes.

    Attributes:
        setup: from the configuration to the first step, and whatever the first epoch takes more than the others if
            ``torch.compile`` is on.
        train_step: of one training batch, from gathering it to the optimizer's step.
        eval_batch: of one validation or test batch.
        epoch_end: an epoch's time beside its batches: metrics, best weights, tables.
        peak_bytes: the most memory taken: of the GPU, or of the process beyond what Python and libraries take.
        device_bytes: all memory of the GPU; 0 on a CPU.
        device: its name.
        parameters: of the network.
        steps: how many training steps were timed; fewer than ``STEPS`` where the network is slow.
    """

    setup: float
    train_step: float
    eval_batch: float
    epoch_end: float
    peak_bytes: int
    device_bytes: int
    device: str
    parameters: int
    steps: int = STEPS
