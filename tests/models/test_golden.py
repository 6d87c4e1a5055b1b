"""Every network against recorded outputs of its authors' own code, number by number."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.cases import CASES, Case
from tests.models.shape_seeded import calibrate, fill, fingerprint, probe

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
TOLERANCE = 1e-3  # of the recorded output's standard deviation

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the recorded reference outputs are not here")


def outputs(network: torch.nn.Module) -> dict[str, np.ndarray]:
    with torch.no_grad():
        maps = network.outputs(probe(1))
    names = ["main", *(f"aux{i}" for i in range(len(maps) - 1))]
    return {name: logits.numpy() for name, logits in zip(names, maps, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fingerprint(case: Case):
    expected = json.loads((GOLDEN / case.folder / f"fingerprint{case.suffix}.json").read_text())
    actual = fingerprint(case.network(**case.options))
    assert actual["parameters"] == expected["parameters"]
    assert actual["shapes"] == expected["shapes"]


@pytest.mark.parametrize("recording", ["golden", "calibrated"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs(case: Case, recording: str):
    network = fill(case.network(**case.options)).eval()
    if recording == "calibrated":
        calibrate(network)
    actual = outputs(network)
    with np.load(GOLDEN / case.folder / f"{recording}{case.suffix}.npz") as expected:
        names = [name for name in expected if name in actual]
        assert names == list(actual), "every output has a recording"
        for name in names:
            difference = np.abs(actual[name] - expected[name]).max()
            assert difference <= TOLERANCE * expected[name].std(), name
