"""A small record of the verified networks, for where the reference outputs are not: parameter counts, a few logits.

To write it anew, after test_golden.py has passed: ``python -m tests.models.recorded``.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.models.cases import CASES, Case
from tests.models.configs import SMALL, build
from tests.models.shape_seeded import calibrate, fill, probe

RECORD = Path(__file__).with_suffix(".json")
SIZE = 64
VALUES = 6


def parameters(case: Case) -> int:
    """Their number, counted without making them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in case.network(**case.options).parameters())


@torch.no_grad()
def logits(name: str, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """All maps of the small form of a network, filled and calibrated, for one image; all computed in ``dtype``."""
    network = calibrate(fill(build(name, **SMALL[name])).to(dtype), SIZE)
    return list(network.outputs(probe(1, SIZE).to(dtype)))


def sample(logits: Tensor) -> list[float]:
    """Values from all over a map."""
    flat = logits.flatten()
    return flat[:: len(flat) // VALUES][:VALUES].tolist()


def record() -> dict[str, Any]:
    """What is kept."""
    return {
        "parameters": {str(case): parameters(case) for case in CASES},
        "logits": {
            name: [{"deviation": round(m.std().item(), 6), "values": [round(v, 6) for v in sample(m)]} for m in maps]
            for name, maps in ((name, logits(name)) for name in SMALL)
        },
    }


if __name__ == "__main__":
    RECORD.write_text(json.dumps(record(), indent=1) + "\n")
