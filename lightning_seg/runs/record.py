"""What a run leaves behind, where, and how two configurations are told apart."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_seg.files import write_text

RESULT = "result.json"
ERROR = "error.txt"
STARTED = ".hydra/config.yaml"  # is written as training begins or goes on
WEIGHTS = "weights.safetensors"
CELLS = "cells.json"  # of a study: the runs that grids have announced

# Keys that change where and how fast a run is computed and what is kept of it, not what it computes.
INCIDENTAL = (
    "study",
    "output_dir",
    "data_dir",  # what it decides stands in dataset.root and data.cache_dir
    "pretrained",  # what it decides stands in model.pretrained
    "rerun",
    "retry",
    "fail_fast",
    "runs_per_gpu",
    "threads",
    "keep_weights",
    "cases",
    "checkpoint",
    "logger",
    "experiment",
    "data.cache_dir",
    "data.resident",
    "data.eval_batch_size",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.enable_progress_bar",
    "trainer.profiler",
)


def run_directory(flat: dict[str, Any]) -> Path:
    """``<output_dir>/<study>/<dataset>/<model>/<loss>/repeat_<k>``, from a flat configuration."""
    parts = (flat[key] for key in ("output_dir", "study", "dataset.name", "model.name", "loss.name"))
    return Path(*map(str, parts), f"repeat_{flat['repeat']}").expanduser()


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one mapping of dotted keys."""
    if isinstance(tree, DictConfig):
        tree = OmegaConf.to_container(tree, resolve=True)
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree}
    return {
        key: value
        for name, branch in tree.items()
        for key, value in flatten(branch, f"{prefix}.{name}".lstrip(".")).items()
    }


def essential(flat: dict[str, Any]) -> dict[str, Any]:
    """A flat configuration without what does not change a run's numbers."""
    return {
        key: value
        for key, value in flat.items()
        if not any(key == name or key.startswith(name + ".") for name in INCIDENTAL)
    }


def fingerprint(cfg: DictConfig) -> str:
    """Sixteen hexadecimal digits that stand for the essential configuration."""
    return hashlib.sha256(json.dumps(essential(flatten(cfg)), sort_keys=True).encode()).hexdigest()[:16]


def read_result(directory: Path) -> dict[str, Any] | None:
    """The record of a run that has ended, or ``None``; a record that is not whole JSON does not count."""
    try:
        record = json.loads((directory / RESULT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return record if isinstance(record, dict) and record.get("status") in ("finished", "diverged") else None


def write_result(directory: Path, record: dict[str, Any]) -> None:
    """Write the record that makes a run count, atomically."""
    write_text(directory / RESULT, json.dumps(record, indent=1) + "\n")


def differences(flat: dict[str, Any], record: dict[str, Any]) -> list[str]:
    """One phrase for each essential key whose value in the flat configuration is not the recorded one."""
    now, then = essential(flat), essential(flatten(record["config"]))
    absent = "absent"
    return [
        f"{key} was {then.get(key, absent)} and is now {now.get(key, absent)}"
        for key in sorted(now.keys() | then.keys())
        if now.get(key, absent) != then.get(key, absent)
    ]


def last_error(directory: Path) -> str:
    """The line of a failed run's traceback that names its error, or nothing."""
    try:
        lines = (directory / ERROR).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ""
    deepest = max((number for number, line in enumerate(lines) if line.startswith("  File ")), default=-1)
    return next((line for line in lines[deepest + 1 :] if line and not line.startswith(" ")), "")


def started_at(directory: Path) -> float:
    """When training last began or went on here, in seconds of the file system's clock; 0 if it never has."""
    try:
        return (directory / STARTED).stat().st_mtime
    except OSError:
        return 0.0


def leftovers(directory: Path) -> Iterator[Path]:
    """What a run needs only until it has ended, and files that it was killed while writing."""
    yield from directory.glob("resume-*.ckpt")
    yield from directory.glob("*.tmp")
    yield from directory.glob(".tmp*")  # safetensors' own


@cache
def versions() -> dict[str, str | None]:
    """Versions of what computes the numbers, and the git commit of a source checkout."""
    here = Path(__file__).parent
    commit = None
    if (here.parents[1] / ".git").exists():
        git = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        commit = git.stdout.strip() or None
    packages = {name: version(name) for name in ("torch", "lightning", "torchmetrics", "timm", "lightning-seg")}
    return {"python": platform.python_version(), **packages, "git_commit": commit}
