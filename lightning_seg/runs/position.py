"""What a run is called in the log, and where its sweep stands.

That is handed to runs through the environment, which reaches a launcher's worker processes too.
"""

import json
import os
import time

from omegaconf import DictConfig

from lightning_seg.wording import duration

_VARIABLE = "LIGHTNING_SEG_POSITION"


def announce_position(number: int, cells: int, started: float, before: int = 0) -> None:
    """Say that cell ``number`` (from 0) of ``cells`` is next, and that ``before`` were done at the time ``started``."""
    os.environ[_VARIABLE] = json.dumps([number, cells, started, before])


def position() -> str:
    """``"[18/80, 2 h 10 min left] "`` inside a sweep, else nothing."""
    if _VARIABLE not in os.environ:
        return ""
    number, cells, started, before = json.loads(os.environ[_VARIABLE])
    if not number:
        return f"[1/{cells}] "
    left = (time.time() - started) / (number - before) * (cells - number)
    return f"[{number + 1}/{cells}, {duration(left)} left] "


def title(cfg: DictConfig) -> str:
    """Sweep position, dataset, network, loss and repeat; of a trial, its settings too."""
    trial = "" if cfg.test else f"{cfg.study} "
    return f"{position()}{cfg.dataset.name} {cfg.model.name} {cfg.loss.name} {trial}repeat {cfg.repeat}"
