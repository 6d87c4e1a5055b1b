"""The order in which a parallel launcher gets the cells of a grid."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_seg.catalogue import NETWORKS
from lightning_seg.parts.models import measure
from lightning_seg.sweep.cells import Cell, longest_first


def cells(folder: Path, *addresses: str) -> list[Cell]:
    """Cells without overrides, from such as ``isic/fcn/0``."""
    keys = ("dataset.name", "model.name", "repeat")
    fixed = {"output_dir": str(folder), "study": "study", "loss.name": "bce"}
    values = [dataset_model_repeat.split("/") for dataset_model_repeat in addresses]
    return [Cell((), fixed | dict(zip(keys, (d, m, int(r)), strict=True))) for d, m, r in values]


def addresses(ordered: list[Cell]) -> list[str]:
    return ["/".join(str(cell.config[key]) for key in ("dataset.name", "model.name", "repeat")) for cell in ordered]


def finish(cell: Cell, seconds: float) -> None:
    cell.folder.path.mkdir(parents=True)
    record = {"status": "finished", "seconds": {"fit": seconds}}
    (cell.folder.path / "result.json").write_text(json.dumps(record))


def test_a_fresh_study_is_ordered_by_images_and_network(tmp_path: Path) -> None:
    grid = cells(tmp_path, "kvasir/esfpnet/0", "isic/esfpnet/0", "kvasir/fcn/0", "isic/fcn/1", "isic/fcn/0")
    assert addresses(longest_first(grid)) == [
        "isic/fcn/0",  # 2750 x 49.3
        "kvasir/fcn/0",  # 1000 x 49.3
        "isic/esfpnet/0",  # 2750 x 3.4
        "kvasir/esfpnet/0",
        "isic/fcn/1",
    ]


def test_what_is_not_known_starts_first(tmp_path: Path) -> None:
    grid = cells(tmp_path, "kvasir/fcn/0", "mine/fcn/0", "kvasir/own/0")
    assert addresses(longest_first(grid)) == ["mine/fcn/0", "kvasir/fcn/0", "kvasir/own/0"]


def test_finished_runs_know_better_and_say_what_the_others_take(tmp_path: Path) -> None:
    slow, other, quick = cells(tmp_path, "kvasir/esfpnet/0", "kvasir/unet/0", "kvasir/fcn/0")
    finish(slow, 500.0)  # 147 s for a GMAC
    finish(quick, 100.0)  # 2 s; the median of the two, 75 s, makes 2750 s of the third
    ordered = addresses(longest_first([quick, slow, other]))
    assert ordered == ["kvasir/unet/0", "kvasir/esfpnet/0", "kvasir/fcn/0"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_figures_are_those_of_the_networks(name: str) -> None:
    assert NETWORKS[name].gmacs == pytest.approx(measure(name).macs / 1e9, rel=0.05)


def test_the_order_needs_no_torch() -> None:
    script = "import sys; from lightning_seg.sweep import cells; cells.static_cost('isic', 'fcn'); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "lightning_seg.studies.cost" in modules and "torch" not in modules
