"""Of a record nothing is built but what this program, an installed package or the user has named."""

import importlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from lightning_seg.cli.evaluate import evaluate
from lightning_seg.cli.export import export
from lightning_seg.cli.predict import predict
from lightning_seg.config.allowed import as_text, refuse_foreign
from lightning_seg.config.build import without_weights
from lightning_seg.errors import UserError
from lightning_seg.inference.evaluate import choose_dataset
from lightning_seg.inference.model_card import model_card
from lightning_seg.inference.trained import find_weights, load_run
from lightning_seg.report.losses import losses_drawing
from lightning_seg.report.records import load_study
from tests.inference.calls import invoke
from tests.safety.conftest import edit

UNET = {"name": "unet", "_target_": "lightning_seg.models.UNet"}
Payload = Callable[[Path, Path], dict[str, Any]]

# Each runs where it is built: (the pickle, the file that then exists) -> a part of the configuration.
PAYLOADS: dict[str, Payload] = {
    "torch.load": lambda extra, ran: {"_target_": "torch.load", "f": str(extra), "weights_only": False},
    "pandas": lambda extra, ran: {"_target_": "pandas.read_pickle", "filepath_or_buffer": str(extra)},
    "numpy": lambda extra, ran: {"_target_": "numpy.load", "file": str(extra), "allow_pickle": True},
    "joblib": lambda extra, ran: {"_target_": "joblib.load", "filename": str(extra)},
    "handler": lambda extra, ran: {"_target_": "logging.FileHandler", "filename": str(ran), "mode": "w"},
    "write_text": lambda extra, ran: {
        "_target_": "pathlib.Path.write_text",
        "_args_": [{"_target_": "pathlib.Path", "_args_": [str(ran)]}, "x"],
    },
    "hub": lambda extra, ran: {
        "_target_": "torch.hub.load",
        "repo_or_dir": str(extra.parent / "hub"),
        "model": "net",
        "source": "local",
    },
    "in an argument": lambda extra, ran: {**UNET, "width": PAYLOADS["torch.load"](extra, ran)},
    "in a list": lambda extra, ran: {**UNET, "more": [[PAYLOADS["torch.load"](extra, ran)]]},
    "in _args_": lambda extra, ran: {**UNET, "_args_": [PAYLOADS["torch.load"](extra, ran)]},
    "interpolated": lambda extra, ran: {**UNET, "_target_": "${model.real}", "real": "torch.load", "f": str(extra)},
    "not followed": lambda extra, ran: {**UNET, "_recursive_": False, "x": PAYLOADS["torch.load"](extra, ran)},
    "to timm": lambda extra, ran: {
        "_target_": "lightning_seg.models.smp.SMP",
        "arch": "Unet",
        "encoder": "tu-resnet18",
        "pretrained": False,
        "checkpoint_path": str(extra),
    },
}


@pytest.fixture
def hub(tmp_path: Path, ran: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "hubconf.py").write_text(f"open({str(ran)!r}, 'w')\ndef net():\n    return None\n")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.usefixtures("hub")
def test_a_recorded_network_runs_nothing(name: str, run: Path, payload: Path, ran: Path, photo: Path) -> None:
    edit(run / "result.json", lambda record: record["config"].update(model=PAYLOADS[name](payload, ran)))
    for command, *arguments in ((predict, photo), (evaluate, "--no-distances"), (export, "--format", "torch")):
        with pytest.raises(UserError):
            invoke(command, run, *arguments, "--output", photo.parent / "out")
        assert not ran.exists(), command.__name__


@pytest.mark.parametrize("name", [name for name in PAYLOADS if name != "to timm"])
@pytest.mark.usefixtures("hub")
def test_a_recorded_dataset_runs_nothing(name: str, run: Path, payload: Path, ran: Path, tmp_path: Path) -> None:
    part = PAYLOADS[name](payload, ran)
    part = part | {"_target_": part["_target_"].replace("models.UNet", "data.Synthetic")}
    edit(run / "result.json", lambda record: record["config"].update(dataset=part))
    with pytest.raises(UserError):
        invoke(evaluate, run, "--no-distances", "--output", tmp_path / "out")
    assert not ran.exists()


def is_not_drawn(study: Path) -> bool:
    """Whether the gallery leaves out what the records say of the study's only loss."""
    figures = losses_drawing(load_study(study), ["dice"]).figures()
    return "The records do not say how to build Dice on this machine" in figures[0].caption


@pytest.mark.parametrize("name", [name for name in PAYLOADS if name != "to timm"])
@pytest.mark.usefixtures("hub")
def test_a_recorded_loss_runs_nothing(name: str, study: Path, run: Path, payload: Path, ran: Path) -> None:
    part = PAYLOADS[name](payload, ran)
    part = part | {"_target_": part["_target_"].replace("models.UNet", "losses.DiceLoss")}
    edit(run / "result.json", lambda record: record["config"].update(loss=part))
    assert is_not_drawn(study)
    assert not ran.exists()


@pytest.mark.parametrize("group", ["dataset", "model", "loss"])
def test_a_module_beside_conf_is_not_imported_because_a_record_names_it(
    group: str, study: Path, run: Path, ran: Path, photo: Path
) -> None:
    """In a received project: nothing there has chosen the module."""
    Path("conf").mkdir()
    Path("evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Part: pass\n")
    edit(run / "result.json", lambda record: record["config"].update({group: {"_target_": "evil.Part"}}))
    assert len(load_study(study).runs)
    losses_drawing(load_study(study), ["dice"]).figures()
    for command, *arguments in ((predict, photo), (evaluate, "--no-distances")):
        with suppress(UserError):
            invoke(command, run, *arguments, "--output", photo.parent / command.__name__)
    assert not ran.exists()


def test_a_module_beside_conf_is_not_taken_for_a_package_that_is_not_installed(
    run: Path, ran: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("conf").mkdir()
    Path("absent_extra.py").write_text(f"open({str(ran)!r}, 'w')\n")
    assert invoke(predict, run, photo, "--device", "cpu", "--output", photo.parent / "out")[0] == 0
    with pytest.raises(ImportError):
        importlib.import_module("absent_extra")
    assert not ran.exists()


def test_a_choice_of_ones_own_conf_is_built(run: Path) -> None:
    own = Path("conf/model")
    own.mkdir(parents=True)
    Path("my_parts.py").write_text(
        "from lightning_seg.models import UNet\nclass Net(UNet): pass\ndef make(width): return UNet(width=width)\n"
    )
    for target in ("my_parts.Net", "my_parts.make"):
        part = {"name": "unet", "_target_": target, "width": 2}
        edit(run / "result.json", lambda record, part=part: record["config"].update(model=part))
        (own / "mine.yaml").unlink(missing_ok=True)
        with pytest.raises(UserError, match=r"conf/model/<name>\.yaml"):
            load_run(run / "weights.safetensors")
        (own / "mine.yaml").write_text(f"name: unet\n_target_: {target}\nwidth: 2\n")
        assert sum(each.numel() for each in load_run(run / "weights.safetensors").model.parameters()) == 30_751


def test_ones_own_choice_of_a_function_of_others_is_not_the_records_to_call(
    run: Path, payload: Path, ran: Path
) -> None:
    own = Path("conf/model")
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("name: unet\n_target_: torch.load\nf: mine.pt\n")
    edit(run / "result.json", lambda record: record["config"].update(model=PAYLOADS["torch.load"](payload, ran)))
    with pytest.raises(UserError, match="no class"):
        load_run(run / "weights.safetensors")
    assert not ran.exists()


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (None, "names no class"),
        ([], "names no class"),
        ({"_target_": ["lightning_seg.models.UNet"]}, "no part of"),
        ({**UNET, "width": 10**12}, "out of range"),
        ({**UNET, "width": "x" * 10_000}, "a text of 10,000"),
        ({**UNET, "more": [UNET] * 101}, "102 parts"),
    ],
)
def test_what_is_no_part_is_refused(part: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        refuse_foreign(part, "model", "result.json")


def test_a_part_that_is_nested_too_deeply_is_refused() -> None:
    part: dict[str, Any] = {**UNET}
    for _ in range(5000):
        part = {**UNET, "width": part}
    with pytest.raises(UserError, match="too deeply"):
        refuse_foreign(part, "model", "result.json")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="\\${}oc.env:TOKEN a", max_size=24))
def test_texts_of_a_record_stay_as_they_are(text: str) -> None:
    found = as_text({"a": {"b": [text, "???"]}}).a.b
    assert found[0] == ("??? " if text == "???" else text)
    assert found[1] == "??? "


@pytest.mark.parametrize("text", ["${oc.env:TOKEN}", "/x/${oc.env:TOKEN}", r"\${oc.env:TOKEN}", "${a", "???"])
def test_no_part_is_built_of_what_would_be_resolved(
    text: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra resolves what it builds once more: an escaped text would come to life."""
    monkeypatch.setenv("TOKEN", "a-secret")
    part = {"name": "x", "_target_": "lightning_seg.data.Folder", "root": text}
    edit(run / "result.json", lambda record: record["config"].update(dataset=part))
    with pytest.raises(UserError, match="what is recorded is resolved") as caught:
        invoke(evaluate, run, "--no-distances", "--output", tmp_path / "out")
    assert "a-secret" not in str(caught.value)
    edit(run / "result.json", lambda record: record["config"]["model"].update(bilinear=text))
    with pytest.raises(UserError, match="what is recorded is resolved"):
        load_run(run / "weights.safetensors")


def test_nothing_of_a_record_is_resolved(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "a-secret")
    edit(run / "result.json", lambda record: record.update(device="${oc.env:TOKEN}"))
    edit(run / "result.json", lambda record: record["config"]["optimizer"].update(lr="${oc.env:TOKEN}"))
    edit(run / "result.json", lambda record: record["config"]["data"].update(split="${oc.env:TOKEN}"))
    card = model_card(load_run(find_weights([run])[0]))
    assert "a-secret" not in card
    assert "oc.env:TOKEN" in card


def test_shapes_are_compared_before_memory_is_taken(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(run / "result.json", lambda record: record["config"]["model"].update(width=1 << 20))
    with pytest.raises(UserError, match="of another shape"):  # of 10^15 bytes
        load_run(run / "weights.safetensors")


def test_weights_that_are_larger_than_memory_are_not_loaded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Little:
        available = 1000

    monkeypatch.setattr("lightning_seg.inference.trained.psutil.virtual_memory", Little)
    with pytest.raises(UserError, match="of memory, and 0 MiB are free"):
        load_run(run / "weights.safetensors")


@pytest.mark.parametrize("name", ["image_size", "mean", "std", "eval_batch_size"])
@pytest.mark.parametrize("value", [None, "x", [1], 1e30, {"a": 1}])
def test_a_preparation_that_cannot_be_is_named(run: Path, name: str, value: Any) -> None:
    edit(run / "result.json", lambda record: record["config"]["data"].update({name: value}))
    with pytest.raises(UserError, match="does not say how its images were prepared"):
        load_run(run / "weights.safetensors")


def test_half_precision_weights_are_taken(run: Path) -> None:
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in load_file(run / "weights.safetensors").items()
    }
    save_file(state, run / "weights.safetensors")
    assert next(load_run(run / "weights.safetensors").model.parameters()).dtype == torch.float32


def test_weights_of_nested_parts_are_left_out() -> None:
    encoder = {"_target_": "lightning_seg.models.FCN", "pretrained": True, "weights": "/extra.pt"}
    fat = {"_target_": "lightning_seg.models.FATNet", "weights": {"cnn": "/extra.pt", "transformer": "/extra.pt"}}
    found = without_weights(as_text({**UNET, "width": encoder, "more": [[fat], {"x": encoder}]}))
    assert "/extra.pt" not in str(found)
    assert "True" not in str(found)


@pytest.mark.parametrize("changes", [{"image_size": 4096}, {"image_size": 2048, "eval_batch_size": 64}])
def test_a_batch_of_gigabytes_is_not_made_for_a_record(changes: dict[str, int], run: Path) -> None:
    edit(run / "result.json", lambda record: record["config"]["data"].update(changes))
    with pytest.raises(UserError, match="does not say how its images were prepared"):
        load_run(run / "weights.safetensors")


def test_a_dataset_of_a_billion_images_is_not_listed(run: Path, tmp_path: Path) -> None:
    edit(run / "result.json", lambda record: record["config"]["dataset"].update(count=10**9))
    with pytest.raises(UserError, match="from 1 to 1,000,000"):
        invoke(evaluate, run, "--no-distances", "--output", tmp_path / "out")


def test_a_loss_that_would_count_for_hours_is_not_drawn(study: Path, run: Path) -> None:
    loss = {"_target_": "lightning_seg.losses.monai.MonaiLoss", "class": "SoftclDiceLoss", "iter_": 10_000}
    edit(run / "result.json", lambda record: record["config"].update(loss=loss))
    assert is_not_drawn(study)


@pytest.mark.parametrize("more", [{"_partial_": True}, {"_recursive_": {"a": 1}}, {"_convert_": 1}, {"_args_": 5}])
def test_hydras_own_keys_end_in_a_sentence(more: dict[str, Any], run: Path) -> None:
    edit(run / "result.json", lambda record: record["config"]["dataset"].update(more))
    with suppress(UserError):
        choose_dataset(load_run(run), [])
    edit(run / "result.json", lambda record: record["config"]["model"].update(more))
    with suppress(UserError):
        load_run(run)
