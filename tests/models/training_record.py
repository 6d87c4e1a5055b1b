"""The training-time facts that are kept with the tests, and the full comparison with the recordings they come from.

``python -m tests.models.training_record`` compares every network with the facts of its authors' code in full, which
takes about four minutes, and if all agree writes the kept ones anew: the authors' inventories and starts as they were
recorded, and one training step of each network's small form as it is now.
"""

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.models import SegmentationModel
from tests.models.cases import CASES, Case
from tests.models.configs import SMALL, build
from tests.models.shape_seeded import fill, probe
from tests.models.test_golden import GOLDEN
from tests.models.training_facts import (
    INVENTORY,
    Facts,
    drop_rate,
    gradient_differences,
    inventory_differences,
    number_differences,
    observe,
    start_differences,
)

RECORD = Path(__file__).with_name("training_facts.json")
UNRECORDED = ("fcn_atonce", "deeplabv3plus_vainf_resnet50", "deeplabv3plus_vainf_resnet101", "ducknet_34")
AUTHORS = {str(case): case for case in CASES if str(case) not in UNRECORDED}

# The forms of which a training step is kept, by the name and the options of their configuration.
STEPS: dict[str, tuple[str, dict[str, Any]]] = {name: (name, options) for name, options in SMALL.items()} | {
    "unet_bilinear": ("unet", {"width": 8, "bilinear": True}),
    "fcn_resnet50": ("fcn", {"variant": "resnet50"}),
    "deeplabv3plus_resnet18": ("deeplabv3plus", {"encoder": "resnet18"}),
}


# ---- what is recorded of the authors' networks ----------------------------------------------------------------------


def authors_facts(case: Case) -> Facts:
    """The recording of a case, its main output first, less what a network here does not have."""
    facts = json.loads((GOLDEN / case.folder / f"training{case.suffix}.json").read_text())
    numbers = facts["numbers"]
    if case.folder == "fcn" and not case.suffix:  # the kernels that the authors leave out of the optimiser
        numbers = facts["numbers_bilinear"]
        for kernel in ("weight 4x4", "weight 16x16"):
            del numbers["gradient_norms"][kernel]
        facts["init"]["decoder"] = [row for row in facts["init"]["decoder"] if row[5] != "fixed"]
    numbers["outputs"].sort(key=lambda output: not output.get("name", "main").startswith("main"))
    weights = [output.get("loss_weight", 1.0) for output in numbers["outputs"]]
    kept = {key: facts[key] for key in (*INVENTORY, "init")}
    return {**kept, "weights": weights if all(isinstance(w, float) for w in weights) else None, "numbers": numbers}


def expected_start(case: Case, facts: Facts) -> dict[str, list[list[Any]]]:
    """How the parameters should start: as recorded, but for FCN's VGG-16.

    The authors' starts at zero and is always overwritten by trained weights. From zero it would not learn, so without
    weights it starts as timm's does, by He's normal of the outputs.
    """
    if case.folder != "fcn" or case.suffix:
        return facts["init"]
    rows = []
    for role, shape, count, mean, std, kind in facts["init"]["decoder"]:
        sides = [int(side) for side in shape.split("x")]
        if role == "weight" and len(sides) > 1:
            std, kind = math.sqrt(2 / (sides[0] * math.prod(sides[2:]))), "normal"
        rows.append([role, shape, count, mean, std, kind])
    return {"decoder": rows}


def encoder_parts(case: Case, facts: Facts, network: nn.Module) -> list[nn.Module]:
    """The modules whose start was recorded apart, as the authors load weights into them."""
    names = ("cnn", "transformer") if case.folder == "fatnet" else ("encoder",)
    return [getattr(network, name) for name in names] if "encoder" in facts["init"] else []


# ---- what a network here does ---------------------------------------------------------------------------------------


def outputs(network: SegmentationModel, images: Tensor) -> Iterable[Tensor]:
    """All of a network's logit maps, the main one first."""
    return network.outputs(images)


def authors_outputs(case: Case, count: int) -> Any:
    """Those that the authors' network returns: without a sum of them, and before an upsampling outside of it."""

    def first(network: SegmentationModel, images: Tensor) -> list[Tensor]:
        return list(network.outputs(images))[:count]

    def before_upsampling(network: SegmentationModel, images: Tensor) -> list[Tensor]:
        upsample = F.interpolate

        def interpolate(maps: Tensor, **options: Any) -> Tensor:
            return maps if options.get("scale_factor") == 4 else upsample(maps, **options)

        with mock.patch.object(F, "interpolate", interpolate):
            return first(network, images)

    return before_upsampling if case.folder == "esfpnet" else first


def small_images(name: str) -> Tensor:
    """Two images of 64 pixels a side, or one of 32 for the network that pads much and normalises nothing."""
    return (probe(1, 32) if name == "fcn" else probe(2, 64)).double()


def small_network(name: str) -> SegmentationModel:
    """The filled small form of a network, in float64."""
    configured, options = STEPS[name]
    return fill(build(configured, **options)).double()


def small_facts(name: str) -> Facts:
    """One training step of a network's small form."""
    network = small_network(name)
    step = observe(network, small_images(name), outputs)
    return {
        **{key: step.facts[key] for key in INVENTORY},
        "weights": list(network.output_weights),
        "numbers": {**step.numbers(), "gradient_norms": step.gradient_norms()},
    }


def step_differences(facts: Facts, network: SegmentationModel, images: Tensor, run: Any = outputs) -> Iterator[str]:
    """What of a training step is not as recorded; gradients are computed if all before them is equal."""
    if facts["weights"] and tuple(facts["weights"]) != network.output_weights:
        yield f"weights of the outputs: {facts['weights']} expected, {network.output_weights} found"
    step = observe(network, images, run)
    found = False
    for difference in chain(inventory_differences(facts, step.facts), number_differences(facts["numbers"], step)):
        found = True
        yield difference
    if not found:
        yield from gradient_differences(facts["numbers"]["gradient_norms"], step)


def full_differences(case: Case) -> Iterator[str]:
    """Everything in which a network differs from its authors', at the size and in the precision of the recording."""
    facts = authors_facts(case)
    torch.manual_seed(0)
    network = case.network(**case.options)
    yield from start_differences(expected_start(case, facts), network, encoder_parts(case, facts, network))
    authors = authors_outputs(case, len(facts["numbers"]["outputs"]))
    yield from inventory_differences(facts, observe(network, probe(2, 64), authors).facts)
    for module in network.modules():
        if rate := drop_rate(module):
            name = next(name for name, value in vars(module).items() if value == rate[1] and isinstance(value, float))
            setattr(module, name, 0.0)
    without = {**facts, "dropouts": [], "random_draws": []}
    yield from step_differences(without, fill(network).double(), probe(2).double(), authors)


# ---- writing --------------------------------------------------------------------------------------------------------


def rounded(value: Any, digits: int = 6) -> Any:
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def kept(facts: Facts) -> Facts:
    """The authors' facts without the numbers of a step, which is too dear to take at every test."""
    return {key: value for key, value in facts.items() if key != "numbers"}


def main() -> int:
    failed = False
    for name, case in AUTHORS.items():
        differences = list(full_differences(case))
        failed |= bool(differences)
        print(f"{name}: {'; '.join(differences) or 'equal'}", flush=True)
    if failed:
        return 1
    record = {
        "authors": {name: kept(authors_facts(case)) for name, case in AUTHORS.items()},
        "steps": {name: rounded(small_facts(name)) for name in STEPS},
    }
    text = json.dumps(record, indent=1)
    # What lies deeper than the facts of a network goes on one line.
    RECORD.write_text(re.sub(r"\n {4,}|\n {3}(?=[\]}])", " ", text).replace("[ ", "[").replace(" ]", "]") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
