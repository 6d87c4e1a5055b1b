"""The losses of a study, built again from its records, and their pictures."""

from collections.abc import Sequence

from omegaconf import DictConfig
from torch import nn

from lightning_seg.catalogue import BASIC_LOSSES, LOSSES, is_compound, loss_name
from lightning_seg.config.allowed import as_text, refuse_foreign
from lightning_seg.config.build import build_nameless
from lightning_seg.config.named import build_loss
from lightning_seg.report.figures.losses import evaluate, gallery, scenes
from lightning_seg.report.figures.style import Figure
from lightning_seg.report.records import Study
from lightning_seg.runs.folder import RunFolder


def loss_figures(study: Study, losses: Sequence[str]) -> list[Figure]:
    """The gallery of a study's losses, as its runs had set them; of the published ones where none can be built."""
    built = {name: loss for name in _in_order(losses) if (loss := rebuild(study, name)) is not None}
    figures = gallery(built or {name: build_loss(name) for name in LOSSES})
    absent = [loss_name(name) for name in losses if name not in built]
    if absent:
        note = f" The records do not say how to build {', '.join(absent)} on this machine"
        note += "." if built else ": the published losses are shown instead."
        for figure in figures:
            figure.caption += note
    return figures


def rebuild(study: Study, name: str) -> nn.Module | None:
    """A loss from the settings that its first readable run recorded; None where it cannot be had or be drawn.

    Records may come from anywhere: nothing is called but losses that are built in, installed or the user's own.
    """
    try:
        recorded = _recorded(study, name)
        if recorded is not None:
            loss: nn.Module | None = build_nameless(recorded, "loss")
        else:
            loss = build_loss(name) if name in LOSSES else None
        if loss is not None:
            for scene in scenes():
                evaluate(loss, scene.logits, scene.truth)
    except Exception:  # whatever a loss of one's own raises, the report is made without its picture
        return None
    return loss


def _recorded(study: Study, name: str) -> DictConfig | None:
    runs = study.runs
    for path in runs.loc[(runs["loss"] == name) & runs["status"].isin(["finished", "diverged"]), "path"]:
        record = RunFolder(study.directory / path).record()
        recorded = record.config.get("loss") if record is not None else None
        if isinstance(recorded, dict) and "_target_" in recorded:
            refuse_foreign(recorded, "loss", path)
            return as_text(recorded)
    return None


def _in_order(losses: Sequence[str]) -> list[str]:
    """Single losses, compound ones, then a user's own."""
    return sorted(losses, key=lambda name: (name not in BASIC_LOSSES, not is_compound(name), name))
