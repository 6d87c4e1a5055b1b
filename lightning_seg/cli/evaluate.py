"""``lightning-seg evaluate``: scores of a finished run on a dataset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_seg.cli.shared import (
    BatchOption,
    DeviceOption,
    FlipsOption,
    RunArgument,
    ThresholdOption,
    WithOption,
    loading,
    note,
    say,
    skip,
)
from lightning_seg.errors import UserError
from lightning_seg.terminal import errors, tracked
from lightning_seg.wording import counted, printable


def evaluate(
    run: RunArgument,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="The dataset, as in training: dataset=clinicdb dataset.root=..."),
    ] = None,
    with_: WithOption = None,
    native: Annotated[bool, typer.Option("--native", help="Score at each image's own size, not at the run's.")] = False,
    distances: Annotated[bool, typer.Option(help="NSD (within 1 % of the diagonal) and HD95 (pixels) as well.")] = True,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the results.")] = Path(
        "evaluation"
    ),
    record: Annotated[
        bool,
        typer.Option(
            "--record",
            help="Keep it in each run, for its study's report: of another dataset as external=[...] does, of the run's "
            "own as corruptions=standard does.",
        ),
    ] = False,
    flips: FlipsOption = False,
    threshold: ThresholdOption = "0.5",
    batch_size: BatchOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Score a finished run, or the mean of several, on another dataset.

    Of the run's own dataset, which is the default, only images of its test set are scored. Exits with 0 if every image
    was scored, with 1 if some were not, with 2 if nothing could begin.
    """
    with loading():
        from lightning_seg.files import check_output, earlier_output
        from lightning_seg.inference import evaluate as evaluation
        from lightning_seg.inference.threshold import HALF, choose_threshold
        from lightning_seg.inference.trained import Predictor, choose_device, find_weights, poor_remark, version_remark

    if record:
        if native or flips or threshold != "0.5" or with_:
            raise UserError("--record is of a run's own test: without --native, --flips, --threshold and --with.")
        _record(run, overrides or [], device)
        return
    check_output(output, evaluation.FILES)
    note(earlier_output(output))
    weights = find_weights([run, *(with_ or [])])
    chosen = choose_threshold(threshold, weights)
    predictor = Predictor(weights, choose_device(device), flips, chosen)
    note(version_remark(predictor.runs))
    note(f"lesion is where the probability exceeds {chosen.value:g}: {chosen.source}." if chosen != HALF else None)
    note(poor_remark(predictor.runs))
    dataset = evaluation.choose_dataset(predictor.runs[0], overrides or [])
    positions = evaluation.fair_positions(predictor.runs, dataset)
    if len(positions) < len(dataset.ids()):
        note(
            f"{dataset.name} holds images of the training: only images of its own test set are scored "
            f"({len(positions)} of {len(dataset.ids())})."
        )
    scored = evaluation.evaluate(
        predictor, dataset, positions, native=native, distances=distances, batch_size=batch_size
    )
    rows = []
    for row in tracked(scored, "Evaluating", len(positions)):
        if isinstance(row, str):
            skip(errors(), row)
        else:
            rows.append(row)
    if rows:
        scores = evaluation.write_evaluation(output, rows, predictor, dataset, native)
        _print_scores(scores, Text(f"{counted(len(rows), 'image')} of {printable(dataset.name)}"), evaluation.EMPTIES)
        say(f"{len(rows)} of {counted(len(positions), 'image')} scored: {output}")
    if len(rows) < len(positions):
        raise typer.Exit(1)


def _record(path: Path, overrides: list[str], device: str) -> None:
    """Test each run elsewhere and keep it in its folder."""
    from lightning_seg.inference.elsewhere import record_elsewhere
    from lightning_seg.inference.evaluate import choose_dataset
    from lightning_seg.inference.trained import Predictor, choose_device, find_weights

    for weights in find_weights([path]):
        predictor = Predictor([weights], choose_device(device))
        dataset = choose_dataset(predictor.runs[0], overrides)
        is_other = any(override.startswith("dataset=") for override in overrides)
        home = choose_dataset(predictor.runs[0], []) if is_other else None
        say(f"written: {record_elsewhere(predictor, dataset, home)}")


def _print_scores(scores: Mapping[str, Mapping[str, Any]], title: Text, note_below: str) -> None:
    table = Table("", "mean", "95 % interval", "median", title=title)
    for name, values in scores.items():
        low, high = values["interval_95"]
        shown = f"{name} ({values['unit']})" if "unit" in values else name
        table.add_row(shown, f"{values['mean']:.4f}", f"{low:.4f} to {high:.4f}", f"{values['median']:.4f}")
    Console().print(table, note_below, highlight=False)
