"""A finished run as a file for other programs, checked against PyTorch before it counts."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import Dim, ExportedProgram

from lightning_seg.errors import UserError
from lightning_seg.extras import install_line
from lightning_seg.files import check_output, mark_output, telling_file, write_atomic, write_json, write_text
from lightning_seg.inference.model_card import model_card
from lightning_seg.inference.threshold import HALF, Threshold
from lightning_seg.inference.trained import TrainedRun
from lightning_seg.runs.record import versions

FORMATS = {"onnx": "model.onnx", "torch": "model.pt2"}
PREPROCESSING, CARD = "preprocessing.json", "MODEL_CARD.md"
OPSET = 18
TOLERANCE = 1e-4  # between the exported network's logits and PyTorch's, of the largest of them or of 1
INPUT, OUTPUT = "images", "logits"
_LARGEST_BATCH, _LARGEST_SIDE = 1024, 8192

Runner = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def export_run(
    run: TrainedRun,
    output: Path,
    formats: Sequence[str],
    dynamic_size: bool = False,
    threshold: Threshold = HALF,
) -> dict[str, float]:
    """Write a run's network (:func:`export_network`), ``preprocessing.json`` and a model card, ``MODEL_CARD.md``.

    Args:
        run: on the CPU.
        output: the folder, made if need be.
        formats: of :data:`FORMATS`.
        dynamic_size: leave height and width free as well.
        threshold: for those who use the network, above which probability a pixel is lesion.

    Returns:
        The largest difference from PyTorch's logits that was seen, by format.

    Raises:
        UserError: as :func:`export_network`, or as :func:`lightning_seg.files.check_output`.
    """
    _check_formats(formats)
    names = [*(FORMATS[name] for name in formats), PREPROCESSING, CARD]
    check_output(output, names)
    mark_output(output, names)
    found = export_network(run.model, run.preparation.size, output, formats, dynamic_size)
    write_json(output / PREPROCESSING, preprocessing(run, dynamic_size, found, threshold))
    write_text(output / CARD, model_card(run, threshold))
    return found


def export_network(
    model: nn.Module, size: int, output: Path, formats: Sequence[str], dynamic_size: bool = False
) -> dict[str, float]:
    """Write a network from normalised images, float32 ``(N, 3, H, W)``, to logits ``(N, 1, H, W)``.

    N is free; H and W are ``size``, or with ``dynamic_size`` any multiples of :func:`size_step`. Each file is loaded
    again, compared with PyTorch on batches of 1, 2 and 3 images (and of other sizes), and only then put in place.

    Raises:
        UserError: a format is unknown or its packages are missing, the network cannot be exported so, or the exported
            one differs from PyTorch's.
    """
    _check_formats(formats)
    if "onnx" in formats:
        _check_onnx()
    step = size_step(model)
    if dynamic_size and (size % step or size == step):
        raise UserError(
            f"--dynamic-size needs an image size that is a multiple of {step} above it, and this is {size}."
        )
    more = step if dynamic_size else 0
    shapes = [(2, 3, size, size), (1, 3, size, size + more), (3, 3, size + 2 * more, size)]
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    model.eval()
    with torch.no_grad():
        expected = [model(images).numpy() for images in inputs]
    program = _trace(model, inputs[0], step if dynamic_size else None)
    output.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in formats:
        save, load = _SAVE_AND_LOAD[name]

        def write(path: Path, name: str = name, save: Any = save, load: Any = load) -> None:
            with _quiet():
                save(program, path)
                found[name] = _compare(load(path), inputs, expected, name)

        write_atomic(output / FORMATS[name], write)
    return found


def _check_formats(formats: Sequence[str]) -> None:
    if unknown := set(formats) - FORMATS.keys():
        raise UserError(f"There is no format {min(unknown)!r}; choose of {', '.join(FORMATS)}.")


def size_step(model: nn.Module) -> int:
    """The step of the sides that a network is exported for: a multiple of its own, with nothing left to pad."""
    return math.lcm(32, getattr(model, "size_multiple", 1))


def preprocessing(
    run: TrainedRun, dynamic_size: bool, found: dict[str, float], threshold: Threshold = HALF
) -> dict[str, Any]:
    """What another program must do before and after the network, and how exactly it was exported."""
    made = run.preparation
    side: Any = made.size
    if dynamic_size:
        side = {"trained_at": made.size, "multiple_of": size_step(run.model)}
    return {
        "input": {
            "name": INPUT,
            "layout": "NCHW",
            "dtype": "float32",
            "channels": "RGB",
            "batch": "any",
            "height": side,
            "width": side,
        },
        "steps": [
            "decode to 8-bit RGB, turned upright by the EXIF orientation, alpha dropped",
            f"resize to {made.size} x {made.size}, bilinear with antialiasing as Pillow does, aspect ratio not kept",
            "divide by 255",
            "subtract the mean and divide by the standard deviation of each channel",
        ],
        "mean": list(made.mean),
        "std": list(made.std),
        "output": {"name": OUTPUT, "layout": "NCHW", "dtype": "float32", "channels": 1, "meaning": "logits"},
        "postprocessing": [
            "sigmoid: the probability of lesion",
            "resize to the image's own size, bilinear",
            f"lesion where > {threshold.value:g}",
        ],
        "threshold": threshold.as_json(),
        "checked": {"against": "PyTorch on the CPU", "largest_difference_of_logits": found, "tolerance": TOLERANCE},
        "model": run.record.model,
        "versions": versions() | {"onnx_opset": OPSET if "onnx" in found else None},
    }


def _check_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"ONNX needs the package {error.name}: {install_line('export')}, or leave it out with --format torch."
        ) from error


def _trace(model: nn.Module, images: torch.Tensor, step: int | None) -> ExportedProgram:
    """Export with a free batch size, and with free sides in steps of ``step`` if there is one."""
    shapes: dict[int, Any] = {0: Dim("batch", min=1, max=_LARGEST_BATCH)}
    if step is not None:
        shapes |= {
            axis: step * Dim(name, min=2, max=_LARGEST_SIDE // step) for axis, name in ((2, "rows"), (3, "columns"))
        }
    try:
        with _quiet():
            return torch.export.export(model, (images,), dynamic_shapes=(shapes,))
    except Exception as error:  # the exporter's own, of many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        hint = "leave --dynamic-size out" if step is not None else "it depends on values that only a run has"
        raise UserError(f"torch.export cannot export this network ({reason}); {hint}.") from error


def _save_onnx(program: ExportedProgram, path: Path) -> None:
    converted = torch.onnx.export(
        program, input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET, verbose=False, dynamo=True
    )
    assert converted is not None
    converted.save(path, external_data=False)


def _load_onnx(path: Path) -> Runner:
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0]


def _save_torch(program: ExportedProgram, path: Path) -> None:
    with telling_file(path) as file:
        torch.export.save(program, file)  # type: ignore[arg-type]  # which writes and flushes, no more


def _load_torch(path: Path) -> Runner:
    with path.open("rb") as file:
        module = torch.export.load(file).module()
    return lambda images: module(torch.from_numpy(images)).detach().numpy()


def _compare(run: Runner, inputs: list[torch.Tensor], expected: list[NDArray[np.float32]], name: str) -> float:
    largest = 0.0
    for images, logits in zip(inputs, expected, strict=True):
        found = run(images.numpy())
        allowed = TOLERANCE * max(1.0, float(np.abs(logits).max()))
        difference = float(np.abs(found - logits).max()) if found.shape == logits.shape else float("inf")
        if not difference <= allowed:
            raise UserError(
                f"The exported network ({name}) differs from PyTorch's by {difference:.2g} on a batch of shape "
                f"{tuple(images.shape)}, more than the {allowed:.2g} allowed, so it was not kept."
            )
        largest = max(largest, difference)
    return largest


_SAVE_AND_LOAD = {"onnx": (_save_onnx, _load_onnx), "torch": (_save_torch, _load_torch)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks to their own developers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
