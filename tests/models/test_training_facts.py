"""Every network trains as its authors' does: what is called, how it starts, and one training step in numbers.

The facts of the authors' networks were recorded from their code; ``training_facts.json`` keeps them, with one training
step of each network's small form, taken after the full comparison had found no difference (``training_record.py``).
"""

import json

import pytest
import torch

from lightning_seg import models
from tests.models.configs import SMALL, build
from tests.models.shape_seeded import probe
from tests.models.test_golden import GOLDEN
from tests.models.training_facts import inventory_differences, observe, start_differences
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


@pytest.mark.parametrize("name", AUTHORS)
def test_as_the_authors(name: str):
    """In full size: initialisation, dropout, normalisation, activations, stopped gradients and outputs' weights."""
    case, facts = AUTHORS[name], FACTS["authors"][name]
    torch.manual_seed(0)
    network = case.network(**case.options)
    differences = list(start_differences(expected_start(case, facts), network, encoder_parts(case, facts, network)))
    if facts["weights"]:
        assert tuple(facts["weights"]) == network.output_weights
    step = observe(network, probe(2, 64), authors_outputs(case, None))
    assert not differences + list(inventory_differences(facts, step.facts))


@pytest.mark.parametrize("name", STEPS)
def test_training_step(name: str):
    """Of the small form: outputs with their weights, running statistics, and the gradients of all parameters."""
    network = small_network(name)
    assert not list(step_differences(FACTS["steps"][name], network, small_images(name)))
