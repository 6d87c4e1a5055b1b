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
    note,
    progress_bar,
    say,
    skip,
)
from lightning_seg.wording import printable


def evaluate(
    run: RunArgument,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="The dataset, as in training: dataset=clinicdb dataset.root=...")
    ] = None,
    with_: WithOption = None,
    native: Annotated[bool, typer.Option("--native", help="Score at each image's own size, not at the run's.")] = False,
    distances: Annotated[bool, typer.Option(help="NSD (within 1 % of the diagonal) and HD95 (pixels) as well.")] = True,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")] = Path("evaluation"),
    flips: FlipsOption = False,
    threshold: ThresholdOption = "0.5",
    batch_size: BatchOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Score a finished run, or the mean of several, on another dataset.

    Of the run's own dataset, which is the default, only images of its test set are scored. Exits with 0 if every image
    was scored, with 1 if some were not, with 2 if nothing could begin.
    """
    from lightning_seg.files import check_output
    from lightning_seg.inference import evaluate as evaluation
    from lightning_seg.inference.threshold import HALF, choose_threshold
    from lightning_seg.inference.trained import Predictor, choose_device, find_weights, poor_remark, version_remark

    check_output(output, evaluation.FILES)
    console = Console(stderr=True)
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
    with progress_bar(console) as bar:
        for row in bar.track(scored, total=len(positions), description="Evaluating"):
            if isinstance(row, str):
                skip(bar.console, row)
            else:
                rows.append(row)
    if rows:
        scores = evaluation.write_evaluation(output, rows, predictor, dataset, native)
        _print_scores(scores, Text(f"{len(rows)} images of {printable(dataset.name)}"), evaluation.EMPTIES)
        say(f"{len(rows)} of {len(positions)} images scored: {output}")
    if len(rows) < len(positions):
        raise typer.Exit(1)


def _print_scores(scores: Mapping[str, Mapping[str, Any]], title: Text, note_below: str) -> None:
    table = Table("", "mean", "95 % interval", "median", title=title)
    for name, values in scores.items():
        low, high = values["interval_95"]
        shown = f"{name} ({values['unit']})" if "unit" in values else name
        table.add_row(shown, f"{values['mean']:.4f}", f"{low:.4f} to {high:.4f}", f"{values['median']:.4f}")
    Console().print(table, note_below, highlight=False)
