"""Which runs keep their weights."""

from collections.abc import Mapping

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from safetensors.torch import save_file
from torch import Tensor

from lightning_seg.files import write_atomic
from lightning_seg.runs.fingerprint import fingerprint
from lightning_seg.runs.folder import RunFolder, repeats_in

BEST = "best"  # of keep_weights: of the repeats of a cell, those of the best alone


def keeps_weights(cfg: DictConfig) -> bool:
    """Whether a run is to write its weights, perhaps to drop them when a better repeat is there."""
    if cfg.keep_weights is not None:
        return bool(cfg.keep_weights)
    return not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN


def write_weights(cfg: DictConfig, folder: RunFolder, weights: Mapping[str, Tensor]) -> None:
    """Write a run's best weights, marked so that they are not taken for another run's."""
    marked = {"fingerprint": fingerprint(cfg)}
    write_atomic(folder.weights, lambda path: save_file(dict(weights), path, metadata=marked))


def drop_lesser(folder: RunFolder) -> None:
    """Of a cell's finished repeats that keep the best weights alone, drop all but those.

    The best is that of the highest validation Dice, which no test image has decided. Each repeat looks when it ends,
    so that the last to end leaves one.
    """
    scores: dict[RunFolder, float] = {}
    for repeat in repeats_in(folder.path.parent):
        record = repeat.record()
        if record is None or record.best_val_dice is None or record.config.get("keep_weights") != BEST:
            continue
        if repeat.weights.is_file():
            scores[repeat] = record.best_val_dice
    for repeat in sorted(scores, key=lambda each: (-scores[each], each.repeat))[1:]:
        repeat.weights.unlink(missing_ok=True)
