"""``lightning-seg report``: from run records to the page."""

import gc
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lightning_seg.cli.shared import note, say
from lightning_seg.errors import UserError
from lightning_seg.files import trace
from lightning_seg.report.current import is_current, keep_stamp, report_dir, stamp
from lightning_seg.report.leftover import note_bundle, noted_bundle
from lightning_seg.runs.remembered import remembering
from lightning_seg.studies.folder import StudyFolder, find_study
from lightning_seg.terminal import busy
from lightning_seg.wording import counted

if TYPE_CHECKING:
    from lightning_seg.report.analysis import Analysis
    from lightning_seg.report.figures.style import Figure

_REFRESH_SECONDS = 60
_State = frozenset[tuple[str, int]]  # ended runs and when they ended
_FORMATS = ("svg", "pdf", "png")
_PUBLISHED = ".published"  # in the folder of studies; a name with a point is no study's


def report(
    study: Annotated[str | None, typer.Argument(help="Name of the study, or its folder.", show_default=False)] = None,
    output_dir: Annotated[Path, typer.Option("--output-dir", help="Where studies lie.")] = Path("multirun"),
    published: Annotated[
        bool, typer.Option("--published", help="Set the paper's tables beside the study, or report on them alone.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Build again whenever runs end, until Ctrl-C.")] = False,
    to_wandb: Annotated[
        bool, typer.Option("--wandb", help="Log it (with --watch, once) as the study's summary run in W&B.")
    ] = False,
    losses: Annotated[
        str | None,
        typer.Option("--losses", metavar="LOSS,...", help="Compare only these, on all repeats that they share."),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="STUDY",
            help="One more study, of other settings, to see whether the answer holds there too; repeatable.",
        ),
    ] = None,
    figure: Annotated[
        list[str] | None, typer.Option("--figure", help="One more figure, a choice of your conf/figure; repeatable.")
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            "--groups", metavar="FILE", help="CSV file (id,site,device,...) by whose columns test images are divided."
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", help="Compare losses by it: dice, iou, nsd, hd95, lesion_f1, or your own.")
    ] = "dice",
    draws: Annotated[int, typer.Option(metavar="N", min=100, help="Bootstrap draws.")] = 10_000,
    rope: Annotated[
        float, typer.Option(metavar="POINTS", min=0.0, max=100.0, help="Points below which losses are equal.")
    ] = 0.5,
    formats: Annotated[
        str | None,
        typer.Option("--formats", metavar="FORMAT,...", help="Write every figure as a file too: svg, pdf or png."),
    ] = None,
    bundle: Annotated[
        bool, typer.Option("--bundle", help="Write one zip with page, tables, data and citations, for `verify`.")
    ] = False,
    images: Annotated[
        bool, typer.Option("--images", help="With --bundle: images of your own datasets go in as well.")
    ] = False,
) -> None:
    """Write a study's report and print the path of its page; what has not changed is not made again.

    It lies in the study's folder: report, of some losses report-bce-dice, by another metric report-by-nsd, with another
    study report-with-flips.
    """
    console = Console()
    asked = _formats(formats)
    if study is None:
        if not published:
            raise UserError("Name the study to report on, or give --published for the paper's tables.")
        if watch or to_wandb or losses or with_ or groups or bundle:
            raise UserError(
                "--watch, --wandb, --losses, --with, --groups and --bundle are for a study's report: name the study "
                "too."
            )
        from lightning_seg.report.build import build_published_report

        say(build_published_report(output_dir.expanduser() / _PUBLISHED, draws, rope / 100, asked), console)
        return
    if bundle and (watch or to_wandb or with_ or figure):
        raise UserError("--bundle is of one study's records: leave out --watch, --wandb, --with and --figure.")
    if images and not bundle:
        raise UserError("--images says what goes into a bundle: give --bundle too.")
    found = find_study(output_dir, study)
    seen = _state(found) if watch else frozenset()
    options: dict[str, Any] = {
        "draws": draws,
        "rope": rope / 100,
        "losses": losses.split(",") if losses else [],
        "published": published,
        "groups": groups.expanduser() if groups else None,
        "metric": metric,
        "beside": [find_study(output_dir, name).path for name in with_ or []],
        "formats": sorted({*asked, "png"} if to_wandb else asked),
    }
    place = report_dir(found.path, options["losses"], metric, options["beside"])
    if bundle:
        with busy("making the bundle"):
            written = _bundle(place, found, options, images)
        say(written, console)
        return
    # What lies outside of the study is not watched for changes.
    made = None if figure or watch or with_ or groups else stamp(found.path, place, options)
    with remembering() if watch else nullcontext():
        if is_current(place, made):
            index = place / "index.html"
        else:
            with busy("making the report"):
                index = _build(found, options, figure or [], refresh=_REFRESH_SECONDS if watch else None)
            keep_stamp(place, made)
        _tell_outdated_bundle(place, found, options)
        say(index, console)
        if to_wandb:
            _log_to_wandb(index.parent, found, console)
        if watch:
            _watch(found, seen, partial(_build, found, options, figure or []), console)


def _build(study: StudyFolder, options: dict[str, Any], figures: list[str], refresh: int | None = None) -> Path:
    gc.set_threshold(100_000, 50, 100)  # the usual count of objects is looked through every few milliseconds here
    from lightning_seg.report.build import build_report

    return build_report(study.path, refresh=refresh, own_figures=[_figure(name) for name in figures], **options)


def _bundle(place: Path, study: StudyFolder, options: dict[str, Any], images: bool) -> Path:
    """``<study>.zip`` where the report lies."""
    from lightning_seg.bundle.write import write_bundle
    from lightning_seg.files import refuse_links

    refuse_links(place, study.path)
    place.mkdir(parents=True, exist_ok=True)
    target = _bundle_in(place, study)
    kept = {name: value for name, value in options.items() if name != "beside"}
    before = _bundle_stamp(place, study, options)
    write_bundle(study.path, target, images=images, **kept)
    # Older records have got their measures with it; while runs are in hand, nothing is sure to stay.
    note_bundle(target, before and _bundle_stamp(place, study, options))
    return target


def _tell_outdated_bundle(place: Path, study: StudyFolder, options: dict[str, Any]) -> None:
    """A bundle may have been cited, so that it stays; but a note says that it is not of the same as the page."""
    bundle, made = _bundle_in(place, study), noted_bundle(place)
    if made is not None and bundle.is_file() and made != _bundle_stamp(place, study, options):
        note(f"{bundle} is of other records or settings than this page; --bundle makes it anew.")


def _bundle_in(place: Path, study: StudyFolder) -> Path:
    return place / f"{study.name}.zip"


def _bundle_stamp(place: Path, study: StudyFolder, options: dict[str, Any]) -> str | None:
    """What a bundle depends on that says the same as a page."""
    groups = options["groups"]
    told = {name: options[name] for name in ("draws", "rope", "losses", "metric", "groups")}
    return stamp(study.path, place, told | {"groups_trace": trace(groups) if groups else ""})


def _formats(text: str | None) -> list[str]:
    chosen = [part.strip().lower() for part in text.split(",")] if text else []
    if unknown := [part for part in chosen if part not in _FORMATS]:
        raise UserError(f"--formats knows {', '.join(_FORMATS)}, not {unknown[0]!r}.")
    return chosen


def _log_to_wandb(report: Path, study: StudyFolder, console: Console) -> None:
    from lightning_seg.dashboard.project import project_of
    from lightning_seg.dashboard.summary import log_summary

    name = study.path.name
    offline = log_summary(report, name, *project_of(study.path)).name.startswith("offline-")
    say(f"W&B: kept offline, `lightning-seg sync {name}` uploads it" if offline else "W&B: logged", console)


def _watch(study: StudyFolder, seen: _State, build: "Callable[..., Path]", console: Console) -> None:
    """Build the report again whenever runs have ended, until Ctrl-C."""
    try:
        while True:
            time.sleep(_REFRESH_SECONDS / 4)
            if (now := _state(study)) != seen:
                seen = now
                build(refresh=_REFRESH_SECONDS)
                console.print(f"built again with {counted(len(seen), 'ended run')}")
    except KeyboardInterrupt:
        console.print("built once more, for a page that stays as it is")
        build()


def _figure(name: str) -> "Callable[[Analysis], Figure]":
    """What draws the figure of a choice of the group ``figure``."""
    from lightning_seg.config.build import build
    from lightning_seg.config.compose import compose_config
    from lightning_seg.config.overrides import override_value

    node = compose_config([f"+figure={override_value(name)}"]).figure
    if node == name:  # Hydra takes what is no choice for a value
        raise UserError(f"There is no figure {name!r}: a figure of your own is a choice in conf/figure here.")
    return build(node, f"figure {name}", _partial_=True)


def _state(study: StudyFolder) -> _State:
    """The ended runs and when they ended."""
    ended = set()
    for run in study.runs()[0]:
        for path in (run.result, run.error):
            try:
                ended.add((str(path), path.stat().st_mtime_ns))
            except OSError:
                continue
    return frozenset(ended)
