"""Training commands run for real: in child processes that can be killed, at the price of a fork."""

import importlib
import io
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; children inherit it
os.environ["PYTHONSAFEPATH"] = "1"  # as commands set it that run in this process, so that no order of tests matters
# Children find this ``tests``, and not that of an installed package (autorank has one at its top).
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
)

import psutil
import pytest
import torch

from lightning_seg.training.logs import StandardError

torch.set_num_threads(1)

# A shell that starts the suite in the background has Ctrl-C ignored, and children that are sent it would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

CONF = Path(__file__).parent / "conf"  # of the parts in tests/parts.py
SMALL = (
    f"--config-dir={CONF}",
    "trainer=cpu",
    "trainer.max_epochs=2",
    "data.image_size=32",
    "dataset.count=24",
    "model=tiny",
    "logger=csv",
)
PATIENCE_SECONDS = 240  # for what takes seconds where nothing else runs

# Children are forked from a server that has imported torch and Lightning once, and nothing else has happened to it.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["lightning_seg.cli.train", "lightning_seg.runs.run", "tests.parts"])
# Files that take minutes come first, so that no worker is left with one while the others have nothing more to do.
LONG = ("tests/docs/test_commands.py", "tests/sweep/test_launchers.py", "tests/inference/test_export.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in LONG)


@pytest.fixture(scope="session", autouse=True)
def _server() -> None:
    """Start the server before any command that runs in this process starts one that blocks Ctrl-C."""
    forkserver.ensure_running()


def has_server(pid: int) -> bool:
    """Whether this process has started one that workers are forked from."""
    processes = psutil.process_iter(["ppid", "cmdline"])  # which passes over those that end meanwhile
    return any(each.info["ppid"] == pid and "forkserver" in " ".join(each.info["cmdline"] or ()) for each in processes)


def call_main(arguments: list[str]) -> int:
    """``lightning_seg.cli.train.main`` with these command-line arguments; its exit code."""
    from lightning_seg.cli.train import main

    sys.argv = ["train.py", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def _command_line(arguments: tuple[str, ...], small: bool) -> list[str]:
    """All arguments, flags first, where argparse wants them."""
    return sorted([*(SMALL if small else ()), *arguments], key=lambda argument: not argument.startswith("-"))


def _child(
    arguments: list[str], directory: Path, environment: dict[str, str], constants: dict[str, Any], output: Path
) -> None:
    os.setsid()
    os.chdir(directory)
    os.environ.pop("WANDB_MODE", None)
    os.environ.update(environment)
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        target = os.open(output.with_suffix(f".{number}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, number)
        stream.flush()
    # Python's own streams stay on the two files; buffers are written line by line, so that a kill loses nothing.
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    sys.exit(call_main(arguments))


def _is_told(code: int, message: str) -> bool:
    """Whether a command that was refused said so in a sentence: errors of the program's own end with the same code."""
    return code != 2 or "LIGHTNING_SEG_DEBUG=1 shows where" not in message


class Training:
    """A training command in a process of its own."""

    def __init__(
        self,
        arguments: list[str],
        directory: Path,
        environment: dict[str, str],
        constants: dict[str, Any],
        output: Path,
    ) -> None:
        self._output = output
        self.process: Any = PROCESSES.Process(
            target=_child, args=(arguments, directory, environment, constants, output)
        )
        self.process.start()

    @property
    def stdout(self) -> str:
        return self._output.with_suffix(".1").read_text()

    @property
    def stderr(self) -> str:
        return self._output.with_suffix(".2").read_text()

    def wait(self) -> int:
        """The exit code, negative for a signal."""
        self.process.join(PATIENCE_SECONDS)
        if self.process.exitcode is None:
            self.kill()
            pytest.fail(f"still running after {PATIENCE_SECONDS} s:\n{self.stderr}")
        return self.process.exitcode

    def kill(self) -> None:
        """SIGKILL, to the process and to all that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            self.process.kill()
        self.process.join()

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """Wait for a condition; false if the process ends before it holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if not self.process.is_alive():
                return condition()
            assert time.monotonic() < deadline, f"nothing happened:\n{self.stderr}"
            time.sleep(0.01)
        return True


class Train:
    """Runs training commands in a folder of their own, at the smallest size."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {"HOME": str(directory), "NETRC": str(directory / "netrc"), "WANDB_API_KEY": ""}
        self._trainings: list[Training] = []

    def start(
        self,
        *arguments: str,
        small: bool = True,
        environment: dict[str, str] | None = None,
        constants: dict[str, Any] | None = None,
    ) -> Training:
        """Start ``train.py`` with these arguments, and with other values of modules' constants, and go on."""
        training = Training(
            _command_line(arguments, small),
            self.directory,
            self.environment | (environment or {}),
            constants or {},
            self.directory / f"process{len(self._trainings)}",
        )
        self._trainings.append(training)
        return training

    def __call__(self, *arguments: str, code: int = 0, **options: Any) -> Training:
        """Run ``train.py`` with these arguments to its end, which must have this exit code."""
        training = self.start(*arguments, **options)
        assert training.wait() == code, training.stderr
        assert _is_told(code, training.stderr), training.stderr
        return training

    def here(self, *arguments: str, small: bool = True) -> tuple[int, str, str]:
        """Run in this process: exit code, standard output and standard error."""
        out, err, before, argv = io.StringIO(), io.StringIO(), Path.cwd(), sys.argv
        os.chdir(self.directory)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = call_main(_command_line(arguments, small))
        finally:
            os.chdir(before)
            sys.argv = argv
        assert _is_told(code, err.getvalue()), err.getvalue()
        return code, out.getvalue(), err.getvalue()

    def stop(self) -> None:
        for training in self._trainings:
            if training.process.is_alive():
                training.kill()


@pytest.fixture(autouse=True)
def quiet_afterwards() -> Iterator[None]:
    """Take away what a command that ran in this process logs with: later tests would be told of their own commands."""
    yield
    for handler in [each for each in logging.root.handlers if isinstance(each, StandardError)]:
        logging.root.removeHandler(handler)


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Train]:
    runner = Train(tmp_path)
    yield runner
    runner.stop()
