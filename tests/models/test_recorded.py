"""What test_golden.py checks, in a reduced form that needs no files but its own."""

import json

import pytest
import torch

from tests.models.cases import CASES, Case
from tests.models.configs import SMALL
from tests.models.recorded import RECORD, logits, parameters, sample

RECORDED = json.loads(RECORD.read_text())
TOLERANCE = 1e-2  # of a map's standard deviation: machines round differently


def test_all_networks_are_recorded():
    assert RECORDED["parameters"].keys() == {str(case) for case in CASES}
    assert RECORDED["logits"].keys() == SMALL.keys()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parameters(case: Case):
    assert parameters(case) == RECORDED["parameters"][str(case)]


@pytest.mark.parametrize("name", SMALL)
def test_logits(name: str):
    maps = logits(name)
    for logit_map, expected in zip(maps, RECORDED["logits"][name], strict=True):
        difference = torch.tensor(sample(logit_map)) - torch.tensor(expected["values"])
        assert difference.abs().max() <= TOLERANCE * expected["deviation"]
