"""What a loss is worth and where it pulls on made-up scenes, for its pictures.

Loading PyTorch and evaluating a loss some hundred times takes seconds. Those of the package, as its configuration sets
them, are therefore kept in a file beside this one, for as long as their code is what it was measured with.
``python scripts/measure_losses.py`` writes it, and a test says when it is out of date.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_seg.arrays import read_arrays, save_arrays
from lightning_seg.errors import UnreadableError
from lightning_seg.report.scenes import Scene, difficult, moving, sliding

if TYPE_CHECKING:
    from torch import nn

KEPT = Path(__file__).parent / "responses.npz"
_MOST_BYTES = 2**24
# What the numbers depend on.
_CODE = ("losses", "distances.py", "report/scenes.py", "report/responses.py")
STEPS = 127  # of a pull's size, which a picture shows in 256 colours


class Response(NamedTuple):
    """How a loss answers to the scenes.

    Attributes:
        by_logit: value, and slope in all that move, where lesion pixels and where others move: ``(2, 65, 2)``.
        by_overlap: value, and total pull, while a prediction slides off the lesion: ``(25, 2)``.
        on_masks: the same on the difficult masks: ``(3, 2)``.
        pulls: there, the negative gradient over its largest size, in steps of 1 / ``STEPS``: ``(3, 64, 64)``, int8.
    """

    by_logit: NDArray[np.float32]
    by_overlap: NDArray[np.float32]
    on_masks: NDArray[np.float32]
    pulls: NDArray[np.int8]


def respond(loss: "nn.Module") -> Response:
    """Evaluate a loss on all scenes."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on scenes this small, more take ten times the processor time to do the same
    try:
        by_logit = []
        for of_lesion, scenes in zip((True, False), moving(), strict=True):
            found = [(scene, *evaluate(loss, scene)) for scene in scenes]
            by_logit.append([(v, g[(scene.truth > 0) == of_lesion].sum()) for scene, v, g in found])
        by_overlap = [(value, np.abs(slope).sum()) for value, slope in (evaluate(loss, s) for s in sliding())]
        on_masks = [evaluate(loss, scene) for scene in difficult()]
    finally:
        torch.set_num_threads(threads)
    return Response(
        np.array(by_logit, np.float32),
        np.array(by_overlap, np.float32),
        np.array([(value, np.abs(slope).sum()) for value, slope in on_masks], np.float32),
        np.array([_in_steps(-slope) for _, slope in on_masks]),
    )


def evaluate(loss: "nn.Module", scene: Scene) -> tuple[float, NDArray[np.float64]]:
    """The loss of a scene and its gradient in each logit, ``(64, 64)``."""
    import torch

    logits = torch.from_numpy(scene.logits)[None, None].clone().requires_grad_()
    value = loss(logits, torch.from_numpy(scene.truth)[None, None])
    (gradient,) = torch.autograd.grad(value, logits)
    return value.item(), gradient[0, 0].numpy()


def _in_steps(pull: NDArray[np.float64]) -> NDArray[np.int8]:
    return np.rint(pull * (STEPS / (np.abs(pull).max() or 1))).astype(np.int8)


def kept_response(name: str, settings: Mapping[str, Any] | None) -> Response | None:
    """What is kept of a loss of the package; None where nothing is.

    Args:
        name: of the loss.
        settings: of its configuration; None for those that the package gives a loss of this name.
    """
    kept = _read(KEPT)
    return kept.get(name if settings is None else _key(settings))


def keep(losses: Mapping[str, tuple[Mapping[str, Any], Response]], path: Path = KEPT) -> None:
    """Write what is kept: settings and responses by name."""
    settings, responses = zip(*losses.values(), strict=True)
    columns = {field: np.stack([getattr(one, field) for one in responses]) for field in Response._fields}
    save_arrays(
        path,
        columns
        | {"names": np.array([*losses]), "keys": np.array([*map(_key, settings)]), "code": np.array(_code_hash())},
    )


@cache
def _read(path: Path) -> dict[str, Response]:
    """What is kept, by name and by settings; nothing where the code is another by now."""
    try:
        kept = read_arrays(path, ["code", "names", "keys", *Response._fields], _MOST_BYTES)
    except (FileNotFoundError, UnreadableError):
        return {}
    if str(kept["code"]) != _code_hash():
        return {}
    responses = [Response(*parts) for parts in zip(*(kept[field] for field in Response._fields), strict=True)]
    found = dict(zip(map(str, kept["names"]), responses, strict=True))
    return found | dict(zip(map(str, kept["keys"]), responses, strict=True))


def _key(settings: Mapping[str, Any]) -> str:
    """Settings in short; the loss's name decides no number."""
    nameless = {key: value for key, value in settings.items() if key != "name"}
    return "sha256 " + hashlib.sha256(json.dumps(nameless, sort_keys=True, default=str).encode()).hexdigest()


def _code_hash() -> str:
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for top in (package / name for name in _CODE):
        for path in sorted(top.glob("*.py")) if top.is_dir() else [top]:
            digest.update(path.read_bytes())
    return digest.hexdigest()
