"""One run as a job of a sweep, in whatever process the launcher has it done."""

import gc
import logging
import os

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightning_seg.files import unwritable
from lightning_seg.machine.devices import take_gpu
from lightning_seg.runs import stop
from lightning_seg.runs.claim import ClaimedError
from lightning_seg.runs.failure import FailedElsewhereError, FailedRunError, UnwritableError
from lightning_seg.runs.fingerprint import flatten
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.run import train_or_find
from lightning_seg.runs.stop import StoppedError
from lightning_seg.sweep.orphans import ending_with_parent
from lightning_seg.terminal import share

log = logging.getLogger(__name__)
_runs = 0  # that this process has begun


def run_isolated(cfg: DictConfig) -> float | None:
    """:func:`run` for a grid or a search: a failure is logged, beside ``error.txt``, and nothing is kept of it.

    Hydra would keep the exception until the sweep ends, and with it the model and its tensors.

    Returns:
        The best validation Dice, or for this package's grid NaN where a run failed or was stopped, and ``None`` where
        it is another process's.

    Raises:
        UnwritableError: a grid's run failed because a disk takes no more files.
        FailedRunError: there is no validation Dice, and another sweeper than this package's grid wants one.
        KeyboardInterrupt: a stop was requested, and the sweeper would not know.
    """
    hydra = HydraConfig.get()
    grid = hydra.sweeper._target_.endswith(".GridSweeper")
    if stop.requested():
        return _stopped(grid)
    _spare_libraries()
    disk = None
    os.chdir(hydra.runtime.cwd)  # a launcher's worker may start elsewhere
    try:
        if "Joblib" in hydra.launcher._target_ or "Cores" in hydra.launcher._target_:
            take_gpu()
            share()
            with ending_with_parent():
                score, here = train_or_find(cfg)
        else:
            score, here = train_or_find(cfg)
        return score if here or not grid else None  # what another process has finished meanwhile is its own
    except (ClaimedError, FailedElsewhereError) as error:
        log.info("%s", error)
        if grid:
            return None
    except StoppedError as error:
        log.info("%s", error)
        return _stopped(grid)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        log.error("FAILED: %s (%s)", reason, RunFolder.of(flatten(cfg)).error)
        disk = unwritable(error)
        if disk or cfg.fail_fast:
            stop.ask_others()
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    # Raised here, where nothing of the run's own error hangs on it.
    if grid and disk:
        raise UnwritableError(disk)
    if grid:
        return float("nan")
    raise FailedRunError("no validation Dice")


def _spare_libraries() -> None:
    """Keep the collections after each run from going through the libraries, which takes 0.2 s.

    The second run does so again, since the first has loaded what is only loaded by training.
    """
    global _runs
    _runs += 1
    if _runs <= 2:
        gc.freeze()


def _stopped(grid: bool) -> float:
    """What a stopped run returns: only this package's grid looks whether a stop was requested."""
    if not grid:
        raise KeyboardInterrupt
    return float("nan")
