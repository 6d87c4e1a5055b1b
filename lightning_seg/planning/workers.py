"""How many runs a launcher has under way at once, as far as that is known before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_seg.machine.devices import visible_gpus
from lightning_seg.planning.schedule import LAUNCHERS, Launcher
from lightning_seg.sweep.cells import loaded_grid
from lightning_seg.wording import counted

_NONE = Launcher("")  # one run after the other


@dataclass(frozen=True)
class Workers:
    """What shares the runs of a grid.

    Attributes:
        count: devices that work side by side; several runs on one device share its speed and count as one.
        launcher: what it adds to the runs.
        remark: a sentence on what is supposed; empty where nothing is.
    """

    count: int = 1
    launcher: Launcher = _NONE
    remark: str = ""


def workers_of(arguments: Sequence[str]) -> Workers:
    """The workers of ``train.py -m`` with these arguments.

    Raises:
        UserError: an argument is wrong.
    """
    if not any(argument.startswith("hydra/launcher=") for argument in arguments):
        return Workers()
    local, slurm = LAUNCHERS
    with loaded_grid(list(arguments)) as (_, config, _):
        launcher = config.hydra.launcher
        target = str(launcher.get("_target_", ""))
        if "Joblib" in target:
            count = 1 if config.trainer.accelerator == "cpu" else max(1, len(visible_gpus()))
            if count == 1:
                return Workers(1, local, "What runs gain side by side on one device is not counted.")
            return Workers(count, local, f"On {count} devices of this machine.")
        if "Slurm" in target:
            count = int(launcher.array_parallelism)
            return Workers(
                count, slurm, f"If the cluster runs {counted(count, 'job')} at once (hydra.launcher.array_parallelism)."
            )
        if "Ray" in target:
            return Workers(1, local, "As if Ray had one worker; how many it will have is not known here.")
    return Workers()
