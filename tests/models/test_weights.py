"""Pretrained weights: locally made files take the way that downloaded ones take, without a network."""

import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from safetensors.torch import save_file
from torch import Tensor, nn

from lightning_seg import models
from lightning_seg.errors import UserError
from lightning_seg.models import hub as hub_module
from lightning_seg.models.encoders import create_encoder, mix_transformer
from lightning_seg.models.smp import SMP
from tests.models.configs import CONFIGS, load

NAME = "pvt_v2_b0.in1k"

StateDict = dict[str, Tensor]


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no way to it."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub_module._ask.cache_clear()
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def state() -> StateDict:
    """Weights as on timm's hub: the classifier included."""
    return random_state(timm.create_model(NAME))


def random_state(model: nn.Module) -> StateDict:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.rand(value.shape, generator=generator) * 0.1 if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }


def cache(hub: Path, repository: str, filename: str, state: StateDict) -> Path:
    """Lay ``state`` down where a download would."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    path = folder / "snapshots" / "0123abc" / filename
    path.parent.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123abc")
    save(state, path)
    return path


def save(state: object, path: Path) -> Path:
    if path.suffix == ".safetensors":
        assert isinstance(state, dict)
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def same_features(encoder: nn.Module, state: StateDict) -> bool:
    """Whether the encoder computes what timm's own model with these weights computes."""
    reference = timm.create_model(NAME)
    reference.load_state_dict(state)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return torch.equal(encoder.eval()(images)[-1], reference.eval().forward_features(images))


@pytest.mark.parametrize(
    ("filename", "wrap"),
    [
        ("weights.safetensors", lambda state: state),
        ("weights.pth", lambda state: state),
        ("weights.pth", lambda state: {"state_dict": state, "epoch": 3}),
        ("weights.pth", lambda state: {f"module.{name}": value for name, value in state.items()}),
        ("weights.pth", lambda state: {name: v for name, v in state.items() if not name.startswith("head.")}),
    ],
    ids=["safetensors", "torch", "checkpoint", "data-parallel", "no classifier"],
)
def test_file(tmp_path: Path, state: StateDict, filename: str, wrap: Callable):
    path = save(wrap(state), tmp_path / filename)
    encoder = create_encoder(NAME, pretrained=True, weights=path, features_only=True)
    assert same_features(encoder, state)
    assert encoder.weights_source == {"encoder": NAME, "file": str(path), "sha256": sha256(path)}


def test_download(hub: Path, state: StateDict):
    path = cache(hub, f"timm/{NAME}", "model.safetensors", state)
    encoder = create_encoder(NAME, pretrained=True, features_only=True)
    assert same_features(encoder, state)
    assert encoder.weights_source == {
        "encoder": NAME,
        "file": f"timm/{NAME}/model.safetensors",
        "sha256": sha256(path),
    }


def test_first_convolution_is_adapted(tmp_path: Path, state: StateDict):
    path = save(state, tmp_path / "weights.pth")
    encoder = create_encoder(NAME, pretrained=True, weights=path, in_chans=1, features_only=True)
    rgb = state["patch_embed.proj.weight"]
    torch.testing.assert_close(encoder.patch_embed.proj.weight.detach(), rgb.sum(dim=1, keepdim=True))


def test_random_start():
    assert create_encoder(NAME, pretrained=False).weights_source is None


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "smp" and load(name).get("pretrained")])
def test_offline(name: str):
    with pytest.raises(InstantiationException) as error:
        instantiate(load(name))
    assert isinstance(error.value.__cause__, UserError)
    message = str(error.value.__cause__)
    assert re.search(r"hub's (timm/[\w.]+|nvidia/mit-b\d)\b", message)
    assert "model.safetensors" in message
    assert "model.pretrained=false" in message
    assert "\n" not in message


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """A hub that hangs up: the connections that were made to it."""
    made: list[object] = []

    def hang_up(server: socket.socket) -> None:
        with suppress(OSError):  # the end of the test closes it
            while True:
                connection, address = server.accept()
                made.append(address)
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up, args=(server,), daemon=True)
        thread.start()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/{revision}/{filename}")
        yield made
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_hub_out_of_reach_is_tried_once(
    connections: list[object], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    for _ in range(2):  # the second as a later cell of a grid
        with pytest.raises(UserError, match="neither cached nor within reach"):
            create_encoder(NAME, pretrained=True)
    assert len(connections) == 1
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18.a1_in1k"])
def test_smp_out_of_reach_is_tried_once(connections: list[object], encoder: str):
    pytest.importorskip("segmentation_models_pytorch", reason="the extra smp is not installed")
    for _ in range(2):
        with pytest.raises(UserError, match="neither cached nor within reach"):
            SMP("Unet", encoder)
    assert len(connections) == 1


def without(name: str) -> Callable[[StateDict], object]:
    return lambda state: {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (without("stages.3.norm.weight"), "stages.3.norm.weight"),
        (lambda state: {**state, "decoder.weight": torch.zeros(1)}, "decoder.weight"),
        (lambda state: {**state, "stages.3.norm.weight": torch.zeros(3)}, "size mismatch"),
        (lambda state: timm.create_model("resnet10t").state_dict(), "Missing key"),
        (lambda state: {}, "dictionary of tensors"),
        (lambda state: {"epoch": 3}, "dictionary of tensors"),
        (lambda state: [1, 2], "neither safetensors nor a state dict"),
        (lambda state: nn.Linear(1, 1), "neither safetensors nor a state dict"),  # pickled code
    ],
    ids=["missing", "unexpected", "shape", "another model", "empty", "no tensors", "list", "module"],
)
def test_wrong_file(tmp_path: Path, state: StateDict, change: Callable, complaint: str):
    path = save(change(state), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=complaint) as error:
        create_encoder(NAME, pretrained=True, weights=path, features_only=True)
    assert str(path) in str(error.value)
    assert NAME in str(error.value)
    assert "\n" not in str(error.value)


def test_partial_download(hub: Path, state: StateDict):
    cache(hub, f"timm/{NAME}", "model.safetensors", without("stages.3.norm.weight")(state))
    with pytest.raises(UserError, match=r"stages\.3\.norm\.weight"):
        create_encoder(NAME, pretrained=True, features_only=True)


@pytest.mark.parametrize("filename", ["weights.safetensors", "weights.pth"])
def test_damaged_file(tmp_path: Path, state: StateDict, filename: str):
    path = save(state, tmp_path / filename)
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(UserError, match=f"{filename} cannot be read"):
        create_encoder(NAME, pretrained=True, weights=path)


def test_no_file(tmp_path: Path):
    with pytest.raises(UserError, match=r"absent\.pth is not a file"):
        create_encoder(NAME, pretrained=True, weights=tmp_path / "absent.pth")


def test_weights_without_pretrained(tmp_path: Path):
    with pytest.raises(UserError, match=r"contradicts model\.pretrained=false"):
        create_encoder(NAME, pretrained=False, weights=tmp_path / "weights.pth")


def test_unknown_names():
    with pytest.raises(UserError, match="no encoder resnet33"):
        create_encoder("resnet33", pretrained=False)
    with pytest.raises(UserError, match="b0, b1, b2, b3, b4, b5"):
        mix_transformer("b6", pretrained=False)


# The names in SegFormer's two kinds of checkpoint, by those in timm. Published files hold a classifier too, those
# of whole segmentation networks a decoder.
AUTHORS = [
    (r"^patch_embed\.", "patch_embed1."),
    *((rf"^stages\.{i}\.downsample\.", f"patch_embed{i + 1}.") for i in (1, 2, 3)),
    *((rf"^stages\.{i}\.blocks\.", f"block{i + 1}.") for i in range(4)),
    *((rf"^stages\.{i}\.norm\.", f"norm{i + 1}.") for i in range(4)),
    (r"mlp\.dwconv\.", "mlp.dwconv.dwconv."),
]
TRANSFORMERS = [
    (r"attn\.norm\.", "attention.self.layer_norm."),
    (r"attn\.q\.", "attention.self.query."),
    (r"attn\.(kv|sr)\.", r"attention.self.\1."),
    (r"attn\.proj\.", "attention.output.dense."),
    (r"blocks\.(\d+)\.norm([12])\.", r"blocks.\1.layer_norm_\2."),
    (r"mlp\.fc([12])\.", r"mlp.dense\1."),
    (r"mlp\.dwconv\.", "mlp.dwconv.dwconv."),
    (r"^patch_embed\.norm\.", "patch_embed.layer_norm."),
    (r"downsample\.norm\.", "downsample.layer_norm."),
    (r"^patch_embed\.", "patch_embeddings.0."),
    (r"^stages\.(\d)\.downsample\.", r"patch_embeddings.\1."),
    (r"^stages\.(\d)\.blocks\.", r"block.\1."),
    (r"^stages\.(\d)\.norm\.", r"layer_norm.\1."),
    (r"^", "segformer.encoder."),
]


def renamed(state: StateDict, patterns: list[tuple[str, str]]) -> StateDict:
    result = {}
    for name, value in state.items():
        for pattern, replacement in patterns:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    return result


def as_authors(state: StateDict) -> StateDict:
    return {**renamed(state, AUTHORS), "head.weight": torch.zeros(1000, 256), "head.bias": torch.zeros(1000)}


def as_segmentation_network(state: StateDict) -> StateDict:
    backbone = {f"backbone.{name}": value for name, value in renamed(state, AUTHORS).items()}
    return {**backbone, "decode_head.conv_seg.weight": torch.zeros(1)}


def as_transformers(state: StateDict) -> StateDict:
    result = {}
    for name, value in renamed(state, TRANSFORMERS).items():
        if ".kv." in name:
            result[name.replace("kv", "key")], result[name.replace("kv", "value")] = value.clone().chunk(2)
        else:
            result[name] = value
    return {**result, "classifier.weight": torch.zeros(1000, 256), "classifier.bias": torch.zeros(1000)}


@pytest.fixture(scope="module")
def mit_state() -> StateDict:
    return random_state(timm.create_model("pvt_v2_b0", mlp_ratios=(4, 4, 4, 4), num_classes=0))


LAYOUTS = [as_authors, as_segmentation_network, as_transformers]


@pytest.mark.parametrize("layout", [*LAYOUTS, dict])
def test_segformer_layouts(tmp_path: Path, mit_state: StateDict, layout: Callable[[StateDict], StateDict]):
    path = save(layout(mit_state), tmp_path / "mit_b0.pth")
    encoder = mix_transformer("b0", pretrained=True, weights=path).eval()
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, mit_state[name.replace("stages_", "stages.")]), name
    assert encoder.weights_source == {"encoder": "mit_b0", "file": str(path), "sha256": sha256(path)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_partial_segformer(tmp_path: Path, mit_state: StateDict, layout: Callable[[StateDict], StateDict]):
    complete = layout(mit_state)
    for part in ("norm", "key" if layout is as_transformers else "kv", "patch_embed", "sr"):
        name = next(name for name in complete if part in name)
        path = save(without(name)(complete), tmp_path / "mit_b0.pth")
        with pytest.raises(UserError, match="does not hold the weights of mit_b0"):
            mix_transformer("b0", pretrained=True, weights=path)


def test_segformer_download_and_licence(hub: Path, mit_state: StateDict, caplog: pytest.LogCaptureFixture):
    path = cache(hub, "nvidia/mit-b0", "pytorch_model.bin", as_transformers(mit_state))
    mix_transformer("b0", pretrained=False)
    assert not caplog.records
    encoder = mix_transformer("b0", pretrained=True)
    assert encoder.weights_source["file"] == "nvidia/mit-b0/pytorch_model.bin"
    assert encoder.weights_source["sha256"] == sha256(path)
    assert any("non-commercial" in record.message for record in caplog.records if record.levelname == "WARNING")


def test_networks_tell_what_they_started_from(tmp_path: Path, state: StateDict):
    path = save(state, tmp_path / "weights.safetensors")
    network = models.EMCADNet("b0", pretrained=True, weights=path)
    assert network.weights_source == {"encoder": {"encoder": NAME, "file": str(path), "sha256": sha256(path)}}
    assert models.EMCADNet("b0").weights_source == {}
    assert models.UNet(width=4).weights_source == {}


@pytest.mark.slow
def test_fatnet_has_two_encoders(tmp_path: Path):
    names = {"cnn": "resnet34.tv_in1k", "transformer": "deit_tiny_distilled_patch16_224.fb_in1k"}
    states = {part: random_state(timm.create_model(name)) for part, name in names.items()}
    files = {part: save(state, tmp_path / f"{part}.pth") for part, state in states.items()}
    network = models.FATNet(pretrained=True, weights=files)
    assert {part: source["encoder"] for part, source in network.weights_source.items()} == names
    assert torch.equal(network.cnn.conv1.weight, states["cnn"]["conv1.weight"])
    assert torch.equal(network.transformer.patches.weight, states["transformer"]["patch_embed.proj.weight"])
    with pytest.raises(UserError, match=r"model\.weights\.cnn"):
        models.FATNet(pretrained=True, weights=files["cnn"])  # type: ignore[arg-type]
