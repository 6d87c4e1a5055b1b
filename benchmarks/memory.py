"""A training step on the CPU in a process that keeps the memory of freed tensors, against one that gives it back.

    python benchmarks/memory.py                      # U-Net of width 16 and 64 at 224, batches of 8
    python benchmarks/memory.py --widths 16 --rounds 9

Every round starts each of the two in a process of its own, since the setting cannot be taken back.
"""

import argparse
import multiprocessing
import resource

import torch
import torch.nn.functional as F
from measure import Stopwatch, Times, report

from lightning_seg.machine.speed import keep_freed_memory
from lightning_seg.models import UNet

STEPS = 5


def steps(width: int, keeps: bool) -> tuple[float, float, int]:
    """Seconds of wall and processor time of some steps after one that does not count, and MiB held at most."""
    if keeps:
        keep_freed_memory()
    network = UNet(width=width)
    optimizer = torch.optim.Adam(network.parameters())
    images, masks = torch.randn(8, 3, 224, 224), torch.rand(8, 1, 224, 224).round()
    watch = Stopwatch()
    for step in range(STEPS + 1):
        if step == 1:
            watch.start()
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(network(images)[0], masks).backward()
        optimizer.step()
    watch.stop()
    return watch.wall / STEPS, watch.cpu / STEPS, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ways = {"memory given back": False, "memory kept": True}
    for width in arguments.widths:
        times = {name: Times([], []) for name in ways}
        peaks = dict.fromkeys(ways, 0)
        for _ in range(arguments.rounds):
            for name, keeps in ways.items():
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    wall, cpu, peak = pool.apply(steps, (width, keeps))
                times[name].wall.append(wall)
                times[name].cpu.append(cpu)
                peaks[name] = max(peaks[name], peak)
        report(f"A step of U-Net (width {width}) at 224, {torch.get_num_threads()} threads", times, "memory given back")
        print("MiB held at most: " + ", ".join(f"{name} {peak}" for name, peak in peaks.items()))


if __name__ == "__main__":
    main()
