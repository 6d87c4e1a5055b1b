"""Every network against recorded outputs of its authors' own code, number by number."""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lightning_seg import models
from tests.models.cases import CASES, Case
from tests.models.shape_seeded import calibrate, fill, fingerprint, probe

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
TOLERANCE = 1e-3  # of the recorded output's standard deviation


def normal(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(7).standard_normal((1, 3, height, width)).astype(np.float32))


# Recordings of the main output on further inputs: from the recording's height and width to the input.
FURTHER_INPUTS: dict[str, Callable[[int, int], torch.Tensor]] = {
    "probe2_main": lambda height, width: probe(2),
    "probe256_main": lambda height, width: probe(1, height),
    "main_352": lambda height, width: probe(1, height),
    "main_up_align_false": lambda height, width: probe(1, height),
    "odd_main": normal,
    "even_main": normal,
    "size_main": normal,
}

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the recorded reference outputs are not here")


def outputs(network: torch.nn.Module) -> dict[str, np.ndarray]:
    with torch.no_grad():
        maps = tuple(network.outputs(probe(1)))
    names = ["main", *(f"aux{i}" for i in range(len(maps) - 1))]
    return {name: logits.numpy() for name, logits in zip(names, maps, strict=True)}


def recorded_fingerprint(case: Case) -> dict[str, Any]:
    own = GOLDEN / case.folder / f"fingerprint{case.suffix}.json"
    if own.is_file():
        return json.loads(own.read_text())
    return json.loads((GOLDEN / case.folder / "fingerprint.json").read_text())[case.suffix.lstrip("_")]


def recorded_outputs(case: Case, recording: str) -> dict[str, np.ndarray]:
    own = GOLDEN / case.folder / f"{recording}{case.suffix}.npz"
    if own.is_file():
        with np.load(own) as file:
            renamed = {name: file[other] for name, other in case.recorded_as.items() if other in file}
            maps = [file[name] for name in file if name == "main" or name.startswith("aux")]
            return {**file, **renamed, **({case.total: sum(maps)} if case.total else {})}
    prefix = case.suffix.lstrip("_") + "_"
    with np.load(GOLDEN / case.folder / f"{recording}.npz") as plain:
        return {name.removeprefix(prefix): plain[name] for name in plain if name.startswith(prefix)}


def deviation(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, in standard deviations of what is expected."""
    if expected.shape != actual.shape:  # some authors leave the last upsampling to the training script
        expected = F.interpolate(torch.from_numpy(expected), size=actual.shape[-2:], mode="bilinear").numpy()
    return np.abs(actual - expected).max() / expected.std()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fingerprint(case: Case):
    expected = recorded_fingerprint(case)
    with torch.device("meta"):
        actual = fingerprint(case.network(**case.options))
    # The "used" figures are those without the parameters that never reach the output, which are left out here.
    unused = sum(math.prod(map(int, shape.split("x"))) * count for shape, count in case.unused.items())
    assert actual["parameters"] + unused == expected.get("parameters_used", expected["parameters"])
    assert Counter(actual["shapes"]) + Counter(case.unused) == Counter(expected.get("shapes_used", expected["shapes"]))


@pytest.mark.parametrize(
    ("case", "recording"),
    [pytest.param(case, name, id=f"{case}-{name}") for case in CASES for name in case.recordings],
)
def test_outputs(case: Case, recording: str):
    network = fill(case.network(**case.options)).eval()
    if recording == "calibrated":
        calibrate(network)
    actual = outputs(network)
    expected = recorded_outputs(case, recording)
    assert actual.keys() <= expected.keys(), "every output has a recording"
    for name in FURTHER_INPUTS.keys() & expected.keys():
        with torch.no_grad():
            logits = network(FURTHER_INPUTS[name](*expected[name].shape[-2:]))
        # Some recordings of a batch hold its last images alone.
        actual[name] = logits.numpy()[-len(expected[name]) :]
    for name, logits in actual.items():
        assert deviation(logits, expected[name]) <= case.tolerance.get(recording, TOLERANCE), name


def test_emcadnet_saturates_at_six():
    """With activations large enough to tell ReLU6 from ReLU."""
    network = fill(models.EMCADNet()).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data *= 8
    expected = recorded_outputs(Case("emcadnet", models.EMCADNet), "golden")["main_bnx8"]
    assert deviation(outputs(network)["main"], expected) <= TOLERANCE
