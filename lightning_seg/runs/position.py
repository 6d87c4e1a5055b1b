"""What a run is called in the log, and where its sweep stands.

That is handed to runs through the environment, which reaches a launcher's worker processes too.
"""

import json
import os

from omegaconf import DictConfig

from lightning_seg.wording import duration

_VARIABLE = "LIGHTNING_SEG_POSITION"


def announce_position(number: int, cells: int, left: float | None = None) -> None:
    """Say that cell ``number`` (from 0) of ``cells`` is next, and how many seconds are left, where that is known."""
    os.environ[_VARIABLE] = json.dumps([number, cells, left])


def position() -> str:
    """``"[18/80, 2 h 10 min left] "`` inside a sweep, else nothing."""
    if _VARIABLE not in os.environ:
        return ""
    number, cells, left = json.loads(os.environ[_VARIABLE])
    return f"[{number + 1}/{cells}{'' if left is None else f', {duration(left)} left'}] "


def title(cfg: DictConfig) -> str:
    """Sweep position, dataset, network, loss and repeat; of a trial, its settings too."""
    trial = "" if cfg.test else f"{cfg.study} "
    return f"{position()}{cfg.dataset.name} {cfg.model.name} {cfg.loss.name} {trial}repeat {cfg.repeat}"
