"""Finished runs as predictors: the network, its weights and how its images were prepared."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import psutil
import torch
from hydra.utils import get_class
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lightning_seg import __version__
from lightning_seg.catalogue import COUNTS
from lightning_seg.config.allowed import allowed, as_text, refuse_foreign
from lightning_seg.config.build import build_nameless, without_weights
from lightning_seg.config.compose import plain
from lightning_seg.data.datamodule import normalise
from lightning_seg.data.dataset import FileDataset
from lightning_seg.data.window import Window, parse_window
from lightning_seg.errors import UserError
from lightning_seg.inference.tested import tested_images
from lightning_seg.inference.threshold import HALF, Threshold
from lightning_seg.inference.which import for_absent, for_no_run, for_no_weights
from lightning_seg.machine.speed import keep_freed_memory
from lightning_seg.runs.collapse import collapse
from lightning_seg.runs.folder import WEIGHTS, RunFolder, repeats_in
from lightning_seg.runs.record import Record, versions
from lightning_seg.wording import byte_count

_AUTOCAST = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
_LARGEST_HEADER = 16 * 2**20  # bytes of a safetensors file's own table of contents
_LARGEST_BATCH = 2**26  # pixels: 64 images of 1,024 x 1,024
_LARGEST_SIDE = 2048  # pixels that images are resized to
_PRECISIONS = ("32-true", "32", *_AUTOCAST)


@dataclass(frozen=True)
class Preparation:
    """What happens to an image before it reaches the network.

    Attributes:
        size: side in pixels of the square that it is resized to.
        mean: of each channel in [0, 1], subtracted.
        std: of each channel in [0, 1], divided by.
        reduce_jpeg: JPEGs are decoded at a reduced size where that is exact enough, as the run's dataset did.
        window: how images of more than 8 bits become 8-bit, as the run's dataset did; ``None`` refuses them.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    reduce_jpeg: bool
    window: Window | None = None


@dataclass(frozen=True)
class TrainedRun:
    """A finished run with its network in evaluation mode.

    Attributes:
        directory: the run's folder.
        record: its ``result.json``.
        config: the configuration in it.
        model: the network with the run's best weights.
        preparation: of its images.
    """

    directory: Path
    record: Record
    config: DictConfig
    model: nn.Module
    preparation: Preparation


def find_weights(paths: Sequence[Path]) -> list[Path]:
    """The weights files that ``paths`` stand for, in order, each once.

    A path is a run's folder, a safetensors file beside its run's ``result.json``, or the folder of a cell, whose
    ``repeat_<k>`` are then all meant.

    Raises:
        UserError: there are no weights, or no record beside them.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} does not exist; {for_absent(path)}")
        folders = [run.path for run in repeats_in(path) if run.result.is_file()] or [path]
        found += [folder / WEIGHTS if folder.is_dir() else folder for folder in folders]
    for weights in found:
        folder = RunFolder(weights.parent)
        if folder.record() is None:
            if folder.result.is_file():
                raise UserError(f"{folder.result} cannot be read: it is damaged or cut off; copy the run again.")
            raise UserError(for_no_run(weights.parent if weights.name == WEIGHTS else weights))
        if not weights.is_file():
            raise UserError(for_no_weights(folder))
    return list(dict.fromkeys(found))


def load_run(run: str | Path) -> TrainedRun:
    """Load one run.

    Args:
        run: its folder, or its safetensors file beside its ``result.json``.

    Raises:
        UserError: there are no weights or those of several runs, the file is damaged, or its weights are not those of
            the recorded network.
    """
    weights, *others = find_weights([Path(run).expanduser()])
    if others:
        raise UserError(f"{run} holds {1 + len(others)} runs: name one of its repeats.")
    return _load(weights)


def _load(weights: Path) -> TrainedRun:
    """:func:`load_run` from a file that :func:`find_weights` has found."""
    folder = RunFolder(weights.parent)
    record = folder.record()
    if record is None:
        raise UserError(f"{folder.path} holds no finished run.")
    refuse_foreign(record.config.get("model"), "model", str(folder.result))
    config = as_text(record.config)
    preparation = _preparation(config, folder)
    shapes = _shapes(weights, record)
    network = without_weights(config.model)
    with torch.device("meta"), _ScalesOnCpu():  # shapes alone: no record asks for more memory than its weights take
        expected = {name: tuple(each.shape) for name, each in _network(network, folder).state_dict().items()}
    if misfit := _misfit(expected, shapes):
        raise UserError(
            f"{weights} does not fit the model {record.model} of its record ({misfit}): it belongs to another "
            f"model, or to another version of it (recorded with lightning-seg {record.version}, this is {__version__})."
        )
    state = load_file(weights)
    if wrong := [name for name, each in state.items() if each.is_floating_point() and not each.isfinite().all()]:
        raise UserError(
            f"{weights} holds values that are no numbers, such as in {wrong[0]}, so nothing can be predicted with it: "
            "its training has diverged."
        )
    model = _network(network, folder)
    model.load_state_dict(state)
    return TrainedRun(folder.path, record, config, model.eval(), preparation)


class _ScalesOnCpu(TorchFunctionMode):
    """Leaves on the CPU the few rates whose values some encoders read while they are built."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        more = {"device": "cpu"} if func is torch.linspace else {}
        return func(*args, **more, **(kwargs or {}))


def _network(node: DictConfig, folder: RunFolder) -> nn.Module:
    model = build_nameless(node, "model")
    if not isinstance(model, nn.Module):
        raise UserError(f"{folder.result} names {node._target_} as its model, which is no network.")
    return model


def _shapes(weights: Path, record: Record) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a file of weights, of which only the header is read.

    Raises:
        UserError: it is no such file, another run's, or larger than memory.
    """
    try:
        with weights.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if header > _LARGEST_HEADER:
            raise SafetensorError(f"a header of {header:,} bytes")
        with safe_open(weights, "pt") as file:
            marked = file.metadata() or {}
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{weights} cannot be read as weights: it is damaged or no safetensors file ({error})."
        ) from error
    if marked.get("fingerprint", record.fingerprint) != record.fingerprint:
        raise UserError(
            f"{weights} are another run's weights than those of the record beside them; keep them together."
        )
    size, free = weights.stat().st_size, psutil.virtual_memory().available
    if 2 * size > free:  # the network and the file's tensors, for a moment
        raise UserError(f"{weights} takes {byte_count(2 * size)} of memory, and {byte_count(free)} are free.")
    return shapes


def _preparation(config: DictConfig, folder: RunFolder) -> Preparation:
    """What a record says of its images' preparation.

    Raises:
        UserError: it does not, or says what cannot be.
    """
    data = plain(config).get("data")
    data = data if isinstance(data, dict) else {}
    size, mean, std = data.get("image_size"), data.get("mean"), data.get("std")
    batch, precision = data.get("eval_batch_size"), OmegaConf.select(config, "trainer.precision")
    if not (
        isinstance(size, int)
        and 16 <= size <= _LARGEST_SIDE
        and isinstance(batch, int)
        and batch >= 1
        and batch * size**2 <= _LARGEST_BATCH
        and _are_channels(mean)
        and _are_channels(std)
        and min(std) > 0
        and isinstance(precision, str | int)
    ):
        raise UserError(f"{folder.result} does not say how its images were prepared (config.data): it is damaged.")
    return Preparation(size, tuple(mean), tuple(std), *_decoding(config))


def _are_channels(values: object) -> TypeGuard[list[float]]:
    return (
        isinstance(values, list)
        and len(values) == 3
        and all(isinstance(each, int | float) and abs(each) < 2**31 for each in values)  # which no NaN is
    )


def version_remark(runs: Sequence[TrainedRun]) -> str | None:
    """A sentence on runs that another version of this program has made; ``None`` if there are none.

    Their results may differ from those recorded: a network or a dataset may since have been put right.
    """
    here = versions()["lightning-seg"]
    recorded = [run.record.version for run in runs]
    others = [(run.directory, version) for run, version in zip(runs, recorded, strict=True) if version != here]
    if not others:
        return None
    more = f" and {len(others) - 1} more were" if len(others) > 1 else " was"
    by = " and ".join(sorted({version or "an unknown version" for _, version in others}))
    made_with = f"{others[0][0]}{more} trained with lightning-seg {by}"
    return f"{made_with}, and this is {here}: results may differ from those recorded."


def poor_remark(runs: Sequence[TrainedRun]) -> str | None:
    """A sentence on runs whose own test shows that their predictions are of no use; ``None`` if there are none."""
    poor = [(run.directory, reason) for run in runs if (reason := _poorness(run))]
    return "; ".join(f"{directory}: {reason}" for directory, reason in poor) or None


def _poorness(run: TrainedRun) -> str:
    if run.record.status == "diverged":
        return "its training diverged, the loss became infinite or not a number"
    dice = run.record.test.get("dice")
    if dice is None:  # of a trial, which has not been tested
        return ""
    if not dice > 0:
        return f"its Dice on its own test images is {dice}, so it has learned nothing"
    try:
        rows = tested_images(RunFolder(run.directory))
    except UserError:
        return ""
    counts = np.array([[int(row[name]) for name in COUNTS] for row in rows])
    if kind := collapse(*counts.T):
        return f"it has predicted {kind} everywhere in its own test images"
    lesion, pixels = counts[:, [0, 2]].sum(axis=1), counts.sum(axis=1)
    blind = float(np.mean(2 * lesion / (lesion + pixels)))
    if dice <= blind:
        return (
            f"it has learned nothing: its Dice of {dice:.2f} on its own test images, at a threshold of 0.5, is no more "
            "than calling every pixel lesion gives"
        )
    return ""


def _decoding(config: DictConfig) -> tuple[bool, Window | None]:
    """Whether the run's dataset reduced JPEGs, and how it made images of more than 8 bits 8-bit."""
    dataset = OmegaConf.select(config, "dataset")
    target = dataset.get("_target_") if isinstance(dataset, DictConfig) else None
    if not isinstance(target, str) or target not in allowed("dataset"):  # it is not needed for prediction
        return False, None
    try:
        kind = get_class(target)
    except (ImportError, ValueError):  # the user's own dataset is not at hand, or a function
        return False, None
    window = OmegaConf.select(config, "dataset.window") if issubclass(kind, FileDataset) else None
    return bool(getattr(kind, "reduce_jpeg", False)), parse_window(window)


def _misfit(expected: Mapping[str, object], given: Mapping[str, object]) -> str:
    """How the shapes of two state dicts differ, in a few words; empty if they do not."""
    missing, unknown = expected.keys() - given.keys(), given.keys() - expected.keys()
    reshaped = [key for key in expected.keys() & given.keys() if expected[key] != given[key]]
    parts = []
    for names, what in ((missing, "missing"), (unknown, "unknown"), (reshaped, "of another shape")):
        if names:
            parts.append(f"{len(names)} tensors {what}, such as {min(names)}")
    return "; ".join(parts)


def choose_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is the first accelerator, else the CPU.

    Raises:
        UserError: there is no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"There is no device {name!r} here; choose auto, cpu, cuda, cuda:1, ... or mps.") from error
    return device


class Predictor:
    """One run, or the mean of several, on a device.

    Args:
        runs: weights files as :func:`find_weights` gives them; their images must be prepared alike.
        device: where to compute.
        flips: average over the image, its two mirror images and its half turn.
        threshold: above which probability a pixel is called lesion, by those who make masks of its probabilities.

    Raises:
        UserError: a run cannot be loaded, or two of them prepare images differently.
    """

    def __init__(
        self, runs: Sequence[Path], device: torch.device, flips: bool = False, threshold: Threshold = HALF
    ) -> None:
        keep_freed_memory()
        self.runs = [_load(path) for path in runs]
        self.device = device
        self.flips = flips
        self.threshold = threshold
        self.preparation = self.runs[0].preparation
        for run in self.runs[1:]:
            if run.preparation != self.preparation:
                raise UserError(
                    f"{run.directory} prepares its images differently from {self.runs[0].directory} "
                    f"({run.preparation} against {self.preparation}): they cannot be one ensemble."
                )
        for run in self.runs:
            run.model.to(device)

    @property
    def batch_size(self) -> int:
        """The batch size of the first run's own test."""
        return self.runs[0].config.data.eval_batch_size

    @torch.inference_mode()
    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Each run's lesion probabilities, ``(runs, N, size, size)``, in [0, 1].

        Without flips, thresholding one run's at 0.5 gives the masks of its own test, if the batches are the same.

        Args:
            images: RGB, uint8 ``(N, H, W, 3)``; what is not as the network gets it is resized as in training.

        Raises:
            UserError: they are of another kind.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise UserError(f"Images are RGB, uint8 (N, H, W, 3), and not {images.dtype} {images.shape}.")
        side = self.preparation.size
        if images.shape[1:3] != (side, side):
            images = np.stack([to_square(Image.fromarray(image), side) for image in images])
        batch = self._prepare(images)
        return np.stack([self._probability(run, batch).squeeze(1).cpu().numpy() for run in self.runs])

    @torch.inference_mode()
    def logits(self, images: NDArray[np.uint8]) -> Tensor:
        """The first run's logits, ``(N, 1, size, size)``, of RGB images uint8 ``(N, 3, size, size)``."""
        return self._run(self.runs[0], self._prepare(images.transpose(0, 2, 3, 1)))

    def _prepare(self, images: NDArray[np.uint8]) -> Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(self.device)
        return normalise(batch, self.preparation.mean, self.preparation.std)

    def _probability(self, run: TrainedRun, batch: Tensor) -> Tensor:
        if not self.flips:
            return torch.sigmoid(self._run(run, batch))
        views = [[], [-1], [-2], [-1, -2]]
        return torch.stack([torch.sigmoid(self._run(run, batch.flip(dims))).flip(dims) for dims in views]).mean(0)

    def _run(self, run: TrainedRun, batch: Tensor) -> Tensor:
        with _precision(str(run.config.trainer.precision), self.device):
            return run.model(batch).float()


def to_square(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """An RGB image as the network gets it, uint8 ``(side, side, 3)``."""
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def _precision(name: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which Lightning runs a network of a given ``trainer.precision``."""
    if name not in _PRECISIONS:
        raise UserError(f"trainer.precision={name} is not supported here; runs of {', '.join(_PRECISIONS)} are.")
    if name not in _AUTOCAST or (name == "16-mixed" and device.type == "cpu"):  # Lightning's CPU has none
        return nullcontext()
    return torch.autocast(device.type, dtype=_AUTOCAST[name])
