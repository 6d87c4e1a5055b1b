"""What a task is, what it may use, and what is kept of it."""

import json
import os
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lightning_seg.files import write_json

UNFINISHED = 75  # the exit code that asks for the same line again
MOST_ATTEMPTS = 2


@dataclass(frozen=True)
class Context:
    """Where tasks compute, and at what size.

    Attributes:
        device: "cuda" or "cpu".
        miniature: small networks, small images, few rounds.
        use_mps: whether the task of runs side by side may start NVIDIA's multi-process service.
        results: of the tasks before, by name.
    """

    device: str
    miniature: bool
    use_mps: bool = False
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Pixels of an image's side."""
        return 32 if self.miniature else 224

    @property
    def batch(self) -> int:
        """Images of a batch."""
        return 2 if self.miniature else 8

    @property
    def on_gpu(self) -> bool:
        """Whether the device is CUDA's."""
        return self.device == "cuda"

    def wait(self) -> None:
        """Wait until the device has done what it was given."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def describe(self) -> dict[str, Any]:
        """The device and what drives it."""
        about: dict[str, Any] = {"torch": torch.__version__, "miniature": self.miniature}
        if not self.on_gpu:
            return about | {"device": f"CPU, {torch.get_num_threads()} threads", "proves_cuda": False}
        properties = torch.cuda.get_device_properties(0)
        return about | {
            "device": properties.name,
            "proves_cuda": True,
            "GiB": properties.total_memory / 2**30,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }


@dataclass(frozen=True)
class Task:
    """A check or a measurement.

    Attributes:
        name: unique; ``kind:what``.
        run: computes a JSON object. ``ok`` in it says whether what was checked is right.
    """

    name: str
    run: Callable[[Context], dict[str, Any]]


class Book:
    """The results in a file, written after each task.

    Args:
        path: of the file.
        context: its device must be the one of the results that are there.
    """

    def __init__(self, path: Path, context: Context) -> None:
        self.path = path
        self._lock = threading.Lock()
        about = context.describe()
        self.content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"about": about, "tasks": {}}
        if self.content["about"] != about:
            raise SystemExit(f"{path} holds results of {self.content['about']}; name another folder with --out.")
        context.results.update(self.content["tasks"])
        self._context = context

    def is_done(self, task: Task) -> bool:
        """Whether a task has a result, or has been given up."""
        kept = self.content["tasks"].get(task.name, {})
        if kept.get("state") == "begun" and kept["attempts"] >= MOST_ATTEMPTS:
            self._keep(
                task.name, {"state": "failed", "ok": False, "error": "it ended its process, or outlasted slices"}
            )
        return self.content["tasks"].get(task.name, {}).get("state") in ("done", "failed")

    def run(self, task: Task) -> None:
        """Run a task and keep its result, or how it has failed."""
        attempts = self.content["tasks"].get(task.name, {}).get("attempts", 0) + 1
        self._keep(task.name, {"state": "begun", "attempts": attempts})
        started = time.perf_counter()
        try:
            result = {"state": "done", "ok": True} | task.run(self._context)
        except Exception as error:  # whatever a device or a library may raise is a result
            text = " ".join(str(error).split())[:500]
            where = "".join(traceback.format_tb(error.__traceback__)[-2:])[-800:]
            result = {"state": "failed", "ok": False, "error": f"{type(error).__name__}: {text}", "where": where}
        self._keep(task.name, result | {"seconds": round(time.perf_counter() - started, 2)})

    def _keep(self, name: str, result: dict[str, Any]) -> None:
        with self._lock:
            self.content["tasks"][name] = self._context.results[name] = result
            write_json(self.path, self.content)


def end_slice_after(minutes: float) -> None:
    """Let the process end when its slice is over, whatever it computes; what was begun is begun anew in the next."""

    def end() -> None:
        print(f"the slice of {minutes:g} minutes is over; the same line goes on", flush=True)
        os._exit(UNFINISHED)

    timer = threading.Timer(60 * minutes, end)
    timer.daemon = True
    timer.start()
