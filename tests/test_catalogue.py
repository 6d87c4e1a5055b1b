"""The paper's datasets, networks and losses stand once; what has to repeat them says the same."""

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lightning_seg.catalogue import DATASETS, LOSSES, METRICS, NETWORKS, REPEATS
from lightning_seg.data.prepare.sources import SOURCES
from lightning_seg.models.licences import licence_of
from lightning_seg.report.published import load_published

CONF = Path(__file__).parents[1] / "conf"


def swept(path: str, key: str) -> list[str]:
    return str(OmegaConf.load(CONF / path)["hydra"]["sweeper"]["params"][key]).split(",")


@pytest.mark.parametrize("key, names", [("dataset", DATASETS), ("model", NETWORKS), ("loss", LOSSES)])
def test_the_papers_grid_is_the_catalogue(key: str, names: list[str]) -> None:
    assert swept("experiment/paper.yaml", key) == list(names)
    assert {path.stem for path in (CONF / key).glob("*.yaml")} >= set(names)


def test_the_smoke_grid_has_the_papers_losses() -> None:
    assert swept("experiment/smoke.yaml", "loss") == list(LOSSES)


def test_a_grid_has_the_papers_repeats() -> None:
    params = OmegaConf.load(CONF / "hydra/sweeper/grid.yaml")["params"]
    assert str(params["repeat"]).split(",") == [str(number) for number in range(REPEATS)]


def test_what_can_be_prepared_is_the_catalogue() -> None:
    assert {name for source in SOURCES for name in source.readers} == set(DATASETS)


def test_the_published_tables_are_of_the_catalogue() -> None:
    published = load_published()
    assert set(published.by_dataset.index) == set(DATASETS)
    assert set(published.by_model.index) == set(NETWORKS)
    assert set(published.overall.columns) == set(LOSSES)
    assert set(published.overall.index) == set(METRICS)


@pytest.mark.parametrize("name", NETWORKS)
def test_licences_are_those_of_the_weights(name: str) -> None:
    network = NETWORKS[name]
    found = ", ".join(dict.fromkeys(licence_of(weights) for weights in network.weights)) or "none"
    assert network.licences == found


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("lightning_seg", {"torch", "numpy", "pandas", "hydra", "lightning"}),
        ("lightning_seg.catalogue", {"torch", "numpy", "pandas", "hydra", "lightning"}),
        ("lightning_seg.studies.status", {"torch", "numpy", "pandas", "hydra", "lightning"}),
        ("lightning_seg.cli.app", {"torch", "numpy", "pandas", "hydra", "lightning"}),
        # What `train --help`, a finished grid and the start of any other need; and `plan`, before it times anything.
        (
            "lightning_seg.cli.train, lightning_seg.sweep.grid, lightning_seg.planning.tables",
            {"torch", "pandas", "lightning"},
        ),
        # A grid of runs side by side needs them in its workers alone.
        ("lightning_seg.cli.train, lightning_seg.sweep.cores", {"torch", "pandas", "lightning"}),
        # A report without pictures.
        ("lightning_seg.report.build", {"torch", "scipy.ndimage", "scipy.stats"}),
        # Networks that have no encoder of timm.
        ("lightning_seg.models.unet, lightning_seg.models.colonsegnet", {"timm", "wandb"}),
    ],
)
def test_nothing_heavy_is_loaded(module: str, absent: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not absent & set(loaded)
