"""The losses of a study, built again from its records, and their pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_seg.catalogue import BASIC_LOSSES, LOSSES, is_compound, loss_name
from lightning_seg.config.allowed import as_text, refuse_foreign
from lightning_seg.report.drawing import Drawing
from lightning_seg.report.figures.losses import gallery
from lightning_seg.report.figures.style import Figure
from lightning_seg.report.records import Study
from lightning_seg.report.responses import Response, kept_response, respond
from lightning_seg.runs.folder import RunFolder

# Of each loss, what the first of its runs that can be read has recorded; None for the packaged one.
Recorded = Mapping[str, dict[str, Any] | None]


def losses_drawing(study: Study, losses: Sequence[str]) -> Drawing:
    """The gallery of a study's losses, as its runs had set them; it is kept where all of them are this package's."""
    recorded = {name: found[0] for name in _in_order(losses) if (found := _recorded(study, name)) is not None}
    absent = tuple(name for name in losses if name not in recorded)
    return Drawing(draw_losses, (recorded, absent), kept=all(map(_is_packaged, recorded.values())))


def draw_losses(recorded: Recorded, absent: Sequence[str] = ()) -> list[Figure]:
    """Their figures; those of the published losses where none can be built.

    Args:
        absent: losses whose records do not say how they were set.
    """
    found = _responses(recorded)
    figures = gallery(found or _responses(dict.fromkeys(LOSSES)))
    without = [loss_name(name) for name in (*recorded, *absent) if name not in found]
    if without:
        note = f" The records do not say how to build {', '.join(without)} on this machine"
        note += "." if found else ": the published losses are shown instead."
        for figure in figures:
            figure.caption += note
    return figures


def _responses(recorded: Recorded) -> dict[str, Response]:
    """Of those that can be had."""
    return {name: found for name, settings in recorded.items() if (found := response_of(name, settings)) is not None}


def response_of(name: str, settings: dict[str, Any] | None) -> Response | None:
    """How a loss responds that was recorded with these settings; None where it cannot be had or be drawn.

    Records may come from anywhere: nothing is called but losses that are built in, installed or the user's own.
    """
    kept = kept_response(name, settings)
    if kept is not None:
        return kept
    from lightning_seg.config.build import build_nameless  # here, as a loss loads torch
    from lightning_seg.config.named import build_loss

    try:
        if settings is None:
            return respond(build_loss(name))
        refuse_foreign(settings, "loss", name)
        return respond(build_nameless(as_text(settings), "loss"))
    except Exception:  # whatever a loss of one's own raises, the report is made without its picture
        return None


def _recorded(study: Study, name: str) -> tuple[dict[str, Any] | None] | None:
    """What a loss's first readable run says of it, in a tuple; of a packaged one it may say nothing."""
    runs = study.runs
    for path in runs.loc[(runs["loss"] == name) & runs["status"].isin(["finished", "diverged"]), "path"]:
        record = RunFolder(study.directory / path).record()
        recorded = record.config.get("loss") if record is not None else None
        if isinstance(recorded, dict) and "_target_" in recorded:
            return (recorded,)
    return (None,) if name in LOSSES else None


def _is_packaged(settings: dict[str, Any] | None) -> bool:
    """Whether its code, and that of its parts, is this package's."""
    for key, value in (settings or {}).items():
        if isinstance(value, dict) and not _is_packaged(value):
            return False
        if key == "_target_" and not str(value).startswith("lightning_seg."):
            return False
    return True


def _in_order(losses: Sequence[str]) -> list[str]:
    """Single losses, compound ones, then a user's own."""
    return sorted(losses, key=lambda name: (name not in BASIC_LOSSES, not is_compound(name), name))
