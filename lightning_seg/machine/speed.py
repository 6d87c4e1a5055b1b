"""What makes a run faster: one thing that every run does, and switches.

Switches change how numbers are rounded, so all are off unless the configuration says so. The other switches are
arguments of what they concern: ``trainer.precision`` (mixed precision), ``optimizer.fused``, ``data.resident`` and
``data.eval_batch_size``.
"""

import ctypes
import sys
from contextlib import nullcontext
from functools import cache
from typing import Any, Literal

import torch
from lightning.pytorch.profilers import PassThroughProfiler
from torch import nn


def apply_switches(
    model: nn.Module,
    *,
    channels_last: bool = False,
    compile: Literal["default", "reduce-overhead", "max-autotune"] | None = None,
    matmul_precision: Literal["highest", "high", "medium"] = "highest",
) -> None:
    """Set up a network, in place, and this process for one run. The names in the network's state stay the same.

    Args:
        model: the network, before its optimizer is made.
        channels_last: keep the weights of convolutions, and with them all feature maps, in NHWC order in memory.
        compile: the mode of :func:`torch.compile`; ``reduce-overhead`` and ``max-autotune`` use CUDA graphs.
        matmul_precision: of float32 matrix products; ``high`` allows TF32. cuDNN's convolutions may use TF32 in any
            case, which is PyTorch's default.
    """
    torch.set_float32_matmul_precision(matmul_precision)
    if channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compile is not None:
        # What was compiled for the runs before would count against the limit of recompilations, beyond which PyTorch
        # no longer compiles.
        torch.compiler.reset()
        model.compile(mode=compile)


@cache
def keep_freed_memory() -> None:
    """Let this process keep the memory of freed tensors for the next ones.

    The C library gives large blocks back to the system and gets them anew, page by page and cleared, several times in
    each step. Without that, a training step on a CPU takes 0.55 to 0.64 of the time (``benchmarks/memory.py``). Numbers
    stay the same; the process holds its peak until it ends. Only glibc has the setting.
    """
    if sys.platform != "linux" or (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is None:
        return
    trim_threshold, largest_number_of_mappings = -1, -4  # malloc.h's names for the settings
    mallopt(largest_number_of_mappings, 0)
    mallopt(trim_threshold, -1)


class NoProfiler(PassThroughProfiler):
    """Measures nothing, at no cost: Lightning enters its profiler some seventy times a step."""

    def profile(self, action_name: str) -> Any:
        return _NOTHING


_NOTHING = nullcontext()
