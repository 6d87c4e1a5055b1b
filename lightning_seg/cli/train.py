"""The training application: one run, or with ``-m`` a grid, from the command line."""

import errno
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lightning_seg.cli.help import with_comments
from lightning_seg.cli.shared import loading
from lightning_seg.config.arguments import prepared
from lightning_seg.config.compose import CONFIG_DIR, explain
from lightning_seg.config.plugins import import_from_working_directory
from lightning_seg.errors import UserError
from lightning_seg.files import unwritable
from lightning_seg.machine.processes import find_modules_as_here
from lightning_seg.runs.stop import INTERRUPTED, INTERRUPTION, StoppedError
from lightning_seg.terminal import on_errors
from lightning_seg.wording import printable

# The preset `hydra/launcher=ray` shares its name with the plugin's own configuration, on purpose.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/ray' is validated against")
log = logging.getLogger(__name__)
os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, instead of printing in its own way and exiting


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="config")
def app(cfg: DictConfig) -> float | None:
    """Train one run and return its best validation Dice; in grids see :mod:`lightning_seg.sweep.worker`."""
    # Here, so that `--help` and a finished grid need no torch.
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        with loading():
            from lightning_seg.sweep.worker import run_isolated

        return run_isolated(cfg)
    try:
        return _run(cfg)
    except Exception as error:
        fail(error)  # here: Hydra would print the traceback first


def _run(cfg: DictConfig) -> float:
    """Train one run, and say what and where before anything is waited for, unless its data cannot be used."""
    from lightning_seg.config.datasets import check_datasets
    from lightning_seg.config.rules import check_training
    from lightning_seg.runs.fingerprint import flatten
    from lightning_seg.runs.folder import RunFolder
    from lightning_seg.runs.position import title

    check_training(cfg)
    flat = flatten(cfg)
    folder = RunFolder.of(flat)
    if folder.record() is None or cfg.rerun:
        check_datasets([flat])
    place = printable(folder.path)
    log.info("%s: results go to %s", title(cfg), place)
    with loading():
        from lightning_seg.runs.run import run
    score = run(cfg)
    print(f"results: {place}")
    return score


def main() -> None:
    """Entry point of ``train.py`` and ``lightning-seg train``."""
    find_modules_as_here()
    import_from_working_directory()
    arguments = prepared(sorted(sys.argv[1:], key=_is_override))  # Hydra takes no flag between two overrides
    # Optuna's plugin minimizes, and Hydra refuses a preset that has its name.
    sys.argv[1:] = ["hydra/sweeper=search" if each == "hydra/sweeper=optuna" else each for each in arguments]
    try:
        if {"--help", "-h"} & {*arguments}:
            program = sys.argv[0] if sys.argv[0].startswith("lightning-seg") else f"python {sys.argv[0]}"
            print(with_comments(app, arguments, program), end="")
            return
        app()
    except Exception as error:
        fail(error)
    except KeyboardInterrupt:
        print(INTERRUPTION, file=sys.stderr)
        sys.exit(INTERRUPTED)


def train_with(arguments: Sequence[str]) -> int:
    """``train.py`` with these arguments, in this process; returns its exit code."""
    before = sys.argv
    sys.argv = ["train.py", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        sys.argv = before
    return 0


def _is_override(argument: str) -> bool:
    return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))


def fail(error: Exception) -> NoReturn:
    """Print one sentence and exit with code 2; with LIGHTNING_SEG_DEBUG=1 let the traceback through."""
    if os.environ.get("LIGHTNING_SEG_DEBUG") == "1":
        raise error
    if isinstance(error, BrokenPipeError):  # `| head` has read enough
        os._exit(1)
    ours = ("Unknown plugin class", "Config group override must be")
    if isinstance(error, HydraException | OmegaConfBaseException) or any(text in str(error) for text in ours):
        sentence = explain(error)
    elif isinstance(error, StoppedError):
        print(printable(error, lines=True), file=sys.stderr)
        sys.exit(INTERRUPTED)
    elif isinstance(error, UserError):
        sentence = str(error)
    else:
        sentence = _of_disk(error) or f"{type(error).__name__}: {error} (LIGHTNING_SEG_DEBUG=1 shows where)"
    print(on_errors(f"error: {printable(sentence, lines=True)}"), file=sys.stderr)
    sys.exit(2)


# Files that may not be written, names that are too long, and folders in a file's place or the other way round.
_NO_PLACE = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP)


def _of_disk(error: Exception) -> str | None:
    """A sentence on a disk that takes no more, or a name that it does not take; ``None`` for other errors."""
    reason = unwritable(error)
    if reason is None and isinstance(error, OSError) and error.errno in _NO_PLACE:
        reason = os.strerror(error.errno).lower()
    if reason is None:
        return None
    where = error.filename if isinstance(error, OSError) and error.filename is not None else "A file"
    return f"{where} cannot be written ({reason}); make room there, or name another place."


if __name__ == "__main__":
    main()
