"""Every network trains as its authors' does: what is called, how it starts, and one training step in numbers.

The facts of the authors' networks were recorded from their code; ``training_facts.json`` keeps them, with one training
step of each network's small form, taken after the full comparison had found no difference (``training_record.py``).
Networks with one detail changed must differ from them (``training_mutations.py``).
"""

import copy
import json
from collections import Counter
from collections.abc import Iterator

import pytest
import torch

from lightning_seg import models
from lightning_seg.models import SegmentationModel
from tests.models.configs import SMALL, build
from tests.models.shape_seeded import probe
from tests.models.test_golden import GOLDEN
from tests.models.training_facts import inventory_differences, observe, start_differences
from tests.models.training_mutations import CHANGES, STARTS
from tests.models.training_record import (
    AUTHORS,
    RECORD,
    STEPS,
    UNRECORDED,
    authors_facts,
    authors_outputs,
    encoder_parts,
    expected_start,
    kept,
    small_images,
    small_network,
    step_differences,
)

FACTS = json.loads(RECORD.read_text())


def test_all_networks_are_recorded():
    assert FACTS["authors"].keys() == AUTHORS.keys()
    assert FACTS["steps"].keys() == STEPS.keys()
    assert not AUTHORS.keys() & set(UNRECORDED)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the recordings of the authors' networks are not here")
@pytest.mark.parametrize("name", AUTHORS)
def test_kept_facts_are_the_recorded_ones(name: str):
    assert FACTS["authors"][name] == json.loads(json.dumps(kept(authors_facts(AUTHORS[name]))))


def test_what_changed_is_told_apart():
    """From ImageNet weights, ESFPNet and FAT-Net start as they did."""
    with torch.device("meta"):
        versions = {name: build(name, **options).training_version for name, options in SMALL.items()}
    changed = {"colonformer", "deeplabv3plus", "esfpnet", "fatnet"}
    assert versions == {name: 2 if name in changed else 1 for name in SMALL}
    assert models.ESFPNet.training_version == models.FATNet.training_version == 1


@pytest.fixture(scope="module", params=AUTHORS)
def fresh(request: pytest.FixtureRequest) -> tuple[str, SegmentationModel]:
    """A network of full size as it is built, for all the tests that take it, which run network by network."""
    torch.manual_seed(0)
    case = AUTHORS[request.param]
    return request.param, case.network(**case.options)


@pytest.fixture(scope="module", params=STEPS)
def filled(request: pytest.FixtureRequest) -> tuple[str, SegmentationModel]:
    """The small form of a network, filled."""
    return request.param, small_network(request.param)


def differences_at_start(name: str, network: SegmentationModel) -> Iterator[str]:
    case, facts = AUTHORS[name], FACTS["authors"][name]
    return start_differences(expected_start(case, facts), network, encoder_parts(case, facts, network))


def test_as_the_authors(fresh: tuple[str, SegmentationModel]):
    """Initialisation, dropout, normalisation, activations, stopped gradients and the weights of the outputs."""
    name, network = fresh
    facts = FACTS["authors"][name]
    differences = list(differences_at_start(name, network))
    if facts["weights"]:
        assert tuple(facts["weights"]) == network.output_weights
    step = observe(copy.deepcopy(network), probe(2, 64), authors_outputs(AUTHORS[name], None))
    assert not differences + list(inventory_differences(facts, step.facts))


def test_wrong_starts_are_caught(fresh: tuple[str, SegmentationModel]):
    name, network = fresh
    rows = [row for row in STARTS if row.network == name]
    assert rows
    missed = []
    for row in rows:
        changed = copy.deepcopy(network)
        torch.manual_seed(1)
        with torch.no_grad():
            row.apply(changed)
        if next(differences_at_start(name, changed), None) is None:
            missed.append(row.description)
    assert not missed


def test_training_step(filled: tuple[str, SegmentationModel]):
    """Outputs with their weights, running statistics, and the gradients of all parameters."""
    name, network = filled
    assert not list(step_differences(FACTS["steps"][name], copy.deepcopy(network), small_images(name)))


def test_wrong_training_is_caught(filled: tuple[str, SegmentationModel]):
    name, network = filled
    rows = [row for row in CHANGES if row.network == name]
    assert rows
    missed = []
    for row in rows:
        changed = copy.deepcopy(network)
        row.apply(changed)
        if next(step_differences(FACTS["steps"][name], changed, small_images(name)), None) is None:
            missed.append(row.description)
    assert not missed


def test_five_wrong_details_a_network():
    count = Counter(row.network.split("_")[0] for row in (*STARTS, *CHANGES))
    assert count.keys() == SMALL.keys()
    assert min(count.values()) >= 5
