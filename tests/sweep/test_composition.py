"""A cell's configuration, made from few compositions, is the one that Hydra composes for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from lightning_seg.catalogue import LOSSES
from lightning_seg.config.compose import CONFIG_DIR, nest
from lightning_seg.config.lean import Composer
from lightning_seg.sweep.cells import grid_cells

FIRST = ["trainer=cpu", "model=unet", "loss=dice", "dataset.name=a", "repeat=0"]


@contextmanager
def loaded() -> Iterator[tuple[ConfigLoader, DictConfig]]:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield loader, loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)


@pytest.fixture
def hydra() -> Iterator[tuple[ConfigLoader, DictConfig]]:
    with loaded() as found:
        yield found


def in_full(loader: ConfigLoader, config: DictConfig, overrides: list[str]) -> Any:
    cfg = loader.load_sweep_config(config, overrides)
    with open_dict(cfg):
        del cfg["hydra"]
    return OmegaConf.to_container(cfg, resolve=False)


@pytest.mark.parametrize(
    "changed",
    [
        ["trainer=cpu", "model=unet", "loss=iou_focal", "dataset.name=b", "repeat=1"],
        ["trainer=fast", "model=ducknet", "loss='tversky(alpha=0.3)'", "dataset.name=a", "repeat=0"],
        ["trainer=cpu", "model=unet", "loss=dice", "dataset.name='${model.name}'", "repeat=7"],
        ["trainer=cpu", "model=unet", "loss=dice", "data.fractions={train:0.5,val:0.25,test:0.25}", "repeat=0"],
        ["trainer=cpu", "model=unet", "loss=dice", "+model.more=1", "repeat=0"],
        ["trainer=cpu", "model=smp", "model.arch=Unet", "loss=dice", "repeat=0"],
    ],
)
def test_it_is_what_hydra_composes(hydra: tuple[ConfigLoader, DictConfig], changed: list[str]) -> None:
    composer = Composer(*hydra)
    composer.compose(FIRST)
    for overrides in (changed, FIRST):  # what one composition changes is not left for the next
        assert OmegaConf.to_container(composer.compose(overrides), resolve=False) == in_full(*hydra, overrides)


@pytest.mark.parametrize("wrong", ["a group's choice", "a value", "what differs"])
def test_where_a_later_cell_is_wrong_hydra_composes(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    given = ["trainer=cpu", "model=unet", "loss=dice,iou", "repeat=0,1", "dataset.name=a,b"]
    right = [cell.config for cell in grid_cells(given)]
    lean, changed = Composer._lean, Composer._changed
    spoilt: list[str] = []

    def spoil(cfg: DictConfig | None, overrides: list[str], by: str) -> DictConfig | None:
        if cfg is not None and by in overrides:
            spoilt.append(by)
            cfg.trainer.max_epochs = 7
        return cfg

    if wrong == "a group's choice":
        monkeypatch.setattr(Composer, "_lean", lambda *given: spoil(lean(*given), given[-1], "loss=iou"))
    elif wrong == "a value":
        monkeypatch.setattr(Composer, "_changed", lambda *given: spoil(changed(*given), given[-1], "dataset.name=b"))
    else:
        monkeypatch.setattr("lightning_seg.sweep.cells._changes", lambda *_: spoilt.append("") or {})
    assert [cell.config for cell in grid_cells(given)] == right and spoilt


def test_hydra_composes_two_cells_of_a_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    full = Composer.compose_in_full
    monkeypatch.setattr(Composer, "compose_in_full", lambda self, given: asked.append(list(given)) or full(self, given))
    cells = grid_cells([*FIRST[:2], f"loss={','.join(LOSSES)}", "repeat=0,1,2,3,4"])
    assert asked == [list(cells[0].overrides), list(cells[-1].overrides)]
    asked.clear()
    (cell,) = grid_cells(FIRST)
    assert asked == [list(cell.overrides)]


def test_errors_are_hydras_own(hydra: tuple[ConfigLoader, DictConfig]) -> None:
    composer = Composer(*hydra)
    composer.compose(FIRST)
    for wrong in ("loss=none_such", "nothing.like.it=1", "repeat=1,2"):
        with pytest.raises(HydraException) as told:
            composer.compose([*FIRST[:-1], wrong])
        with pytest.raises(HydraException) as hydras:
            in_full(*hydra, [*FIRST[:-1], wrong])
        assert str(told.value) == str(hydras.value)


def test_files_are_read_once(hydra: tuple[ConfigLoader, DictConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    composer = Composer(*hydra)
    composer.compose(FIRST)
    read: list[str] = []
    before = OmegaConf.load
    monkeypatch.setattr(OmegaConf, "load", lambda file: read.append(str(file)) or before(file))
    for loss in LOSSES:
        composer.compose([*FIRST[:2], f"loss={loss}", *FIRST[3:]])
    composed = len(read)
    composer.compose([*FIRST[:-1], "repeat=3"])
    assert composed <= 2 * len(LOSSES) and len(read) == composed  # a loss and its terms, each once


def test_a_cell_knows_its_configuration_as_it_was_composed() -> None:
    cells = grid_cells([*FIRST[:2], "loss=iou_focal,dice", "data.cache_dir='${data_dir}/x'", "repeat=0,1"])
    with loaded() as found:
        for cell in cells:
            assert cell.references["data.cache_dir"] == "${data_dir}/x" and cell.config["data.cache_dir"] == "data/x"
            assert nest(cell.composed) == in_full(*found, list(cell.overrides))


def test_networks_have_the_layout_that_helps_them() -> None:
    cells = grid_cells(["trainer=cpu_fast", "model=unet,ducknet", "repeat=0"])
    assert [cell.config["speed.channels_last"] for cell in cells] == [True, False]
    assert {cell.config["trainer.precision"] for cell in cells} == {"bf16-mixed"}
    own = grid_cells(["trainer=fast", "model=unet", "model.name=mine", "repeat=0"])[0]
    assert own.config["speed.channels_last"] is False and own.config["optimizer.fused"] is True
