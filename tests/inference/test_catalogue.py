"""The table of networks: figures worked out by hand, every network of the study, and one's own."""

import itertools
import sys
from pathlib import Path

import pytest
import torch
import typer
from hydra.core.global_hydra import GlobalHydra
from typer.testing import CliRunner

from lightning_seg import models
from lightning_seg.catalogue import NETWORKS
from lightning_seg.cli.models import models as models_command
from lightning_seg.models.licences import licence_of
from lightning_seg.parts.models import Entry, as_markdown, measure, model_names
from lightning_seg.parts.scaffold import new_part


def test_unets_costs_are_those_worked_out_by_hand() -> None:
    side, widths = 224, [64, 128, 256, 512, 1024]

    def conv(inputs: int, outputs: int, level: int, kernel: int = 3) -> int:
        return inputs * outputs * kernel**2 * (side >> level) ** 2

    macs = conv(3, 64, 0) + conv(64, 64, 0) + conv(64, 1, 0, kernel=1)
    for level, (narrow, wide) in enumerate(itertools.pairwise(widths)):
        macs += conv(narrow, wide, level + 1) + conv(wide, wide, level + 1)  # down
        macs += conv(wide, narrow, level + 1, kernel=2)  # a transposed convolution multiplies each pixel it reads
        macs += conv(wide, narrow, level) + conv(narrow, narrow, level)  # up
    entry = measure("unet")
    assert (entry.parameters, entry.macs, entry.cpu_ms) == (31_037_633, macs, None)


def test_counting_allocates_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    devices: set[str] = set()

    def watch(self: models.UNet, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        devices.update(parameter.device.type for parameter in self.parameters())
        return (images[:, :1],)

    monkeypatch.setattr(models.UNet, "outputs", watch)
    measure("unet")
    assert devices == {"meta"}


def test_the_studys_networks_come_first_and_one_is_timed() -> None:
    assert model_names()[: len(NETWORKS)] == list(NETWORKS)
    cost = measure("unet", ["model.width=4"], timed=True).cpu_ms
    assert cost is not None
    assert cost > 0


def test_every_network_has_its_facts_in_the_table() -> None:
    table = as_markdown([Entry(name, 1_000_000, 10**9, None) for name in NETWORKS])
    lines = table.splitlines()
    assert len({line.count("|") for line in lines[: len(NETWORKS) + 2]}) == 1
    for name, facts in NETWORKS.items():
        (line,) = [line for line in lines if line.startswith(f"| `{name}` |")]
        assert facts.title in line
        assert str(facts.year) in line
        assert ("doi:" in line) or ("arXiv:" in line)
        assert ("none" in line) == (not facts.weights)


@pytest.mark.slow
def test_table_in_the_documentation_is_up_to_date() -> None:
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
    table = as_markdown([measure(name) for name in NETWORKS])
    assert page.endswith(table), "put what `lightning-seg models --markdown` prints at the end of docs/networks.md"


def test_licences_are_the_publishers() -> None:
    assert licence_of("nvidia/mit-b3") == licence_of("mit_b2") == "NVIDIA, non-commercial"
    assert licence_of("resnet34.tv_in1k") == "bsd-3-clause"
    assert licence_of("res2net101d.in1k") == licence_of("no_such_model") == "not stated"


def test_ones_own_network_stands_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    GlobalHydra.instance().clear()
    new_part("model", "my_network", tmp_path)
    app = typer.Typer()
    app.command()(models_command)
    result = CliRunner().invoke(app, ["my_network", "--markdown"])
    GlobalHydra.instance().clear()
    assert result.exit_code == 0, result.output
    assert "| `my_network` |" in result.output
