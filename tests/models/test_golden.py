"""Every network against recorded outputs of its authors' own code, number by number."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.cases import CASES, Case
from tests.models.shape_seeded import calibrate, fill, fingerprint, probe

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
TOLERANCE = 1e-3  # of the recorded output's standard deviation

# Recordings of the main output on further inputs: from the recording's height and width to the input.
FURTHER_INPUTS: dict[str, Callable[[int, int], torch.Tensor]] = {
    "probe2_main": lambda height, width: probe(2),
    "probe256_main": lambda height, width: probe(1, height),
    "main_352": lambda height, width: probe(1, height),
}

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
    # The "used" figures are those without the parameters that never reach the output, which are left out here.
    assert actual["parameters"] == expected.get("parameters_used", expected["parameters"])
    assert actual["shapes"] == expected.get("shapes_used", expected["shapes"])


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
        for name in FURTHER_INPUTS.keys() & expected.keys():
            with torch.no_grad():
                logits = network(FURTHER_INPUTS[name](*expected[name].shape[-2:]))
            # Some recordings of a batch hold its last images alone.
            actual[name] = logits.numpy()[-len(expected[name]) :]
            names.append(name)
        for name in names:
            difference = np.abs(actual[name] - expected[name]).max()
            assert difference <= TOLERANCE * expected[name].std(), name
