"""What every run does to be faster."""

import gc
import platform
import subprocess
import sys

import pytest

from lightning_seg.machine.processes import uncollected

STEPS = """
import resource, torch
from lightning_seg.machine.speed import keep_freed_memory
if {keeps}:
    keep_freed_memory()
def step():
    maps = [torch.ones(2**24) for _ in range(2)]  # 64 MiB each
for _ in range(10):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_fetched(keeps: bool) -> int:
    """How many pages of memory a process takes anew from the system in five steps of 128 MiB."""
    program = STEPS.format(keeps=keeps)
    return int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_memory_of_freed_tensors_is_kept() -> None:
    assert pages_fetched(keeps=True) < 100
    assert pages_fetched(keeps=False) > 1000


def test_nothing_is_collected_while_libraries_load() -> None:
    for before in (False, True):
        (gc.enable if before else gc.disable)()
        with pytest.raises(ImportError), uncollected():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is before
