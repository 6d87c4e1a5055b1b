"""The switches for speed change how fast a run is computed, not what it computes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_seg.config.compose import compose_config
from lightning_seg.config.rules import check
from lightning_seg.errors import UserError
from lightning_seg.machine.speed import apply_switches
from lightning_seg.models import UNet
from lightning_seg.training.callbacks import BestWeights
from lightning_seg.training.factory import make_data, make_module, make_trainer
from lightning_seg.training.history import History
from lightning_seg.training.module import SegmentationModule

SMALL = ["trainer=cpu", "data.image_size=32", "dataset.count=20", "model.width=4", "trainer.max_epochs=2", "loss=dice"]


@pytest.fixture(autouse=True)
def _restore_matmul_precision() -> Any:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


class Fit:
    """A fit with these overrides: its epochs, its best weights, its module."""

    def __init__(self, folder: Path, *overrides: str, model: dict[str, Any] | None = None) -> None:
        cfg = compose_config([*SMALL, f"data.cache_dir={folder}", *overrides])
        check(cfg)
        cfg.model = model or cfg.model
        torch.manual_seed(0)
        best, history = BestWeights(), History(None)
        self.module: SegmentationModule = make_module(cfg)
        self.trainer = make_trainer(cfg, folder, [best, history])
        self.trainer.fit(self.module, datamodule=make_data(cfg))
        self.weights = best.weights
        self.epochs = [
            {name: value for name, value in row.items() if name not in ("seconds", "learning_rate")}
            for row in history.rows
        ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("switches")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Fit:
    return Fit(folder)


@pytest.mark.parametrize("switch", ["data.resident=true", "speed.matmul_precision=high", "trainer.profiler=null"])
def test_switches_that_change_nothing_on_a_cpu(folder: Path, plain: Fit, switch: str) -> None:
    other = Fit(folder, switch)
    assert other.epochs == plain.epochs
    assert all(torch.equal(other.weights[name], value) for name, value in plain.weights.items())


@pytest.mark.parametrize("name", ["simple", "advanced"])
def test_profilers_report_into_the_runs_folder(tmp_path: Path, name: str) -> None:
    Fit(tmp_path, f"trainer.profiler={name}")
    assert "optimizer_step" in (tmp_path / "fit-profile.txt").read_text()


@pytest.mark.parametrize(
    "switch",
    [
        pytest.param("speed.channels_last=true", id="channels_last"),
        pytest.param("optimizer.fused=true", id="fused"),
        pytest.param("data.eval_batch_size=3", id="eval_batch_size"),
    ],
)
def test_switches_that_round_differently(folder: Path, plain: Fit, switch: str) -> None:
    other = Fit(folder, switch)
    for own, reference in zip(other.epochs, plain.epochs, strict=True):
        assert own["train_loss"] == pytest.approx(reference["train_loss"], rel=1e-3)
        assert own["val_loss"] == pytest.approx(reference["val_loss"], rel=1e-2)
    assert other.weights.keys() == plain.weights.keys()


@pytest.mark.slow
def test_compiled_training_computes_the_same(folder: Path) -> None:
    convolution = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 3, "padding": 1}
    eager, compiled = (Fit(folder, f"speed.compile={mode}", model=convolution) for mode in ("null", "default"))
    for own, reference in zip(compiled.epochs, eager.epochs, strict=True):
        assert own == pytest.approx(reference, rel=1e-3, abs=1e-3)
    assert compiled.weights.keys() == eager.weights.keys()


def test_mixed_precision_is_used_and_keeps_weights_in_float32(folder: Path, plain: Fit) -> None:
    other = Fit(folder, "trainer.precision=bf16-mixed")
    assert other.trainer.precision == "bf16-mixed"
    assert other.epochs != plain.epochs
    assert other.epochs[-1]["train_loss"] == pytest.approx(plain.epochs[-1]["train_loss"], rel=0.05)
    assert {value.dtype for value in other.weights.values()} == {torch.float32, torch.int64}


def test_channels_last_reaches_the_feature_maps_and_not_the_saved_weights(folder: Path) -> None:
    fit = Fit(folder, "speed.channels_last=true")
    seen: list[Tensor] = []
    fit.module.model.stem.register_forward_hook(lambda module, inputs, output: seen.append(output))
    fit.module(torch.randn(2, 3, 32, 32))
    assert seen[0].is_contiguous(memory_format=torch.channels_last) and not seen[0].is_contiguous()
    assert all(value.is_contiguous() for value in fit.weights.values())


def test_fused_reaches_the_optimizer(folder: Path) -> None:
    assert Fit(folder, "optimizer.fused=true").trainer.optimizers[0].defaults["fused"] is True


def test_compiling_keeps_the_names_of_the_weights() -> None:
    model = UNet(4)
    names = list(model.state_dict())
    apply_switches(model, compile="default")
    assert list(model.state_dict()) == names
    assert model._compiled_call_impl is not None


def test_every_run_of_a_sweep_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[int] = []

    def count(graph: Any, inputs: Any) -> Any:
        compiled.append(1)
        return graph.forward

    compile_in_place = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, mode: compile_in_place(self, backend=count))
    runs = torch._dynamo.config.recompile_limit + 2
    for _ in range(runs):
        model = nn.Sequential(nn.Conv2d(3, 1, 1))
        apply_switches(model, compile="default")
        model(torch.randn(1, 3, 4, 4))
    assert len(compiled) == runs


def test_a_run_does_not_inherit_the_precision_of_the_one_before() -> None:
    apply_switches(nn.Linear(2, 2), matmul_precision="high")
    assert torch.get_float32_matmul_precision() == "high"
    apply_switches(nn.Linear(2, 2))
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    "override", ["speed.compile=fast", "speed.channels_last=1", "speed.matmul_precision=low", "+speed.compile=true"]
)
def test_wrong_values_are_refused(override: str) -> None:
    with pytest.raises(UserError, match="speed"):
        check(compose_config([override]))


def test_the_gpu_preset_keeps_the_papers_numerics() -> None:
    paper, gpu = compose_config([]), compose_config(["trainer=gpu", "trainer.max_epochs=7"])
    assert (gpu.trainer.accelerator, gpu.data.resident, gpu.trainer.max_epochs) == ("gpu", True, 7)
    assert (gpu.speed, gpu.optimizer, gpu.trainer.precision) == (paper.speed, paper.optimizer, paper.trainer.precision)
    assert gpu.data.batch_size == paper.data.batch_size == 8


class CountReads(TorchDispatchMode):
    """Counts how often a number is read from a tensor, which on a GPU waits for all work to be done."""

    reads = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.reads += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_nothing_is_read_from_the_device_within_an_epoch(folder: Path) -> None:
    def reads(count: int) -> int:
        # On a CPU Adam reads its step counters one by one; the fused kernel, as any on a GPU, does not.
        with CountReads() as counter:
            Fit(folder, f"dataset.count={count}", "optimizer.fused=true", "data.batch_size=2", "data.eval_batch_size=2")
        return counter.reads

    few, many = reads(20), reads(60)
    assert few == many
